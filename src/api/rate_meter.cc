#include "api/rate_meter.h"

#include <algorithm>

#include "kernels/roofline.h"

namespace longhaul {

Result<RateMeter> RateMeter::create(int n_threads) {
  RateMeter meter;
  LH_TRY(meter.kernels_, choose_kernels());
  meter.pool_ = std::make_unique<ThreadPool>(n_threads);
  LH_TRY(ReadProbe probe, ReadProbe::create());
  meter.memory_bytes_per_second_ = probe.now(meter.compute());
  return meter;
}

Status RateMeter::measure_products(const Architecture& arch, const PlanRequest& request,
                                   MachineRates& rates) {
  for (const CodecWork& work : codec_work(arch, request.weights)) {
    const bool has_fine_inputs = request.weights.has_fine_inputs();
    const std::pair key(work.codec, has_fine_inputs);
    auto it = products_.find(key);
    if (it == products_.end()) {
      LH_TRY(const ProductRate rate, measure_product(compute(), {.codec = work.codec,
                                                                 .n = work.rows,
                                                                 .k = work.cols,
                                                                 .has_fine_inputs = has_fine_inputs,
                                                                 .model_bytes = work.bytes,
                                                                 .n_rows = request.chunk}));
      it = products_
               .emplace(key, CodecRate{rate.read_bytes_per_second, rate.flops_per_second,
                                       rate.seconds_per_product})
               .first;
    }
    rates.products.emplace(work.codec, it->second);
  }
  return {};
}

Status RateMeter::measure_attention(DType kept, MachineRates& rates) {
  auto it = attention_.find(kept);
  if (it == attention_.end()) {
    LH_TRY(const AttentionRate rate, longhaul::measure_attention(compute(), kept));
    it = attention_.emplace(kept, rate).first;
  }
  rates.row_attention_flops_per_second = it->second.row_flops_per_second;
  rates.attention_flops_per_second = it->second.flops_per_second;
  return {};
}

Result<SpeedForecast> RateMeter::forecast(const Architecture& arch, const PlanRequest& request,
                                          const Plan& plan) {
  MachineRates rates{.memory_bytes_per_second = memory_bytes_per_second_};
  LH_RETURN_IF_ERROR(measure_products(arch, request, rates));
  LH_RETURN_IF_ERROR(measure_attention(request.kv.dtype, rates));
  if (!elements_) {
    LH_TRY(elements_, measure_elements(compute(), arch.hidden_size));
  }
  rates.seconds_per_call = elements_->seconds_per_call;
  rates.seconds_per_element = elements_->seconds_per_element;
  return longhaul::forecast(arch, request, plan, rates);
}

}  // namespace longhaul
