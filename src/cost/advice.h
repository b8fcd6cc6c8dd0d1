// Which row of a table of fits to take.
#pragma once

#include "longhaul/fit.h"

namespace longhaul {

// Sets `recommended` and `advice`. At the context that is asked about, of the rows that fit, the
// one with the least rounding of weights, then of the cache, that writes as fast as people read;
// where none does, the fastest. Where nothing fits there, the same question at the next shorter
// context.
//   context  one of the table's
void advise(FitTable& table, int64_t context);

}  // namespace longhaul
