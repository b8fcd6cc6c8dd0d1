#include "models/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace longhaul {
namespace {

const std::initializer_list<std::string_view> kRopeTypes = {
    "default", "linear", "proportional", "dynamic", "yarn", "longrope", "llama3"};
constexpr int64_t kMostPositions = int64_t{1} << 32;
constexpr NumberRange kFactor = {1e-6, 1e6};

// Channels that turn: of a proportional head all are spread over, and only the first pairs move.
int64_t turned_channels(const RopeFields& f, int64_t head_dim) {
  if (f.type == RopeType::kProportional) return head_dim;
  return static_cast<int64_t>(f.partial_rotary_factor * static_cast<double>(head_dim));
}

class Reader {
 public:
  Reader(ConfigReader object, RopeFields defaults, int64_t head_dim, RopeReading reading)
      : r_(std::move(object)), f_(std::move(defaults)), head_dim_(head_dim), reading_(reading) {}

  RopeFields read() {
    read_type();
    if (reading_ == RopeReading::kAll) {
      f_.theta = r_.number("rope_theta", {1.0, 1e12}, f_.theta);
      f_.partial_rotary_factor =
          r_.number("partial_rotary_factor", {0.0, 1.0}, f_.partial_rotary_factor);
    }
    switch (f_.type) {
      case RopeType::kDefault: break;
      case RopeType::kLinear: f_.factor = r_.number("factor", kFactor, f_.factor); break;
      case RopeType::kProportional:
        f_.factor = r_.number("factor", kFactor, f_.factor.value_or(1.0));
        break;
      case RopeType::kDynamic: read_dynamic(); break;
      case RopeType::kYarn: read_yarn(); break;
      case RopeType::kLongRope: read_longrope(); break;
      case RopeType::kLlama3: read_llama3(); break;
    }
    check_channels();
    ignore_the_rest();
    return std::move(f_);
  }

 private:
  // The older spelling is "type". The reference drops it for Gemma 3 since version 5; before, and
  // for other families, it counts.
  void read_type() {
    const char* key = r_.has("rope_type") || !r_.has("type") ? "rope_type" : "type";
    f_.type = static_cast<RopeType>(r_.choice(key, kRopeTypes, static_cast<size_t>(f_.type)));
    r_.ignore("type", "rope_type goes before it");
  }

  void read_original() {
    if (const auto original =
            r_.optional_integer("original_max_position_embeddings", {1, kMostPositions}))
      f_.original_max_position_embeddings = original;
  }

  void read_optional(const char* key, std::optional<double>& to) {
    if (const auto found = r_.optional_number(key, kFactor)) to = found;
  }

  void read_dynamic() {
    f_.factor = r_.number("factor", kFactor, f_.factor);
    if (head_dim_ > 0 && turned_channels(f_, head_dim_) <= 2)
      r_.fail("rope_type", "is dynamic, which must turn more than 2 channels");
  }

  void read_yarn() {
    read_optional("factor", f_.factor);
    read_original();
    read_optional("attention_factor", f_.attention_factor);
    // 0 stands for the default, as it does in the reference.
    if (const double fast = r_.number("beta_fast", {0.0, 1e6}, f_.beta_fast); fast != 0)
      f_.beta_fast = fast;
    if (const double slow = r_.number("beta_slow", {0.0, 1e6}, f_.beta_slow); slow != 0)
      f_.beta_slow = slow;
    f_.mscale = r_.number("mscale", {-1e3, 1e3}, f_.mscale);
    f_.mscale_all_dim = r_.number("mscale_all_dim", {-1e3, 1e3}, f_.mscale_all_dim);
    // With theta 1 all pairs turn alike, and no pair bounds the ramp.
    if (f_.theta <= 1.0) r_.fail("rope_type", "is yarn, which needs a rope_theta above 1");
  }

  void read_longrope() {
    read_optional("factor", f_.factor);
    read_original();
    read_optional("attention_factor", f_.attention_factor);
    const size_t pairs = static_cast<size_t>(turned_channels(f_, head_dim_)) / 2;
    const LengthRange length = head_dim_ > 0 ? LengthRange{pairs, pairs} : LengthRange{1, 1 << 12};
    f_.short_factor = r_.numbers("short_factor", length, kFactor);
    f_.long_factor = r_.numbers("long_factor", length, kFactor);
    if (f_.original() < 2)
      r_.fail("original_max_position_embeddings", "must be at least 2 for longrope");
  }

  void read_llama3() {
    f_.factor = r_.number("factor", kFactor, f_.factor);
    read_original();
    f_.low_freq_factor = r_.number("low_freq_factor", kFactor);
    f_.high_freq_factor = r_.number("high_freq_factor", kFactor);
    if (f_.high_freq_factor <= f_.low_freq_factor && r_.has("low_freq_factor") &&
        r_.has("high_freq_factor"))
      r_.fail("high_freq_factor", fmt::format("must be above low_freq_factor ({}), found {}",
                                              f_.low_freq_factor, f_.high_freq_factor));
  }

  void check_channels() {
    if (head_dim_ == 0 || f_.type == RopeType::kProportional) return;
    const int64_t turned = turned_channels(f_, head_dim_);
    if (turned < 2 || turned % 2 != 0)
      r_.fail("partial_rotary_factor",
              fmt::format("must turn an even number of channels, at least 2, turns {}", turned));
  }

  // What another type would read: the reference warns of it and goes on.
  void ignore_the_rest() {
    for (const char* key : {"factor", "original_max_position_embeddings", "attention_factor",
                            "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "low_freq_factor",
                            "high_freq_factor", "short_factor", "long_factor"})
      r_.ignore(key, "this rope_type does not use it");
    r_.ignore("truncate", "the reference looks for it beside these objects");
  }

  ConfigReader r_;
  RopeFields f_;
  int64_t head_dim_;
  RopeReading reading_;
};

double factor_of(const RopeFields& f) {
  if (f.factor) return *f.factor;
  return static_cast<double>(f.max_position_embeddings) / static_cast<double>(f.original());
}

// YaRN, section 3.4.
double magnitude(double factor, double mscale) {
  return factor > 1.0 ? 0.1 * mscale * std::log(factor) + 1.0 : 1.0;
}

double attention_factor_of(const RopeFields& f) {
  if (f.attention_factor) return *f.attention_factor;
  const double factor = factor_of(f);
  if (f.type == RopeType::kLongRope)
    return factor > 1.0
               ? std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(f.original())))
               : 1.0;
  if (f.mscale != 0 && f.mscale_all_dim != 0)
    return magnitude(factor, f.mscale) / magnitude(factor, f.mscale_all_dim);
  return magnitude(factor, 1.0);
}

// The pairs that turn beta_fast and beta_slow times within the original context bound the ramp; so
// many channels turn.
RopeRamp yarn_ramp(const RopeFields& f, int64_t channels) {
  const auto pair_of = [&](double turns) {
    return static_cast<double>(channels) *
           std::log(static_cast<double>(f.original()) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(f.theta));
  };
  double low = pair_of(f.beta_fast), high = pair_of(f.beta_slow);
  if (f.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(channels - 1));
  return {low, high == low ? high + 0.001 : high};
}

RopeStretch stretch_of(const RopeFields& f, int64_t channels) {
  const auto floats = [](const std::vector<double>& list) {
    return std::vector<float>(list.begin(), list.end());
  };
  switch (f.type) {
    case RopeType::kYarn: return yarn_ramp(f, channels);
    case RopeType::kLlama3: return RopeBands{f.low_freq_factor, f.high_freq_factor, f.original()};
    case RopeType::kDynamic: return RopeGrowth{f.max_position_embeddings};
    case RopeType::kLongRope:
      return RopeDivisors{floats(f.short_factor), floats(f.long_factor), f.original()};
    default: return EvenStretch{};
  }
}

}  // namespace

int64_t RopeFields::reach() const {
  const bool stretches =
      type == RopeType::kYarn || type == RopeType::kLongRope || type == RopeType::kLlama3;
  if (!stretches || !original_max_position_embeddings) return max_position_embeddings;
  const double reached = std::min(factor_of(*this) * static_cast<double>(original()),
                                  static_cast<double>(kMostPositions));
  return std::max(max_position_embeddings, static_cast<int64_t>(reached));
}

RopeFields read_rope(ConfigReader object, RopeFields defaults, int64_t head_dim,
                     RopeReading reading) {
  return Reader(std::move(object), std::move(defaults), head_dim, reading).read();
}

bool read_beside_ropes(ConfigReader& objects) {
  const Json* type = objects.peek("rope_type");
  if (type != nullptr && type->as_string() != nullptr && *type->as_string() == "default")
    objects.ignore("rope_type", "stretches nothing");
  return objects.boolean("truncate", true);
}

RopeSpec rope_spec(const RopeFields& f, int64_t head_dim) {
  const int64_t channels = turned_channels(f, head_dim), pairs = channels / 2;
  const bool is_proportional = f.type == RopeType::kProportional;
  RopeSpec spec{.n_pairs = pairs, .live_pairs = pairs, .denominator = channels, .theta = f.theta};
  if (is_proportional)
    spec.live_pairs =
        static_cast<int64_t>(f.partial_rotary_factor * static_cast<double>(head_dim)) / 2;
  if (f.type == RopeType::kDefault) return spec;
  spec.stretch = stretch_of(f, channels);
  if (f.type != RopeType::kLongRope) spec.factor = factor_of(f);
  if (f.type == RopeType::kYarn || f.type == RopeType::kLongRope)
    spec.attention_factor = static_cast<float>(attention_factor_of(f));
  return spec;
}

Json rope_json(const RopeFields& f) {
  const std::string_view type = *(kRopeTypes.begin() + static_cast<size_t>(f.type));
  Json j = Json::object({{"rope_type", type},
                         {"rope_theta", f.theta},
                         {"partial_rotary_factor", f.partial_rotary_factor}});
  if (f.type == RopeType::kDefault) return j;
  if (f.factor && !(f.type == RopeType::kProportional && *f.factor == 1.0))
    j.set("factor", *f.factor);
  if (f.original_max_position_embeddings)
    j.set("original_max_position_embeddings", *f.original_max_position_embeddings);
  if (f.attention_factor) j.set("attention_factor", *f.attention_factor);
  if (f.type == RopeType::kYarn) {
    for (const auto& [key, value] : {std::pair{"beta_fast", f.beta_fast},
                                     {"beta_slow", f.beta_slow},
                                     {"mscale", f.mscale},
                                     {"mscale_all_dim", f.mscale_all_dim}})
      j.set(key, value);
  }
  if (f.type == RopeType::kLlama3) {
    j.set("low_freq_factor", f.low_freq_factor);
    j.set("high_freq_factor", f.high_freq_factor);
  }
  if (f.type == RopeType::kLongRope) {
    j.set("short_factor", Json::Array(f.short_factor.begin(), f.short_factor.end()));
    j.set("long_factor", Json::Array(f.long_factor.begin(), f.long_factor.end()));
  }
  return j;
}

}  // namespace longhaul
