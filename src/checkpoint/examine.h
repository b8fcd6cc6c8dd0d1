// A look at every weight of a checkpoint before it is loaded: all that loading would refuse, and
// what loads and cannot be right.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "checkpoint/loader.h"

namespace longhaul {

struct Examination {
  std::vector<Error> refused;  // by loading; one for each tensor
  std::vector<Error> zeros;    // loads: zeros where a file was not written to its end
  std::vector<Error> spoiled;  // loads: rows of tables that are no numbers
};

// Reads all files once, and packs matrices a piece at a time as loading does.
//   format  one of source.formats()
Examination examine_weights(const Architecture& arch, const WeightSource& source,
                            const WeightFormat& format, ThreadPool& pool,
                            const LoadProgress& progress);

}  // namespace longhaul
