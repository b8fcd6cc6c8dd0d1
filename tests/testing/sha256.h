// SHA-256 (FIPS 180-4), to compare texts with digests that others published.
#pragma once

#include <string>
#include <string_view>

namespace longhaul {

std::string sha256_hex(std::string_view bytes);

}  // namespace longhaul
