#include "checkpoint/config_request.h"

#include <fmt/format.h>

#include "base/notice.h"
#include "models/registry.h"

namespace longhaul {

Result<Architecture> read_as_requested(const Json& config, const std::string& where,
                                       const ConfigRequest& request, const ShapeOf& shape_of) {
  std::vector<std::string> ignored;
  auto arch = read_architecture({config, where, request.ignore_unknown_fields ? &ignored : nullptr},
                                shape_of);
  if (arch.ok() && !ignored.empty())
    notice("{}: fields that are not known are ignored, at your own risk: {}", where,
           fmt::join(ignored, ", "));
  return arch;
}

}  // namespace longhaul
