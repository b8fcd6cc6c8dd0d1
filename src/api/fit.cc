// A grid of formats and contexts, each row priced as plan() prices it.
#include "longhaul/fit.h"

#include <algorithm>
#include <array>

#include "api/plan_request.h"
#include "api/precision.h"
#include "api/rate_meter.h"
#include "base/notice.h"
#include "cost/advice.h"
#include "cost/fit_report.h"
#include "cost/fit_row.h"

namespace longhaul {
namespace {

constexpr int64_t kUsualContext = 32 << 10;  // that people ask about who name none

// Two or three that people know, and the one that matters: what was asked for, or the model's own.
std::vector<int64_t> contexts_to_show(int64_t asked, int64_t max_positions) {
  const int64_t longest = asked > 0 ? asked : max_positions;
  std::vector<int64_t> contexts;
  for (const int64_t usual : {4 << 10, 32 << 10, 128 << 10}) {
    if (usual < longest && (asked == 0 || usual <= kUsualContext)) contexts.push_back(usual);
  }
  contexts.push_back(longest);
  return contexts;
}

// The formats that the model's weights can be kept in, finest first: as they are stored or were
// released where that says more than bf16, then each that floats are rounded to.
std::vector<WeightFormat> weight_formats(const NamedModel& named) {
  const FormatChoice& choice = named.formats;
  if (choice.is_only) return {choice.natural};
  std::vector<WeightFormat> formats;
  const auto bytes = [&](const WeightFormat& f) { return resident_weight_bytes(named.arch, f); };
  const auto over_files = [&](const WeightFormat& f) { return f.over(choice.natural.types()); };
  const WeightFormat released = over_files(WeightFormat::kReleased);
  const WeightFormat& natural = choice.natural;
  const bool says_more = bytes(released) != bytes(over_files(WeightFormat::kBF16)) &&
                         bytes(released) != bytes(over_files(WeightFormat::kF32));
  if (natural == WeightFormat::kReleased || says_more) formats.push_back(released);
  for (const Codec* codec : codecs()) {
    if (codec->option == nullptr) continue;
    const WeightFormat format = over_files(WeightFormat(*codec));
    // Where nothing keeps what is stored, the natural one is such a format under another name.
    if (format == natural || bytes(format) != bytes(natural)) formats.push_back(format);
  }
  return formats;
}

std::vector<CachePrecision> cache_formats(const Architecture& arch) {
  std::vector<CachePrecision> formats = {CachePrecision::kBF16, CachePrecision::kQ8};
  const bool has_released =
      std::any_of(arch.states.begin(), arch.states.end(),
                  [](const StateSpec& s) { return s.released.coding != RowCoding::kPlain; });
  if (has_released) formats.push_back(CachePrecision::kNative);
  formats.push_back(CachePrecision::kF32);
  return formats;
}

// What rounding to the codec makes of normal weights; nothing where they are kept as they are.
double rounding_error(const WeightFormat& format) {
  return format.codec() == nullptr ? 0 : format.codec()->rms_error;
}

class Grid {
 public:
  Grid(const NamedModel& named, PlanRequest request, const FitOptions& options)
      : named_(named), request_(std::move(request)), options_(options) {
    request_.what_if.clear();
  }

  Result<FitTable> fill(FitTable table) {
    const std::vector<WeightFormat> weights = weight_formats(named_);
    const std::vector<CachePrecision> caches = cache_formats(named_.arch);
    const size_t n_rows = weights.size() * caches.size() * table.contexts.size();
    if (options_.measure) {
      LH_TRY(meter_, RateMeter::create(request_.n_threads));
      table.memory_bytes_per_second = meter_->memory_bytes_per_second();
    }
    for (const WeightFormat& format : weights) {
      for (const CachePrecision kv : caches) {
        for (const int64_t context : table.contexts) {
          LH_TRY(FitRow row, price(format, kv, context));
          table.rows.push_back(std::move(row));
          if (options_.on_progress)
            options_.on_progress(
                "measuring", static_cast<double>(table.rows.size()) / static_cast<double>(n_rows));
        }
      }
    }
    return table;
  }

 private:
  Result<FitRow> price(const WeightFormat& format, CachePrecision kv, int64_t context) {
    PlanRequest r = request_;
    r.weights = with_inputs(format, options_.plan.inputs);
    r.kv = state_format_of(kv);
    r.context = context;
    r.chunk = std::min(options_.plan.max_batch_tokens, context);
    LH_TRY(const Plan plan, make_plan(named_.arch, r));
    FitRow row = fit_row(plan, r, named_.formats.natural);
    if (!row.is_natural) row.rounding_error = rounding_error(format);
    if (!meter_ || plan.expert_cache) return row;
    LH_TRY(row.speed, meter_->forecast(named_.arch, r, plan));
    return row;
  }

  const NamedModel& named_;
  PlanRequest request_;
  const FitOptions& options_;
  std::optional<RateMeter> meter_;
};

}  // namespace

Result<FitTable> fit(const std::string& model, const FitOptions& options) {
  std::optional<NamedModel> named;
  std::optional<PlanRequest> request;
  {
    const NoticeScope notices(options.plan.on_notice);
    LH_TRY(named, find_model(model, config_request(options.plan.config)));
  }
  // Rows try every format: what each would round is no news.
  const NoticeScope silence([](std::string_view) {});
  LH_TRY(request, plan_request(*named, model, options.plan));
  FitTable table{.model = named->arch.name,
                 .memory = *request->memory,
                 .is_memory_given = options.plan.memory > 0,
                 .threads = request->n_threads,
                 .max_positions = named->arch.max_positions,
                 .has_experts = !mixtures(named->arch).empty(),
                 .contexts = contexts_to_show(options.plan.context, named->arch.max_positions)};
  const int64_t asked = options.plan.context > 0
                            ? options.plan.context
                            : std::min(kUsualContext, named->arch.max_positions);
  LH_TRY(table, Grid(*named, *request, options).fill(std::move(table)));
  advise(table, asked);
  return table;
}

std::string to_text(const FitTable& table) { return fit_report(table); }
std::string to_json(const FitTable& table) { return fit_json(table).dump(2); }

}  // namespace longhaul
