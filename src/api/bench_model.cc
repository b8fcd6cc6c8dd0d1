// Speeds beside the machine's own limits, measured in the same run: on shared machines bandwidth
// changes by the minute, or sooner, so it is taken every few decoded tokens.
#include <algorithm>
#include <cmath>

#include "api/loaded_model.h"
#include "base/notice.h"
#include "base/system.h"
#include "checkpoint/compute_dtype.h"
#include "cost/plan.h"
#include "kernels/roofline.h"
#include "longhaul/bench.h"

namespace longhaul {
namespace {

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty()           ? 0
         : v.size() % 2 == 1 ? v[v.size() / 2]
                             : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

// Token ids without meaning: speed does not depend on them.
std::vector<int32_t> some_tokens(int64_t n, int64_t vocab) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  uint64_t state = 1;
  for (int32_t& t : tokens) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    t = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab));
  }
  return tokens;
}

constexpr int64_t kWarmUp = 2;
constexpr size_t kTokensPerLook = 8;
// by so much bandwidth may differ before and after tokens that count
constexpr double kSteady = 0.05;

struct Timing {
  double tokens = 0, seconds = 0;
  double readable_bytes = 0;  // in that time, at the bandwidth that was seen around it

  void operator+=(const Timing& t) {
    tokens += t.tokens;
    seconds += t.seconds;
    readable_bytes += t.readable_bytes;
  }
};

class Bench {
 public:
  Bench(const LoadedModel& model, const BenchOptions& options) : m_(model), o_(options) {}

  Result<BenchResults> run() {
    LH_TRY(r_.before, measure_machine());
    for (int64_t n : o_.prompts) LH_RETURN_IF_ERROR(time_prefill(n));
    LH_RETURN_IF_ERROR(walk_frontiers());
    LH_TRY(r_.after, measure_machine());
    describe();
    return std::move(r_);
  }

 private:
  // The memory that measuring takes is not the model's.
  Result<MachineSpeeds> measure_machine() {
    peak_rss_ = std::max(peak_rss_, peak_resident_bytes());
    const auto roofline = measure_roofline(compute());
    reset_peak_resident();
    if (!roofline.ok()) return roofline.error();
    return MachineSpeeds{roofline->read_bytes_per_second, roofline->bf16_flops_per_second,
                         roofline->f32_flops_per_second, roofline->int8_flops_per_second};
  }

  Compute compute() const { return {m_.kernels, m_.pool.get()}; }

  // Takes in n tokens, the logits of the last row wanted.
  Status feed(Executor& executor, Sequence& sequence, std::span<const int32_t> tokens) {
    while (!tokens.empty()) {
      const auto n = std::min(tokens.size(), static_cast<size_t>(m_.limits.max_rows));
      const SequenceInput input{&sequence, tokens.first(n),
                                n == tokens.size() ? LogitsWanted::kLast : LogitsWanted::kNone};
      LH_RETURN_IF_ERROR(m_.step(executor, std::span(&input, 1),
                                 [](size_t, int64_t, int64_t, const float*) { return true; }));
      tokens = tokens.subspan(n);
    }
    return {};
  }

  Status feed_one_by_one(Sequence& sequence, std::span<const int32_t> tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      LH_RETURN_IF_ERROR(feed(*m_.executor, sequence, tokens.subspan(i, 1)));
    return {};
  }

  std::optional<ExpertStats> expert_stats() const {
    return m_.weights->experts ? std::optional(m_.weights->experts->stats()) : std::nullopt;
  }

  std::optional<ExpertUse> experts_since(const std::optional<ExpertStats>& before,
                                         int64_t n_tokens) const {
    if (!before) return {};
    ExpertStats s = *expert_stats();
    s.hits -= before->hits;
    s.misses -= before->misses;
    return ExpertUse{s.hit_rate(),
                     (s.read_bytes - before->read_bytes) / static_cast<uint64_t>(n_tokens)};
  }

  Result<double> median_feed_seconds(Executor& executor, int64_t n) {
    const std::vector<int32_t> tokens = some_tokens(n, m_.arch->vocab_size);
    std::vector<double> times;
    for (int r = 0; r < o_.repeats; ++r) {
      LH_TRY(Sequence sequence, m_.new_sequence(n));
      LH_RETURN_IF_ERROR(sequence.reserve(n));
      const double start = now_seconds();
      LH_RETURN_IF_ERROR(feed(executor, sequence, tokens));
      times.push_back(now_seconds() - start);
      report_progress();
    }
    return median(times);
  }

  Status time_prefill(int64_t n) {
    PrefillResult p{.tokens = n};
    const uint64_t before = m_.executor->flops();
    const auto experts = expert_stats();
    LH_TRY(p.seconds, median_feed_seconds(*m_.executor, n));
    p.experts = experts_since(experts, n * o_.repeats);
    p.flops_per_second =
        static_cast<double>(m_.executor->flops() - before) / o_.repeats / p.seconds;
    if (o_.compare_row_skip) {
      LH_TRY(Executor all, Executor::create(*m_.arch, m_.weights->weights, *m_.kernels, *m_.pool,
                                            m_.limits, {.skip_unneeded_rows = false}));
      LH_TRY(p.all_rows_seconds, median_feed_seconds(all, n));
    }
    r_.prefills.push_back(p);
    return {};
  }

  // One sequence grows from depth to depth; what is decoded on the way counts as context.
  Status walk_frontiers() {
    if (o_.depths.empty()) return {};
    const int64_t room = m_.context;
    LH_TRY(Sequence sequence, m_.new_sequence(room));
    LH_RETURN_IF_ERROR(sequence.reserve(room));
    const std::vector<int32_t> tokens = some_tokens(room, m_.arch->vocab_size);
    for (int64_t depth : o_.depths) LH_RETURN_IF_ERROR(measure_at(depth, sequence, tokens));
    return {};
  }

  // The last tokens up to a depth are read in one timed step; the way there may be filled with
  // random state.
  Status measure_at(int64_t depth, Sequence& sequence, std::span<const int32_t> tokens) {
    const auto from = [&](int64_t n) {
      return tokens.subspan(static_cast<size_t>(sequence.length()), static_cast<size_t>(n));
    };
    FrontierResult f{.depth = depth};
    f.prefill_tokens =
        std::min(m_.limits.max_rows, std::max<int64_t>(0, depth - sequence.length()));
    const int64_t way = depth - f.prefill_tokens - sequence.length();
    if (way > 0)
      LH_RETURN_IF_ERROR(o_.fill_state ? sequence.fill_random(sequence.length() + way, 1)
                                       : feed(*m_.executor, sequence, from(way)));
    const double start = now_seconds();
    if (f.prefill_tokens > 0)
      LH_RETURN_IF_ERROR(feed(*m_.executor, sequence, from(f.prefill_tokens)));
    f.prefill_seconds = now_seconds() - start;
    LH_RETURN_IF_ERROR(time_decode(sequence, from(kWarmUp + o_.generate), f));
    f.state_bytes = state_bytes(*m_.arch, sequence.length(), m_.limits.kv);
    r_.frontiers.push_back(f);
    report_progress();
    return {};
  }

  // The first tokens warm up; the others are timed a few at a time, with a look at the bandwidth
  // before and after. Those count around which it stood still, if they are half of the tokens or
  // more.
  Status time_decode(Sequence& sequence, std::span<const int32_t> tokens, FrontierResult& f) {
    LH_RETURN_IF_ERROR(feed_one_by_one(sequence, tokens.first(kWarmUp)));
    tokens = tokens.subspan(kWarmUp);
    const auto experts = expert_stats();
    Timing all, steady;
    {
      peak_rss_ = std::max(peak_rss_, peak_resident_bytes());
      LH_TRY(ReadProbe probe, ReadProbe::create());
      double before = probe.now(compute());
      for (size_t n = 0; !tokens.empty(); tokens = tokens.subspan(n)) {
        n = std::min(tokens.size(), kTokensPerLook);
        const double start = now_seconds();
        LH_RETURN_IF_ERROR(feed_one_by_one(sequence, tokens.first(n)));
        const double seconds = now_seconds() - start, after = probe.now(compute());
        const Timing timing{static_cast<double>(n), seconds, (before + after) / 2 * seconds};
        all += timing;
        if (std::abs(after - before) <= kSteady * before) steady += timing;
        before = after;
      }
      peak_rss_ = std::max<uint64_t>(peak_rss_ + ReadProbe::kBytes, peak_resident_bytes()) -
                  ReadProbe::kBytes;  // the probe's memory is not the model's
    }
    reset_peak_resident();
    f.is_steady = steady.tokens >= all.tokens / 2;
    const Timing& counted = f.is_steady ? steady : all;
    f.decode_tokens_per_second = counted.tokens / counted.seconds;
    f.bandwidth = counted.readable_bytes / counted.seconds;
    PlanRequest request{.context = sequence.length() - o_.generate / 2,
                        .weights = m_.limits.weights,
                        .kv = m_.limits.kv,
                        .n_threads = m_.limits.n_threads};
    LH_TRY(const Plan plan, make_plan(*m_.arch, request));
    f.read_bytes = plan.decode_read_bytes;
    f.flops = plan.decode_flops_per_token;
    f.experts = experts_since(experts, o_.generate);
    return {};
  }

  void report_progress() {
    const double total =
        static_cast<double>(o_.prompts.size()) * o_.repeats * (o_.compare_row_skip ? 2 : 1) +
        static_cast<double>(o_.depths.size());
    if (o_.load.on_progress) o_.load.on_progress("measuring", std::min(1.0, ++done_ / total));
  }

  void describe() {
    const auto peak = [&](double MachineSpeeds::* flops) {
      return std::max(r_.before.*flops, r_.after.*flops);
    };
    const Codec* codec = m_.limits.weights.codec();
    switch (codec == nullptr ? InputCoding::kInt8 : codec->inputs) {
      case InputCoding::kF32: r_.dot_peak = peak(&MachineSpeeds::f32_flops_per_second); break;
      case InputCoding::kBf16: r_.dot_peak = peak(&MachineSpeeds::bf16_flops_per_second); break;
      case InputCoding::kInt8:
      case InputCoding::kRotatedInt8:
        r_.dot_peak = peak(&MachineSpeeds::int8_flops_per_second);
        break;
    }
    r_.model = m_.arch->name;
    r_.kernels = m_.kernels->name;
    r_.weights = to_string(m_.limits.weights);
    r_.kv = state_format_name(m_.limits.kv);
    r_.threads = m_.limits.n_threads;
    r_.context = m_.context;
    r_.scratch_bytes = m_.executor->scratch_bytes();
    r_.peak_rss_bytes = std::max(peak_rss_, peak_resident_bytes());
    r_.planned_bytes = m_.plan.total_bytes;
  }

  const LoadedModel& m_;
  const BenchOptions& o_;
  BenchResults r_;
  double done_ = 0;
  uint64_t peak_rss_ = 0;
};

}  // namespace

// The tokens that the longest case needs, or what is wrong with the cases. Depths are put in order.
static Result<int64_t> check_cases(BenchOptions& o) {
  if (o.repeats < 1) return invalid("repeats must be at least 1, given {}", o.repeats);
  if (o.generate < 1 || o.generate > kMaxPlannedContext)
    return invalid("tokens to generate must be from 1 to {}, given {}", kMaxPlannedContext,
                   o.generate);
  int64_t context = 1;
  for (int64_t n : o.prompts) {
    if (n < 1) return invalid("a prompt to time needs at least one token, given {}", n);
    context = std::max(context, n);
  }
  std::sort(o.depths.begin(), o.depths.end());
  int64_t reached = 0;
  for (int64_t d : o.depths) {
    if (d < 0 || d > kMaxPlannedContext)
      return invalid("a depth must be from 0 to {}, given {}", kMaxPlannedContext, d);
    reached = std::max(reached, d) + o.generate + kWarmUp;
    if (reached > kMaxPlannedContext)
      return invalid("depths and tokens to generate exceed {} together; ask for less",
                     kMaxPlannedContext);
  }
  return std::max(context, reached);
}

Result<BenchResults> bench(const std::string& folder, const BenchOptions& options) {
  const NoticeScope notices(options.load.on_notice);
  BenchOptions o = options;
  LH_TRY(const int64_t context, check_cases(o));
  if (o.load.context == 0) o.load.context = context;
  if (o.load.context < context)
    return invalid(
        "--context {} is less than the {} tokens that the longest case needs; use a larger one or "
        "smaller cases",
        o.load.context, context);
  LH_TRY(const LoadedModel model, LoadedModel::load(folder, o.load));
  return Bench(model, o).run();
}

}  // namespace longhaul
