// The rates of this machine that a forecast asks for, each measured once, when it is first wanted.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cost/forecast.h"
#include "kernels/rates.h"

namespace longhaul {

class RateMeter {
 public:
  // Measures with so many threads. kOverBudget where the memory to measure in is not there: half
  // a gigabyte, for a moment.
  static Result<RateMeter> create(int n_threads);

  // How fast the model should be with the formats and the context of the request.
  //   plan  of the request
  Result<SpeedForecast> forecast(const Architecture& arch, const PlanRequest& request,
                                 const Plan& plan);
  double memory_bytes_per_second() const { return memory_bytes_per_second_; }

 private:
  RateMeter() = default;
  Compute compute() const { return {kernels_, pool_.get()}; }
  Status measure_products(const Architecture& arch, const PlanRequest& request,
                          MachineRates& rates);
  Status measure_attention(DType kept, MachineRates& rates);

  const KernelSet* kernels_ = nullptr;
  std::unique_ptr<ThreadPool> pool_;
  double memory_bytes_per_second_ = 0;
  // by codec, and whether inputs are fine
  std::map<std::pair<const Codec*, bool>, CodecRate> products_;
  std::map<DType, AttentionRate> attention_;
  std::optional<ElementRate> elements_;
};

}  // namespace longhaul
