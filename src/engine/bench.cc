// Speeds beside the machine's own limits, measured in the same run: on shared machines bandwidth changes by the minute, so it is taken right before and
// right after each decode.
#include <algorithm>

#include "base/system.h"
#include "cost/plan.h"
#include "engine/model_impl.h"
#include "kernels/roofline.h"
#include "longhaul/tools.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
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

// Of experts that stay in their files, while something was timed.
struct ExpertUse {
  double hit_rate;
  uint64_t read_bytes_per_token;
};

struct Prefill {
  int64_t tokens;
  double seconds, all_rows_seconds;
  double flops_per_second;
  std::optional<ExpertUse> experts = {};
};

struct Decode {
  int64_t depth;
  double tokens_per_second;
  uint64_t read_bytes, state_bytes;
  double bandwidth;  // of memory, mean of right before and right after
  std::optional<ExpertUse> experts;

  double bytes_per_second() const { return tokens_per_second * static_cast<double>(read_bytes); }
};

class Bench {
 public:
  Bench(Model::Impl& model, const BenchOptions& options) : m_(model), o_(options) {}

  Result<Report> run() {
    const Compute compute{m_.kernels, m_.pool.get()};
    LH_TRY(before_, measure_roofline(compute));
    for (int64_t n : o_.prompts) LH_RETURN_IF_ERROR(time_prefill(n));
    for (int64_t depth : o_.depths) LH_RETURN_IF_ERROR(time_decode(depth));
    LH_TRY(after_, measure_roofline(compute));
    return Report{text(), json().dump(2)};
  }

 private:
  // Takes in n tokens, the logits of the last row wanted.
  Status feed(Executor& executor, Sequence& sequence, std::span<const int32_t> tokens) {
    while (!tokens.empty()) {
      const auto n = std::min(tokens.size(), static_cast<size_t>(m_.chunk()));
      const SequenceInput input{&sequence, tokens.first(n), n == tokens.size() ? LogitsWanted::kLast : LogitsWanted::kNone};
      LH_RETURN_IF_ERROR(executor.step(std::span(&input, 1), [](size_t, int64_t, int64_t, const float*) { return true; }));
      m_.weights->rows_read(static_cast<int64_t>(n));
      tokens = tokens.subspan(n);
    }
    return {};
  }

  std::optional<ExpertStats> expert_stats() const {
    return m_.weights->experts ? std::optional(m_.weights->experts->stats()) : std::nullopt;
  }

  std::optional<ExpertUse> experts_since(const std::optional<ExpertStats>& before, int64_t n_tokens) const {
    if (!before) return {};
    ExpertStats s = *expert_stats();
    s.hits -= before->hits;
    s.misses -= before->misses;
    return ExpertUse{s.hit_rate(), (s.read_bytes - before->read_bytes) / static_cast<uint64_t>(n_tokens)};
  }

  Result<double> median_feed_seconds(Executor& executor, int64_t n) {
    const std::vector<int32_t> tokens = some_tokens(n, m_.arch.vocab_size);
    std::vector<double> times;
    for (int r = 0; r < o_.repeats; ++r) {
      LH_TRY(Sequence sequence, Sequence::create(m_.arch, m_.limits.kv, n));
      LH_RETURN_IF_ERROR(sequence.reserve(n));
      const double start = now_seconds();
      LH_RETURN_IF_ERROR(feed(executor, sequence, tokens));
      times.push_back(now_seconds() - start);
      report_progress();
    }
    return median(times);
  }

  Status time_prefill(int64_t n) {
    Prefill p{n, 0, 0, 0};
    const uint64_t before = m_.executor->flops();
    const auto experts = expert_stats();
    LH_TRY(p.seconds, median_feed_seconds(*m_.executor, n));
    p.experts = experts_since(experts, n * o_.repeats);
    p.flops_per_second = static_cast<double>(m_.executor->flops() - before) / o_.repeats / p.seconds;
    if (o_.compare_row_skip) {
      LH_TRY(Executor all, Executor::create(m_.arch, m_.weights->weights, *m_.kernels, *m_.pool, m_.limits, {.skip_unneeded_rows = false}));
      LH_TRY(p.all_rows_seconds, median_feed_seconds(all, n));
    }
    prefills_.push_back(p);
    return {};
  }

  Status time_decode(int64_t depth) {
    LH_TRY(Sequence sequence, Sequence::create(m_.arch, m_.limits.kv, depth + o_.generate + 2));
    LH_RETURN_IF_ERROR(sequence.reserve(depth + o_.generate + 2));
    const std::vector<int32_t> tokens = some_tokens(depth + o_.generate + 2, m_.arch.vocab_size);
    LH_RETURN_IF_ERROR(feed(*m_.executor, sequence, std::span(tokens).first(static_cast<size_t>(depth + 2))));
    LH_TRY(const Roofline before, measure_roofline({m_.kernels, m_.pool.get()}));
    const auto experts = expert_stats();
    const double start = now_seconds();
    for (int64_t i = depth + 2; i < depth + 2 + o_.generate; ++i)
      LH_RETURN_IF_ERROR(feed(*m_.executor, sequence, std::span(tokens).subspan(static_cast<size_t>(i), 1)));
    const double seconds = now_seconds() - start;
    PlanRequest request{
        .context = depth + 2 + o_.generate / 2, .weights = m_.limits.weights, .kv = m_.limits.kv, .n_threads = m_.limits.n_threads};
    LH_TRY(const Plan plan, make_plan(m_.arch, request));
    LH_TRY(const Roofline after, measure_roofline({m_.kernels, m_.pool.get()}));
    decodes_.push_back({depth, static_cast<double>(o_.generate) / seconds, plan.decode_read_bytes, sequence.allocated_bytes(),
                        (before.read_bytes_per_second + after.read_bytes_per_second) / 2, experts_since(experts, o_.generate)});
    report_progress();
    return {};
  }

  void report_progress() {
    const double total =
        static_cast<double>(o_.prompts.size()) * o_.repeats * (o_.compare_row_skip ? 2 : 1) + static_cast<double>(o_.depths.size());
    if (o_.load.progress) o_.load.progress("measuring", std::min(1.0, ++done_ / total));
  }

  double dot_peak() const {
    return m_.limits.weights == DType::kBF16 ? std::max(before_.bf16_flops_per_second, after_.bf16_flops_per_second)
                                             : std::max(before_.f32_flops_per_second, after_.f32_flops_per_second);
  }

  static std::string experts_text(const std::optional<ExpertUse>& e) {
    return e ? fmt::format("   experts {:.1f} % hits, {} read a token", 100 * e->hit_rate, format_bytes(e->read_bytes_per_token)) : "";
  }

  static void set_experts(Json& row, const std::optional<ExpertUse>& e) {
    if (!e) return;
    row.set("expert_hit_rate", e->hit_rate);
    row.set("expert_read_bytes_per_token", e->read_bytes_per_token);
  }

  std::string text() const {
    std::string out = fmt::format("{}: {} threads, kernels {}, weights {}, state {}\n", m_.arch.name, m_.limits.n_threads, m_.kernels->name,
                                  to_string(m_.limits.weights), to_string(m_.limits.kv));
    out += fmt::format("dot peak {:.0f} GFLOP/s\n\n", dot_peak() / 1e9);
    if (!prefills_.empty()) out += "prefill      tokens/s      GFLOP/s  of peak\n";
    for (const Prefill& p : prefills_) {
      out += fmt::format("{:>7}  {:>12.1f}  {:>11.1f}  {:>6.1f} %", p.tokens, static_cast<double>(p.tokens) / p.seconds,
                         p.flops_per_second / 1e9, 100 * p.flops_per_second / dot_peak());
      if (p.all_rows_seconds > 0)
        out += fmt::format("   {:.2f}x of {:.1f} tokens/s with every row in every block", p.all_rows_seconds / p.seconds,
                           static_cast<double>(p.tokens) / p.all_rows_seconds);
      out += experts_text(p.experts) + "\n";
    }
    if (!decodes_.empty()) out += "\n  depth      tokens/s   bytes/token      GB/s   of GB/s         state\n";
    for (const Decode& d : decodes_) {
      out += fmt::format("{:>7}  {:>12.2f}  {:>12}  {:>8.1f}  {:>8.1f}  {:>5.1f} %  {}{}\n", d.depth, d.tokens_per_second, d.read_bytes,
                         d.bytes_per_second() / 1e9, d.bandwidth / 1e9, 100 * d.bytes_per_second() / d.bandwidth,
                         format_bytes(d.state_bytes), experts_text(d.experts));
    }
    out += fmt::format("\npeak RSS {}, planned {} at {} tokens of context\n", format_bytes(peak_resident_bytes()),
                       format_bytes(m_.plan.total_bytes), m_.context);
    return out;
  }

  Json json() const {
    Json prefill{Json::Array{}}, decode{Json::Array{}};
    for (const Prefill& p : prefills_) {
      Json row = Json::object({{"tokens", p.tokens},
                               {"seconds", p.seconds},
                               {"tokens_per_second", static_cast<double>(p.tokens) / p.seconds},
                               {"flops_per_second", p.flops_per_second},
                               {"share_of_peak", p.flops_per_second / dot_peak()}});
      if (p.all_rows_seconds > 0) row.set("all_rows_seconds", p.all_rows_seconds);
      set_experts(row, p.experts);
      prefill.push_back(row);
    }
    for (const Decode& d : decodes_) {
      Json row = Json::object({{"depth", d.depth},
                               {"tokens_per_second", d.tokens_per_second},
                               {"read_bytes_per_token", d.read_bytes},
                               {"bytes_per_second", d.bytes_per_second()},
                               {"read_bandwidth", d.bandwidth},
                               {"share_of_bandwidth", d.bytes_per_second() / d.bandwidth},
                               {"state_bytes", d.state_bytes}});
      set_experts(row, d.experts);
      decode.push_back(row);
    }
    const auto machine = [](const Roofline& r) {
      return Json::object({{"read_bytes_per_second", r.read_bytes_per_second},
                           {"bf16_flops_per_second", r.bf16_flops_per_second},
                           {"f32_flops_per_second", r.f32_flops_per_second}});
    };
    return Json::object({{"model", m_.arch.name},
                         {"threads", m_.limits.n_threads},
                         {"kernels", m_.kernels->name},
                         {"weights", to_string(m_.limits.weights)},
                         {"kv", to_string(m_.limits.kv)},
                         {"roofline_before", machine(before_)},
                         {"roofline_after", machine(after_)},
                         {"prefill", prefill},
                         {"decode", decode},
                         {"peak_rss_bytes", peak_resident_bytes()},
                         {"planned_total_bytes", m_.plan.total_bytes}});
  }

  Model::Impl& m_;
  const BenchOptions& o_;
  Roofline before_, after_;
  std::vector<Prefill> prefills_;
  std::vector<Decode> decodes_;
  double done_ = 0;
};

}  // namespace

Result<Report> bench(const std::string& folder, const BenchOptions& options) {
  if (options.repeats < 1) return invalid("repeats must be at least 1");
  if (options.generate < 1 || options.generate > kMaxPlannedContext)
    return invalid("tokens to generate must be 1 to {}", kMaxPlannedContext);
  BenchOptions o = options;
  int64_t context = 1;
  for (int64_t n : o.prompts) {
    if (n < 1) return invalid("a prompt to time needs at least one token");
    context = std::max(context, n);
  }
  for (int64_t d : o.depths) {
    if (d < 0 || d > kMaxPlannedContext) return invalid("a depth must be 0 to {}, given {}", kMaxPlannedContext, d);
    context = std::max(context, d + o.generate + 2);
  }
  if (o.load.context == 0) o.load.context = context;
  if (o.load.context < context)
    return invalid("--context {} is less than the {} tokens that the longest case needs", o.load.context, context);
  LH_TRY(const Model model, Model::load(folder, o.load));
  return Bench(model.impl(), o).run();
}

}  // namespace longhaul
