// Rotary embeddings as configs spell them: one object of rope_parameters (or the older
// rope_scaling), of every rope_type that the reference computes.
//
// Source: the reference's modeling_rope_utils, whose roundings and defaults these are; YaRN (Peng
// et al. 2023).
#pragma once

#include <optional>
#include <vector>

#include "arch/specs.h"
#include "base/json.h"
#include "formats/config_reader.h"

namespace longhaul {

// In the order of kRopeTypes.
enum class RopeType { kDefault, kLinear, kProportional, kDynamic, kYarn, kLongRope, kLlama3 };

// What an object says, defaults filled in. Fields that its type does not use keep their defaults.
struct RopeFields {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0, partial_rotary_factor = 1.0;
  // missing: as far as max_position_embeddings is beyond the original
  std::optional<double> factor;
  std::optional<double> attention_factor;  // missing: follows from factor and mscale
  double beta_fast = 32, beta_slow = 1, mscale = 0, mscale_all_dim = 0;
  bool truncate = true;  // the ramp's bounds to whole pairs
  double low_freq_factor = 1, high_freq_factor = 4;
  std::vector<double> short_factor, long_factor;
  std::optional<int64_t> original_max_position_embeddings;  // missing: max_position_embeddings
  int64_t max_position_embeddings = 0;

  int64_t original() const {
    return original_max_position_embeddings.value_or(max_position_embeddings);
  }
  // Positions that the stretched angles were made for.
  int64_t reach() const;
};

// Reads an object over `defaults`, whose max_position_embeddings is set.
//   head_dim  of the heads that are turned, for what must fit it; 0: not known
enum class RopeReading {
  kAll,
  kStretchAlone
};  // the latter: theta and the part that turns are said elsewhere
RopeFields read_rope(ConfigReader object, RopeFields defaults, int64_t head_dim,
                     RopeReading reading = RopeReading::kAll);

// The object that holds those of several kinds of layers: what stands beside them. Gives whether
// YaRN's ramp is bounded by whole pairs, which the reference looks for here; a stray "default" says
// nothing.
bool read_beside_ropes(ConfigReader& objects);

// The angles of heads so wide. Heads must be even and as wide as those that were read for.
RopeSpec rope_spec(const RopeFields& fields, int64_t head_dim);

// An object that reads as these fields.
Json rope_json(const RopeFields& fields);

}  // namespace longhaul
