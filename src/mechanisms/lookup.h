// Rows of a table that stays in its file: embeddings and per-layer embeddings.
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

// out [n] = table[row][column .. column + n) * scale, widened to f32. The scale is rounded to the dtype of the model's weights first, as the
// reference holds it in that dtype. A row beyond the table reads row 0.
void lookup_row(const Env& env, const LookupTable& table, int64_t row, int64_t column, int64_t n, float scale, float* out);

// out [cols] = table[row], integers that the loader has checked. A row beyond the table reads row 0.
void lookup_index(const LookupTable& table, int64_t row, int32_t* out);

}  // namespace longhaul
