// Where an output goes: what its name means, and the name it has until it is whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/errors.h"

namespace longhaul {

// The end of a chain of symbolic links, whether it is there or not; a path that is no link as it
// is. Links of /proc are not followed: they stand for open descriptors, which have no path. An
// error where the chain has no end.
Result<std::string> behind_links(const std::string& path);

// The descriptor of this process that a path stands for: 1 for /proc/self/fd/1 and what leads there
// (behind_links of /dev/stdout).
std::optional<int> own_descriptor(const std::string& path);

// "NAME.N.partial" beside `path`, for what is not finished. A name that would be too long is cut.
std::string partial_name(const std::string& path, int64_t n);

}  // namespace longhaul
