// How fast a model should be: its plan's bytes and FLOPs over rates that were measured.
//
//   a step of m rows     sum over matrices of max(a product's own time + bytes / read rate,
//                                                  2 m N K / product rate)
//                        + attention: max(cache bytes / bandwidth, FLOPs / attention rate)
//                        + what is done on elements between them
//   decode               one step of a row a sequence, at the end of the context
//   a prompt of n        n / chunk steps; behind the last block that writes state one row alone
// Of experts those that rows are expected to choose are read, each multiplied by its share of the
// rows.
#pragma once

#include <map>
#include <vector>

#include "arch/architecture.h"
#include "cost/plan.h"
#include "longhaul/machine.h"

namespace longhaul {

// Products by matrices of one codec.
struct CodecRate {
  double read_bytes_per_second = 0;  // of weights, by one row
  double flops_per_second = 0;       // by a chunk of rows
  double seconds_per_product = 0;    // beside the reading
};

struct MachineRates {
  std::map<const Codec*, CodecRate> products;
  double memory_bytes_per_second = 0;
  double row_attention_flops_per_second = 0;  // one row
  double attention_flops_per_second = 0;      // many
  double seconds_per_call = 0;                // on the elements of one row
  double seconds_per_element = 0;             // of many rows
};

// What has to be measured: for each codec that the matrices of a format are kept in, the shape that
// most of its bytes have, and all of its bytes.
struct CodecWork {
  const Codec* codec = nullptr;
  int64_t rows = 0, cols = 0;
  uint64_t bytes = 0;
};
std::vector<CodecWork> codec_work(const Architecture& arch, const WeightFormat& format);

//   plan   of the same request
//   rates  of every codec of its format
SpeedForecast forecast(const Architecture& arch, const PlanRequest& request, const Plan& plan,
                       const MachineRates& rates);

}  // namespace longhaul
