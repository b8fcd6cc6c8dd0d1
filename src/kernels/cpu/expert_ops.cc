// Mixtures of experts: choosing, sorting, running on just the rows that chose an expert.
#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_scratch.h"

namespace longhaul {
namespace {

// The k outputs of the largest score + bias, in falling order, ties to the lower index.
// `best` holds k values of scratch.
void top_k(const float* score, Vector bias, int64_t n, int64_t k, float* best, int32_t* out) {
  int64_t kept = 0;
  for (int64_t e = 0; e < n; ++e) {
    const float value = bias.empty() ? score[e] : score[e] + bias[static_cast<size_t>(e)];
    if (kept == k && !(value > best[k - 1])) continue;
    int64_t at = kept < k ? kept++ : k - 1;
    for (; at > 0 && value > best[at - 1]; --at) {
      best[at] = best[at - 1];
      out[at] = out[at - 1];
    }
    best[at] = value;
    out[at] = static_cast<int32_t>(e);
  }
}

void score(const KernelSet& kernels, const ExpertChoice& how, int64_t n, float* logits) {
  if (how.softcap) kernels.softcap(logits, n, *how.softcap);
  switch (how.score) {
    case RouterScore::kSoftmax: return kernels.softmax(logits, n);
    case RouterScore::kSigmoid:
      for (int64_t e = 0; e < n; ++e) logits[e] = 1.0f / (1.0f + std::exp(-logits[e]));
      return;
    case RouterScore::kSqrtSoftplus:
      for (int64_t e = 0; e < n; ++e) {
        const float x = logits[e];
        logits[e] = std::sqrt(std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x))));
      }
      return;
  }
}

// The loader found the values to be small, and the low half of a little-endian integer comes first.
void lookup_index(const LookupTable& table, int64_t row, int32_t* out) {
  if (row < 0 || row >= table.rows) row = 0;
  const uint64_t bytes = bytes_per_element(table.dtype);
  const std::byte* at = table.data + static_cast<uint64_t>(row * table.cols) * bytes;
  for (int64_t i = 0; i < table.cols; ++i) {
    std::memcpy(out + i, at + static_cast<uint64_t>(i) * bytes, sizeof *out);
  }
}

void weigh(const ExpertChoice& how, const float* scores, const int32_t* chosen, int64_t k,
           float* weight) {
  float sum = how.renormalises ? 0.0f : 1.0f;
  for (int64_t j = 0; j < k && how.renormalises; ++j) sum += scores[chosen[j]];
  for (int64_t j = 0; j < k; ++j) {
    const auto e = static_cast<size_t>(chosen[j]);
    const float own = how.expert_scale.empty() ? 1.0f : how.expert_scale[e];
    weight[j] = scores[e] / sum * own * how.output_scale;
  }
}

}  // namespace

void CpuOps::choose_experts(const ExpertChoice& how, std::span<const int32_t> tokens,
                            Rows<float> logits, Rows<int32_t> chosen, Rows<float> weight) {
  LH_DCHECK(same_shape(chosen, weight) && logits.n == chosen.n);
  const int64_t k = chosen.width;
  for_rows(logits.n, logits.width * k, [&](int64_t row) {
    float *p = logits.row(row), *w = weight.row(row);
    score(kernels(), how, logits.width, p);
    if (how.token_experts != nullptr) {
      lookup_index(*how.token_experts, tokens[static_cast<size_t>(row)], chosen.row(row));
    } else {
      top_k(p, how.bias, logits.width, k, w, chosen.row(row));
    }
    weigh(how, p, chosen.row(row), k, w);
  });
}

// Counting sort.
void CpuOps::sort_by_expert(Rows<const int32_t> chosen, Rows<int64_t> place,
                            std::span<int64_t> first) {
  LH_DCHECK(same_shape(chosen, place) && chosen.is_dense() && place.is_dense());
  const auto at = [&](int64_t a) { return static_cast<size_t>(chosen.data[a]); };
  const size_t classes = first.size() - 1;
  std::fill(first.begin(), first.end(), 0);
  for (int64_t a = 0; a < chosen.size(); ++a) ++first[at(a) + 1];
  for (size_t e = 0; e < classes; ++e) first[e + 1] += first[e];
  for (int64_t a = 0; a < chosen.size(); ++a) place.data[a] = first[at(a)]++;
  for (size_t e = classes; e > 0; --e) first[e] = first[e - 1];
  first[0] = 0;
}

void CpuOps::send_to_experts(Rows<const float> x, Rows<const int64_t> place, Rows<float> out) {
  LH_DCHECK(place.n == x.n && out.width == x.width);
  for_rows(x.n, place.width * x.width, [&](int64_t row) {
    for (int64_t j = 0; j < place.width; ++j) {
      std::copy_n(x.row(row), x.width, out.row(place.row(row)[j]));
    }
  });
}

struct CpuOps::ExpertWave {
  const Experts& experts;
  std::span<const int64_t> first;
  std::span<const ExpertRows> members;
  Rows<float> x;  // [assignments, D]
  const ExpertScratch& scratch;

  int64_t begin_of(int32_t expert) const { return first[static_cast<size_t>(expert)]; }
  Rows<float> input(ExpertPart part) const { return part == ExpertPart::kDown ? scratch.gate : x; }
  Rows<float> output(ExpertPart part) const {
    return part == ExpertPart::kGate ? scratch.gate : part == ExpertPart::kUp ? scratch.up : x;
  }
};

// All in one parallel region; products of one expert share its input.
void CpuOps::multiply(ExpertWave& wave, std::initializer_list<ExpertPart> parts) const {
  size_t n = 0;
  for (const auto [e, rows] : wave.members) {
    for (const ExpertPart part : parts) {
      const Rows<float> in = wave.input(part).slice(wave.begin_of(e), rows);
      const Rows<float> out = wave.output(part).slice(wave.begin_of(e), rows);
      wave.scratch.products[n++] = {.x = in.data,
                                    .x_stride = in.stride,
                                    .w = wave.experts.matrix(part, e),
                                    .y = out.data,
                                    .y_stride = out.stride,
                                    .m = rows};
    }
  }
  longhaul::matmul(compute_, wave.scratch.products.first(n), wave.scratch.inputs);
}

// Experts whose rows lie side by side are activated together.
void CpuOps::activate(const GatedActivation& how, const ExpertWave& wave) {
  for (std::span members = wave.members; !members.empty();) {
    const int64_t begin = wave.begin_of(members.front().expert);
    int64_t end = begin;
    while (!members.empty() && wave.begin_of(members.front().expert) == end) {
      end += members.front().n_rows;
      members = members.subspan(1);
    }
    activate(how, wave.scratch.gate.slice(begin, end - begin),
             wave.scratch.up.slice(begin, end - begin));
  }
}

// Experts that are not all in memory come in waves. No row's result depends on another row's, so
// none depends on the waves.
int64_t CpuOps::run_experts(Experts& experts, const GatedActivation& how,
                            std::span<const int64_t> first, Rows<float> x, Arena& scratch) {
  LH_DCHECK(x.is_dense() && x.n == first.back());
  const ArenaScope scope(scratch);
  const auto n_experts = static_cast<int64_t>(first.size()) - 2;
  const ExpertScratch s = take_experts(scratch, experts, n_experts, x);
  size_t n_wanted = 0;
  for (int64_t e = 0; e < n_experts; ++e) {
    const int64_t rows = first[static_cast<size_t>(e) + 1] - first[static_cast<size_t>(e)];
    if (rows == 0) continue;
    s.wanted[n_wanted++] = {static_cast<int32_t>(e), static_cast<int32_t>(rows)};
  }
  for (std::span wanted = s.wanted.first(n_wanted); !wanted.empty();) {
    const auto n = static_cast<size_t>(experts.acquire(wanted));
    ExpertWave wave{experts, first, wanted.first(n), x, s};
    multiply(wave, {ExpertPart::kGate, ExpertPart::kUp});
    activate(how, wave);
    multiply(wave, {ExpertPart::kDown});
    wanted = wanted.subspan(n);
  }
  return first[static_cast<size_t>(n_experts)];
}

void CpuOps::sum_experts(Rows<const float> x, Rows<const int64_t> place, Rows<const float> weight,
                         Rows<const int32_t> chosen, int64_t left_out, Rows<float> out) {
  LH_DCHECK(same_shape(place, weight) && same_shape(place, chosen));
  LH_DCHECK(out.n == place.n && out.width == x.width);
  for_rows(out.n, place.width * out.width, [&](int64_t row) {
    std::fill_n(out.row(row), out.width, 0.0f);
    for (int64_t j = 0; j < place.width; ++j) {
      if (chosen.row(row)[j] == left_out) continue;
      kernels().add_scaled(out.row(row), x.row(place.row(row)[j]), weight.row(row)[j], out.width);
    }
  });
}

}  // namespace longhaul
