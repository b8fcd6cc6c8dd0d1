// Every call of a backend in the plainest loops, with sums in f64: what the definition says.
// Inputs of products are not rounded, queries neither.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/codecs/codecs.h"
#include "kernels/ref/stored.h"

namespace longhaul {
namespace {

float narrow(double x) { return static_cast<float>(x); }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

template <class F>
void for_each(Rows<float> x, const F& f) {  // f(element, row, column)
  for (int64_t i = 0; i < x.n; ++i) {
    for (int64_t c = 0; c < x.width; ++c) f(x.row(i)[c], i, c);
  }
}

// The sequences of a step, each with its number and the positions of its rows.
template <class F>
void for_tokens(const RowSet& rows, const F& f) {  // f(sequence, row, position)
  for (size_t s = 0; s < rows.sequences.size(); ++s) {
    const SequenceRows& r = rows.sequences[s];
    for (int64_t i = r.first_row; i < r.first_row + r.n_rows; ++i) {
      f(s, i, rows.positions[static_cast<size_t>(i)]);
    }
  }
}

std::vector<double> softmax(std::vector<double> x) {
  const double max = *std::max_element(x.begin(), x.end());
  for (double& v : x) v = std::exp(v - max);
  const double sum = std::accumulate(x.begin(), x.end(), 0.0);
  for (double& v : x) v /= sum;
  return x;
}

// Where a position is kept.
struct Place {
  const KvSegment* segment = nullptr;
  int64_t slot = 0;
};

Place find(std::span<const KvSegment> segments, int64_t position) {
  for (const KvSegment& s : segments) {
    const int64_t slot = s.begin + position - s.first_pos;
    if (position >= s.first_pos && slot < s.end) return {&s, slot};
  }
  LH_CHECK(!"a position that is kept");
  return {};
}

struct KeyValue {
  std::vector<double> key, value;
};

KeyValue read(const KvLayout& layout, std::span<const KvSegment> segments, int64_t position,
              int64_t head) {
  const Place at = find(segments, position);
  const StoredRows stored(layout);
  return {stored.key(*at.segment, at.slot, head), stored.value(*at.segment, at.slot, head)};
}

double dot(const float* q, const std::vector<double>& k) {
  double sum = 0.0;
  for (size_t d = 0; d < k.size(); ++d) sum += double{q[d]} * k[d];
  return sum;
}

// Softmax attention of one query over what it sees. A sink is a score without a value.
void attend_to(const float* q, double scale, const std::vector<KeyValue>& seen,
               std::optional<double> sink, float* out) {
  std::vector<double> scores;
  for (const KeyValue& kv : seen) scores.push_back(scale * dot(q, kv.key));
  if (sink) scores.push_back(*sink);
  if (!scores.empty()) scores = softmax(std::move(scores));
  for (size_t d = 0; d < seen.front().value.size(); ++d) {
    double sum = 0.0;
    for (size_t i = 0; i < seen.size(); ++i) sum += scores[i] * seen[i].value[d];
    out[d] = narrow(sum);
  }
}

double score_of(RouterScore kind, double x) {
  if (kind == RouterScore::kSigmoid) return sigmoid(x);
  return std::sqrt(std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))));
}

int64_t integer_at(const LookupTable& t, int64_t row, int64_t column) {
  if (row < 0 || row >= t.rows) row = 0;
  const auto bytes = static_cast<int64_t>(bytes_per_element(t.dtype));
  int32_t value = 0;
  std::memcpy(&value, t.data + (row * t.cols + column) * bytes, sizeof value);
  return value;
}

double number_at(const LookupTable& t, int64_t row, int64_t column) {
  if (row < 0 || row >= t.rows) row = 0;
  if (t.decoded != nullptr) {
    float element = 0.0f;
    t.decoded->read(row, column, 1, &element);
    return element;
  }
  if (is_quantised(t.dtype)) {
    const ElementBlock block = block_of(t.dtype);
    std::vector<float> elements(static_cast<size_t>(block.elements));
    const int64_t element = row * t.cols + column;
    t.unpack(t.data + element / block.elements * block.bytes, 1, elements.data());
    return elements[static_cast<size_t>(element % block.elements)];
  }
  const auto bytes = static_cast<int64_t>(bytes_per_element(t.dtype));
  const std::byte* at = t.data + (row * t.cols + column) * bytes;
  uint16_t bits = 0;
  float value = 0.0f;
  if (t.dtype == DType::kF32) {
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::memcpy(&bits, at, sizeof bits);
  return t.dtype == DType::kBF16 ? to_f32(bf16{bits}) : to_f32(f16{bits});
}

// A fixed block of a convolution, as rows of x, rows of y and the delayed value.
class Past {
 public:
  Past(const CausalConvolution& s, int64_t channels, int64_t half)
      : s_(s),
        channels_(channels),
        x_(rows(s.time0 - 1, channels)),
        y_(rows(s.time1 - 1, channels)),
        value_(static_cast<size_t>(half)) {
    for (auto& row : y_) row.assign(s.bias.begin(), s.bias.end());
  }

  void load(const float* block) {
    for_all([&](float& v, int64_t i) { v = block[i]; });
  }
  void store(float* block) {
    for_all([&](float& v, int64_t i) { block[i] = v; });
  }

  // Takes the next token's x in; returns its y and gives the windows over y and the delayed value.
  std::vector<float> step(const float* x, const float* delayed, float* window, float* late) {
    x_.emplace_back(x, x + channels_);
    std::vector<float> y(s_.bias.begin(), s_.bias.end());
    for (size_t j = 0; j < x_.size(); ++j) {
      for (size_t c = 0; c < y.size(); ++c) y[c] += s_.taps[c * x_.size() + j] * x_[j][c];
    }
    x_.erase(x_.begin());
    y_.push_back(y);
    for (size_t j = 0; j < y_.size(); ++j) {
      for (size_t c = 0; c < y.size(); ++c) window[c * y_.size() + j] = y_[j][c];
    }
    y_.erase(y_.begin());
    std::copy(value_.begin(), value_.end(), late);
    value_.assign(delayed, delayed + value_.size());
    return y;
  }

 private:
  static std::vector<std::vector<float>> rows(int64_t n, int64_t width) {
    return std::vector(static_cast<size_t>(n), std::vector<float>(static_cast<size_t>(width)));
  }
  template <class F>
  void for_all(const F& f) {
    int64_t i = 0;
    for (auto* part : {&x_, &y_}) {
      for (auto& row : *part) {
        for (float& v : row) f(v, i++);
      }
    }
    for (float& v : value_) f(v, i++);
  }

  const CausalConvolution& s_;
  int64_t channels_;
  std::vector<std::vector<float>> x_, y_;
  std::vector<float> value_;
};

// x / sqrt(mean(x^2) + eps) * w
std::vector<double> normed(const float* x, int64_t n, Vector w, double eps) {
  double sum = 0.0;
  for (int64_t c = 0; c < n; ++c) sum += double{x[c]} * double{x[c]};
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  std::vector<double> out;
  for (int64_t c = 0; c < n; ++c) {
    out.push_back(double{x[c]} * factor * (w.empty() ? 1.0 : double{w[static_cast<size_t>(c)]}));
  }
  return out;
}

class RefOps final : public Ops {
 public:
  void matmul(std::span<Matmul> products, Arena&) override {
    for (const Matmul& p : products) multiply(p);
  }

  void grouped_matmul(const PackedMatrix& first, int64_t n_groups, Rows<const float> x,
                      Rows<float> y, Arena&) override {
    for (int64_t g = 0; g < n_groups; ++g) {
      PackedMatrix w = first;
      w.data += static_cast<uint64_t>(g) * w.codec->bytes(w.n, w.k);
      multiply(product(x.columns(g * w.k, w.k), w, y.columns(g * w.n, w.n)));
    }
  }

  void copy(Rows<const float> x, Rows<float> out) override {
    for_each(out, [&](float& v, int64_t i, int64_t c) { v = x.row(i)[c]; });
  }
  void clear(Rows<float> out) override {
    for_each(out, [](float& v, int64_t, int64_t) { v = 0.0f; });
  }
  void gather(Rows<const float> x, std::span<const int64_t> rows, Rows<float> out) override {
    for_each(out,
             [&](float& v, int64_t i, int64_t c) { v = x.row(rows[static_cast<size_t>(i)])[c]; });
  }
  void keep(std::span<const int64_t> rows, Rows<float> x) override {
    gather(x, rows, x.slice(0, static_cast<int64_t>(rows.size())));
  }
  void repeat(Rows<const float> x, int64_t, Rows<float> out) override {
    for_each(out, [&](float& v, int64_t i, int64_t c) { v = x.row(i)[c % x.width]; });
  }

  void add(Rows<const float> y, Rows<float> x) override {
    for_each(x, [&](float& v, int64_t i, int64_t c) { v += y.row(i)[c]; });
  }
  void add_vector(Vector b, Rows<float> x) override {
    for_each(x, [&](float& v, int64_t, int64_t c) { v += b[static_cast<size_t>(c)]; });
  }
  void scale(float factor, Rows<float> x) override {
    for_each(x, [&](float& v, int64_t, int64_t) { v *= factor; });
  }
  void scale_by(Vector factors, Rows<float> x) override {
    for_each(x, [&](float& v, int64_t, int64_t c) { v *= factors[static_cast<size_t>(c)]; });
  }
  void softcap(float cap, Rows<float> x) override {
    for_each(x, [&](float& v, int64_t, int64_t) { v = narrow(cap * std::tanh(double{v} / cap)); });
  }
  void gelu(Rows<float> x) override {
    for_each(x, [](float& v, int64_t, int64_t) {
      v = narrow(0.5 * v * (1.0 + std::erf(double{v} * M_SQRT1_2)));
    });
  }
  void norm(Rows<const float> x, Vector w, float eps, Rows<float> out) override {
    for (int64_t i = 0; i < x.n; ++i) {
      const std::vector<double> row = normed(x.row(i), x.width, w, eps);
      std::transform(row.begin(), row.end(), out.row(i), narrow);
    }
  }
  void activate(const GatedActivation& how, Rows<float> gate, Rows<float> up) override {
    for_each(gate, [&](float& g, int64_t i, int64_t c) {
      double x = g, u = up.row(i)[c];
      if (how.limit) {
        x = std::min(x, double{*how.limit});
        u = std::clamp(u, -double{*how.limit}, double{*how.limit});
      }
      const double cubic = 0.7978845608028654 * (x + 0.044715 * x * x * x);
      const bool is_silu = how.activation == Activation::kSilu;
      g = narrow((is_silu ? x * sigmoid(x) : 0.5 * x * (1.0 + std::tanh(cubic))) * u);
    });
  }
  void gate_heads(int64_t n_heads, Rows<float> gate, Rows<float> x) override {
    const int64_t channels = gate.width == x.width ? 1 : x.width / n_heads;
    for_each(x, [&](float& v, int64_t i, int64_t c) {
      const double g = gate.row(i)[c / channels];
      v = narrow(v * (g > 20.0 ? g : std::log1p(std::exp(g))));
    });
  }
  void hand_on(Vector scale, Rows<float> x, Rows<float> state) override {
    for_each(x, [&](float& v, int64_t i, int64_t c) {
      float& handed = state.row(i)[c];
      if (!scale.empty()) v += handed * scale[static_cast<size_t>(c)];
      handed = v;
    });
  }

  void lookup(const LookupTable& table, std::span<const int32_t> tokens, int64_t column,
              float scale, Rows<float> out) override {
    for_each(out, [&](float& v, int64_t i, int64_t c) {
      v = narrow(number_at(table, tokens[static_cast<size_t>(i)], column + c) * scale);
    });
  }

  // The angle is a product in f32, as models were trained with.
  void rope_angles(std::span<const int64_t> positions, std::span<const float> frequencies,
                   float factor, Rows<float> cos, Rows<float> sin) override {
    for_each(cos.slice(0, static_cast<int64_t>(positions.size())),
             [&](float& v, int64_t i, int64_t c) {
               const auto position = static_cast<float>(positions[static_cast<size_t>(i)]);
               const float angle = position * frequencies[static_cast<size_t>(c)];
               v = narrow(std::cos(double{angle}) * factor);
               sin.row(i)[c] = narrow(std::sin(double{angle}) * factor);
             });
  }
  void rope(RopePairs pairs, Turn turn, const RopeAngles& angles, int64_t n_heads,
            Rows<float> x) override {
    const int64_t n = angles.cos.width, dim = x.width / n_heads;
    const bool halves = pairs == RopePairs::kHalves;
    for (int64_t i = 0; i < x.n * n_heads * n; ++i) {
      const int64_t row = i / n / n_heads, pair = i % n;
      float* head = x.row(row) + i / n % n_heads * dim;
      float& first = halves ? head[pair] : head[dim - 2 * n + 2 * pair];
      float& second = halves ? head[pair + n] : head[dim - 2 * n + 2 * pair + 1];
      const double cos = angles.cos.row(row)[pair], a = first, b = second;
      const double sin = (turn == Turn::kForward ? 1.0 : -1.0) * angles.sin.row(row)[pair];
      first = narrow(a * cos - b * sin);
      second = narrow(b * cos + a * sin);
    }
  }

  void store(const KvStep& kv, Rows<const float> k, Rows<const float> v) override {
    for (const KvWrite& w : kv.writes) {
      for (int64_t i = 0; i < w.n_rows; ++i) {
        const float* value = v.n == 0 ? nullptr : v.row(w.first_row + i);
        store_kv(kv.layout, w.block, w.slots, w.first_slot + i, k.row(w.first_row + i), value);
      }
    }
  }
  void attend(const Attention& spec, const KvStep& kv, const RowSet& rows, Rows<const float> q,
              Rows<float> out, Arena&) override {
    const int64_t dim = spec.layout.head_dim, group = spec.n_heads / spec.layout.n_kv_heads;
    for_tokens(rows, [&](size_t s, int64_t row, int64_t position) {
      const int64_t first = std::max<int64_t>(0, position - spec.window + 1);
      for (int64_t h = 0; h < spec.n_heads; ++h) {
        std::vector<KeyValue> seen;
        for (int64_t p = first; p <= position; ++p) {
          seen.push_back(read(spec.layout, kv.segments[s], p, h / group));
        }
        attend_to(q.row(row) + h * dim, spec.scale, seen, {}, out.row(row) + h * dim);
      }
    });
  }
  void attend_shared(const SharedAttention& spec, const KvStep& kv, const KvStep* entries,
                     const RowSet& rows, Rows<const int32_t> chosen, Rows<const float> q,
                     Rows<float> out, Arena&) override {
    const int64_t dim = spec.layout.head_dim;
    for_tokens(rows, [&](size_t s, int64_t row, int64_t position) {
      std::vector<KeyValue> seen;
      const int64_t first = std::max<int64_t>(0, position - spec.window + 1);
      for (int64_t p = first; p <= position; ++p) {
        seen.push_back(read(spec.layout, kv.segments[s], p, 0));
      }
      const int64_t n_entries = spec.seen_entries(position);
      const bool chooses = n_entries < spec.visible_entries(position);
      for (int64_t e = 0; e < n_entries; ++e) {
        const int64_t entry = chooses ? chosen.row(row)[e] : e;
        seen.push_back(read(spec.layout, entries->segments[s], entry, 0));
      }
      for (int64_t h = 0; h < spec.n_heads; ++h) {
        std::optional<double> sink;
        if (spec.sinks != nullptr) sink = spec.sinks[h];
        attend_to(q.row(row) + h * dim, spec.scale, seen, sink, out.row(row) + h * dim);
      }
    });
  }
  void select_entries(const EntrySelection& spec, const KvStep& keys, const RowSet& rows,
                      Rows<const float> q, Rows<const float> weights, Rows<int32_t> chosen,
                      Arena&) override {
    for_tokens(rows, [&](size_t s, int64_t row, int64_t position) {
      std::vector<std::pair<double, int32_t>> scores;
      for (int64_t e = 0; e < spec.visible_entries(position); ++e) {
        const Place at = find(keys.segments[s], e);
        const std::vector<double> key = StoredRows(spec.layout).key(*at.segment, at.slot, 0);
        double score = 0.0;
        for (int64_t h = 0; h < spec.n_heads; ++h) {
          const double product = dot(q.row(row) + h * spec.layout.head_dim, key);
          score += double{weights.row(row)[h]} * std::max(product, 0.0);
        }
        scores.emplace_back(-score, static_cast<int32_t>(e));
      }
      std::sort(scores.begin(), scores.end());
      scores.resize(std::min(scores.size(), static_cast<size_t>(spec.top_k)));
      int32_t* out = chosen.row(row);
      std::fill_n(out, spec.top_k, -1);
      for (const auto& [score, entry] : scores) *out++ = entry;
      std::sort(chosen.row(row), out);
    });
  }
  void pool_windows(const WindowPooling& s, const RowSet& rows, Rows<const float> kv,
                    Rows<const float> gate, const FixedStep& open, Rows<float> entries,
                    std::span<int64_t> positions) override {
    int64_t n_entries = 0;
    for_tokens(rows, [&](size_t sequence, int64_t row, int64_t position) {
      const SequenceRows& r = rows.sequences[sequence];
      float* state = open.blocks[sequence].carry(row - r.first_row, r.n_rows);
      if (position == 0) clear_pools(s, state, s.series());
      const int64_t slot = position % s.ratio, own = (s.series() - 1) * s.width;
      const float* bias = s.position_bias.data() + slot * kv.width;
      const auto take = [&](int64_t series, int64_t column) {
        float* pool = state + series * 3 * s.width;
        for (int64_t c = 0; c < s.width; ++c) {
          const int64_t at = column + c;
          pool_in(pool + c, s.width, double{gate.row(row)[at]} + double{bias[at]}, kv.row(row)[at]);
        }
      };
      take(0, own);
      if (s.overlaps) take(1, 0);
      if (slot != s.ratio - 1) return;
      const float *sum = state + s.width, *weighted = sum + s.width;
      float* entry = entries.row(n_entries);
      for (int64_t c = 0; c < s.width; ++c) entry[c] = weighted[c] / sum[c];
      positions[static_cast<size_t>(n_entries++)] = position - slot;
      clear_pools(s, state, 1);
      if (!s.overlaps) return;
      std::copy_n(state + 3 * s.width, 3 * s.width, state);
      clear_pools(s, state + 3 * s.width, 1);
    });
  }

  void choose_experts(const ExpertChoice& how, std::span<const int32_t> tokens, Rows<float> logits,
                      Rows<int32_t> chosen, Rows<float> weight) override {
    if (how.softcap) softcap(*how.softcap, logits);
    for (int64_t row = 0; row < logits.n; ++row) {
      std::vector<double> p(logits.row(row), logits.row(row) + logits.width);
      if (how.score == RouterScore::kSoftmax) {
        p = softmax(std::move(p));
      } else {
        for (double& v : p) v = score_of(how.score, v);
      }
      std::transform(p.begin(), p.end(), logits.row(row), narrow);
      std::vector<int32_t> order(p.size());
      std::iota(order.begin(), order.end(), 0);
      const auto value = [&](int32_t e) {
        const auto i = static_cast<size_t>(e);
        return p[i] + (how.bias.empty() ? 0.0 : double{how.bias[i]});
      };
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return value(a) > value(b); });
      double sum = 0.0;
      for (int64_t j = 0; j < chosen.width; ++j) {
        int32_t& e = chosen.row(row)[j];
        e = order[static_cast<size_t>(j)];
        if (how.token_experts != nullptr) {
          const int32_t token = tokens[static_cast<size_t>(row)];
          e = static_cast<int32_t>(integer_at(*how.token_experts, token, j));
        }
        sum += p[static_cast<size_t>(e)];
      }
      for (int64_t j = 0; j < chosen.width; ++j) {
        const auto e = static_cast<size_t>(chosen.row(row)[j]);
        const double own = how.expert_scale.empty() ? 1.0 : double{how.expert_scale[e]};
        weight.row(row)[j] = narrow(p[e] / (how.renormalises ? sum : 1.0) * own * how.output_scale);
      }
    }
  }
  void sort_by_expert(Rows<const int32_t> chosen, Rows<int64_t> place,
                      std::span<int64_t> first) override {
    int64_t n = 0;
    for (size_t e = 0; e + 1 < first.size(); ++e) {
      first[e] = n;
      for (int64_t a = 0; a < chosen.size(); ++a) {
        if (chosen.data[a] == static_cast<int32_t>(e)) place.data[a] = n++;
      }
    }
    first.back() = n;
  }
  void send_to_experts(Rows<const float> x, Rows<const int64_t> place, Rows<float> out) override {
    for (int64_t row = 0; row < x.n; ++row) {
      for (int64_t j = 0; j < place.width; ++j) {
        std::copy_n(x.row(row), x.width, out.row(place.row(row)[j]));
      }
    }
  }
  int64_t run_experts(Experts& experts, const GatedActivation& how, std::span<const int64_t> first,
                      Rows<float> x, Arena&) override {
    const int64_t width = experts.shape(ExpertPart::kGate).n;
    for (size_t e = 0; e + 2 < first.size(); ++e) {
      const Rows<float> own = x.slice(first[e], first[e + 1] - first[e]);
      if (own.n == 0) continue;
      std::vector<float> gates(static_cast<size_t>(own.n * width)), ups = gates;
      const Rows<float> gate(gates.data(), own.n, width), up(ups.data(), own.n, width);
      ExpertRows wanted{static_cast<int32_t>(e), static_cast<int32_t>(own.n)};
      experts.acquire({&wanted, 1});
      const auto matrix = [&](ExpertPart part) { return experts.matrix(part, wanted.expert); };
      multiply(product(own, matrix(ExpertPart::kGate), gate));
      multiply(product(own, matrix(ExpertPart::kUp), up));
      activate(how, gate, up);
      multiply(product(gate, matrix(ExpertPart::kDown), own));
    }
    return first[first.size() - 2];
  }
  void sum_experts(Rows<const float> x, Rows<const int64_t> place, Rows<const float> weight,
                   Rows<const int32_t> chosen, int64_t left_out, Rows<float> out) override {
    for_each(out, [&](float& v, int64_t row, int64_t c) {
      double sum = 0.0;
      for (int64_t j = 0; j < place.width; ++j) {
        if (chosen.row(row)[j] == left_out) continue;
        sum += double{weight.row(row)[j]} * double{x.row(place.row(row)[j])[c]};
      }
      v = narrow(sum);
    });
  }

  void convolve(const CausalConvolution& spec, const RowSet& rows, const FixedStep& state,
                Rows<const float> x, Rows<const float> current, Rows<const float> delayed,
                Rows<float> y, Rows<float> windows, Rows<float> values, Arena&) override {
    const int64_t half = current.width;
    for (size_t s = 0; s < rows.sequences.size(); ++s) {
      const SequenceRows& r = rows.sequences[s];
      if (r.n_rows == 0) continue;
      Past past(spec, x.width, half);
      const FixedBlock& block = state.blocks[s];
      if (rows.positions_of(r).front() > 0) past.load(block.past);
      for (int64_t row = r.first_row; row < r.first_row + r.n_rows; ++row) {
        std::copy_n(current.row(row), half, values.row(row));
        const std::vector<float> out =
            past.step(x.row(row), delayed.row(row), windows.row(row), values.row(row) + half);
        std::copy(out.begin(), out.end(), y.row(row));
        past.store(block.after.row(block.kept_at(row - r.first_row, r.n_rows)));
      }
    }
  }
  void mix_heads(const HeadMeans& s, Rows<const float> raw, Rows<float> z,
                 Rows<float> keys) override {
    const int64_t d = s.head_dim, group = s.n_heads / s.n_kv_heads;
    constexpr double kTiny = 1e-30;
    for (int64_t row = 0; row < raw.n; ++row) {
      const float *q = raw.row(row), *k = q + s.n_heads * d;
      float *zq = z.row(row), *zk = zq + s.n_heads * d;
      for (int64_t i = 0; i < s.n_heads * d; ++i) {
        const int64_t key = i / d / group * d + i % d;
        const double mean = 0.5 * (double{q[i]} + double{k[key]});
        zq[i] = narrow(zq[i] + mean);
        zk[key] = narrow(zk[key] + mean / static_cast<double>(group));
      }
      for (int64_t h = 0; h < s.n_heads; ++h) {
        const std::vector<double> head = normed(zq + h * d, d, {}, kTiny);
        std::transform(head.begin(), head.end(), zq + h * d, narrow);
      }
      for (int64_t g = 0; g < s.n_kv_heads; ++g) {
        double factor = s.temperature[static_cast<size_t>(g)];
        if (s.is_logarithm) factor = std::exp(std::clamp(factor, double{s.low}, double{s.high}));
        const std::vector<double> head = normed(zk + g * d, d, {}, kTiny);
        std::transform(head.begin(), head.end(), keys.row(row) + g * d,
                       [&](double v) { return narrow(v * factor); });
      }
    }
  }

  void add_residual(Rows<const float> y, Vector output_scale, Rows<float> x) override {
    add(y, x);
    if (!output_scale.empty()) scale(output_scale.front(), x);
  }
  void add_scaled_residual(const ResidualScales& s, Rows<float> y, Rows<float> x) override {
    for_each(x, [&](float& v, int64_t i, int64_t c) {
      const auto ch = static_cast<size_t>(c);
      const double own = (double{y.row(i)[c]} + double{s.bias[ch]}) * double{s.scale[ch]};
      v = narrow((double{v} + double{s.residual_bias[ch]}) * double{s.residual_scale[ch]} + own);
    });
  }
  void connect_streams(const StreamReader& reader, Rows<const float> y, Rows<float> streams,
                       Rows<float> coefficients, Rows<float> input) override {
    const int64_t d = input.width, n = streams.width / d;
    for (int64_t row = 0; row < streams.n; ++row) {
      float *x = streams.row(row), *z = coefficients.row(row);
      if (y.n > 0) write_streams(y.row(row), n, d, z, x);
      make_coefficients(reader, n, d, x, z);
      for (int64_t c = 0; c < d; ++c) {
        double sum = 0.0;
        for (int64_t j = 0; j < n; ++j) sum += double{z[j]} * double{x[j * d + c]};
        input.row(row)[c] = narrow(sum);
      }
    }
  }

 private:
  static std::vector<float> unpacked(const PackedMatrix& w, int64_t output) {
    std::vector<float> row(static_cast<size_t>(w.k));
    w.codec->unpack(w, output, row.data());
    return row;
  }

  static void multiply(const Matmul& p) {
    for (int64_t o = 0; o < p.w.n; ++o) {
      const std::vector<float> w = unpacked(p.w, o);
      for (int64_t i = 0; i < p.m; ++i) {
        double sum = 0.0;
        for (size_t k = 0; k < w.size(); ++k) sum += double{p.x[i * p.x_stride + k]} * double{w[k]};
        p.y[i * p.y_stride + o] = narrow(sum);
      }
    }
  }

  // Pools lie as maxima, sums, weighted sums.
  static void clear_pools(const WindowPooling& s, float* pools, int64_t n) {
    for (int64_t i = 0; i < n; ++i, pools += 3 * s.width) {
      std::fill_n(pools, s.width, -std::numeric_limits<float>::infinity());
      std::fill_n(pools + s.width, 2 * s.width, 0.0f);
    }
  }
  static void pool_in(float* channel, int64_t width, double gate, double value) {
    float &max = channel[0], &sum = channel[width], &weighted = channel[2 * width];
    const double largest = std::max(double{max}, gate);
    const double old = std::exp(double{max} - largest), own = std::exp(gate - largest);
    sum = narrow(sum * old + own);
    weighted = narrow(weighted * old + value * own);
    max = narrow(largest);
  }

  static void write_streams(const float* y, int64_t n, int64_t d, const float* z, float* x) {
    const std::vector<double> old(x, x + n * d);
    for (int64_t i = 0; i < n * d; ++i) {
      const int64_t to = i / d, c = i % d;
      double sum = double{z[n + to]} * double{y[c]};
      for (int64_t j = 0; j < n; ++j) {
        sum += double{z[2 * n + j * n + to]} * old[static_cast<size_t>(j * d + c)];
      }
      x[i] = narrow(sum);
    }
  }
  static void make_coefficients(const StreamReader& r, int64_t n, int64_t d, const float* x,
                                float* z) {
    double squares = 0.0;
    for (int64_t i = 0; i < n * d; ++i) squares += double{x[i]} * double{x[i]};
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(n * d) + r.norm_eps);
    std::vector<double> c;
    for (int64_t o = 0; o < r.fn.n; ++o) {
      double sum = 0.0;
      const std::vector<float> fn = unpacked(r.fn, o);
      for (size_t i = 0; i < fn.size(); ++i) sum += double{x[i]} * double{fn[i]};
      const size_t part = o < n ? 0 : o < 2 * n ? 1 : 2;
      c.push_back(sum * factor * r.scale[part] + r.base[static_cast<size_t>(o)]);
    }
    const auto at = [&](int64_t i) -> double& { return c[static_cast<size_t>(i)]; };
    for (int64_t j = 0; j < n; ++j) at(j) = sigmoid(at(j)) + r.eps;
    if (r.writes_back) {
      for (int64_t j = n; j < 2 * n; ++j) at(j) = 2.0 * sigmoid(at(j));
      mix_matrix(r, n, c.data() + 2 * n);
    }
    std::transform(c.begin(), c.end(), z, narrow);
  }
  static void mix_matrix(const StreamReader& r, int64_t n, double* c) {
    for (int64_t j = 0; j < n; ++j) {
      const std::vector<double> row = softmax({c + j * n, c + (j + 1) * n});
      for (int64_t k = 0; k < n; ++k) c[j * n + k] = row[static_cast<size_t>(k)] + r.eps;
    }
    const auto divide = [&](int64_t step, int64_t stride) {  // sums over elements `stride` apart
      for (int64_t a = 0; a < n; ++a) {
        double sum = r.eps;
        for (int64_t b = 0; b < n; ++b) sum += c[a * step + b * stride];
        for (int64_t b = 0; b < n; ++b) c[a * step + b * stride] /= sum;
      }
    };
    divide(1, n);
    for (int64_t i = 1; i < r.sinkhorn_iters; ++i) {
      divide(n, 1);
      divide(1, n);
    }
  }
};

}  // namespace

std::unique_ptr<Ops> ref_ops() { return std::make_unique<RefOps>(); }

}  // namespace longhaul
