#include "cost/forecast.h"

#include <algorithm>
#include <tuple>

#include "mechanisms/moe.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

// Calls on elements that a block makes beside its products: norms, rope, the activation, the
// residual.
constexpr double kCallsPerBlock = 6;

class Forecaster {
 public:
  Forecaster(const Architecture& arch, const PlanRequest& request, const MachineRates& rates)
      : arch_(arch), request_(request), rates_(rates) {}

  double decode_seconds(const Plan& plan) const {
    const auto rows = static_cast<double>(request_.batch);
    double seconds = head_seconds(rows);
    for (const Block& block : arch_.blocks) seconds += block_seconds(block, rows, rows);
    const double read = static_cast<double>(plan.decode_read_cache_bytes) /
                        rates_.memory_bytes_per_second,
                 work = rows * static_cast<double>(plan.decode_attention_flops) /
                        rates_.row_attention_flops_per_second;
    return seconds + std::max(read, work);
  }

  double prompt_seconds() const {
    const int64_t n = request_.context, last_writer = last_writing_block(arch_);
    double seconds = head_seconds(1);
    for (int64_t b = 0; b < static_cast<int64_t>(arch_.blocks.size()); ++b) {
      const Block& block = arch_.blocks[static_cast<size_t>(b)];
      if (b < last_writer) {
        seconds +=
            in_chunks([&](double rows) { return block_seconds(block, rows, rows); }) +
            static_cast<double>(block.mixer.prompt_flops(n)) / rates_.attention_flops_per_second;
        continue;
      }
      // Of the last row alone, and in the last block that writes state what the others leave.
      if (b == last_writer)
        seconds += in_chunks([&](double rows) { return block_seconds(block, 0, rows); });
      seconds += block_seconds(block, 1, b == last_writer ? 0 : 1) +
                 static_cast<double>(block.mixer.context_work(n).flops()) /
                     rates_.row_attention_flops_per_second;
    }
    return seconds;
  }

 private:
  template <class Step>
  double in_chunks(const Step& step) const {
    const int64_t n = request_.context, chunk = std::min(request_.chunk, n), whole = n / chunk,
                  rest = n % chunk;
    return static_cast<double>(whole) * step(static_cast<double>(chunk)) +
           (rest > 0 ? step(static_cast<double>(rest)) : 0);
  }

  // One matrix and so many rows.
  double product_seconds(const WeightSpec& w, double rows) const {
    const Codec& codec = packed_codec(w, request_.weights);
    const CodecRate& rate = rates_.products.at(&codec);
    const double bytes = static_cast<double>(codec.bytes(w.rows, w.cols)),
                 read = rate.seconds_per_product + bytes / rate.read_bytes_per_second,
                 work = 2 * rows * static_cast<double>(w.rows) * static_cast<double>(w.cols) /
                        rate.flops_per_second;
    return std::max(read, work) +
           rows * static_cast<double>(w.rows + w.cols) * rates_.seconds_per_element;
  }

  double weight_seconds(const WeightSpec& w, const WeightRole& role, double rows) const {
    if (!w.is_matrix() || rows == 0) return 0;
    if (role.top_k == 0) return static_cast<double>(w.n_experts) * product_seconds(w, rows);
    const double hit =
        expected_experts(w.n_experts, role.top_k, std::max<int64_t>(1, static_cast<int64_t>(rows)));
    return hit * product_seconds(w, rows * static_cast<double>(role.top_k) / hit);
  }

  //   state_rows  that go as far as the block's state, where fewer go on
  double block_seconds(const Block& block, double rows, double state_rows) const {
    double seconds = kCallsPerBlock * rates_.seconds_per_call;
    for_each_weight(block, [&](WeightId id, const WeightRole& role) {
      seconds += weight_seconds(arch_.weight(id), role, role.for_state ? state_rows : rows);
    });
    return seconds;
  }

  double head_seconds(double rows) const {
    return weight_seconds(arch_.weight(arch_.head.matrix), {}, rows);
  }

  const Architecture& arch_;
  const PlanRequest& request_;
  const MachineRates& rates_;
};

}  // namespace

std::vector<CodecWork> codec_work(const Architecture& arch, const WeightFormat& format) {
  std::map<std::tuple<const Codec*, int64_t, int64_t>, uint64_t> by_shape;
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    if (w.is_matrix())
      by_shape[{&packed_codec(w, format), w.rows, w.cols}] += resident_bytes(w, format);
  });
  std::vector<CodecWork> all;
  uint64_t most = 0;  // bytes of the shape that stands for the codec
  for (const auto& [shape, bytes] : by_shape) {
    const auto& [codec, rows, cols] = shape;
    if (all.empty() || all.back().codec != codec) {
      all.push_back({codec});
      most = 0;
    }
    all.back().bytes += bytes;
    if (bytes <= most) continue;
    most = bytes;
    all.back().rows = rows;
    all.back().cols = cols;
  }
  return all;
}

SpeedForecast forecast(const Architecture& arch, const PlanRequest& request, const Plan& plan,
                       const MachineRates& rates) {
  const Forecaster forecaster(arch, request, rates);
  const double prompt = forecaster.prompt_seconds();
  return {.first_token_seconds = prompt,
          .prefill_tokens_per_second = static_cast<double>(request.context) / prompt,
          .decode_tokens_per_second =
              static_cast<double>(request.batch) / forecaster.decode_seconds(plan)};
}

}  // namespace longhaul
