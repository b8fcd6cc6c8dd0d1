// What a machine reaches at best, and how fast a model should be on it.
#pragma once

#include <cstdint>

namespace longhaul {

// Of all threads together. One multiply-add counts as 2 FLOPs.
struct MachineSpeeds {
  double read_bytes_per_second = 0;  // over memory far larger than the caches
  double bf16_flops_per_second = 0, f32_flops_per_second = 0, int8_flops_per_second = 0;
};

// Predicted, of one sequence (decode: of the batch's together): from the bytes and FLOPs that the
// plan counts, at the rates at which products of the model's formats and shapes ran here a moment
// before. Loading, reading a prompt's text and choosing tokens are not in it.
struct SpeedForecast {
  double first_token_seconds = 0;        // a prompt that fills the context, read from its beginning
  double prefill_tokens_per_second = 0;  // of that prompt
  double decode_tokens_per_second = 0;   // at the end of the context
};

}  // namespace longhaul
