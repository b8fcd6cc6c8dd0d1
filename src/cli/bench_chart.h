// What `bench` measured as a picture.
#pragma once

#include <string>

#include "longhaul/bench.h"

namespace longhaul::cli {

// Speeds and state over depth as one SVG picture that needs nothing else; empty without frontiers.
std::string bench_chart(const BenchResults& results);

}  // namespace longhaul::cli
