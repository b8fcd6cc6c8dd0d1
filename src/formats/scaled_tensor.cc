#include "formats/scaled_tensor.h"

#include "base/checked_math.h"
#include "base/numbers.h"
#include "formats/widen.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr int64_t kBlock = 128;  // rows and columns of a block of 8-bit weights
constexpr int64_t kRun = 32;     // columns of a run of 4-bit weights

bool holds_pairs(DType dtype) { return dtype == DType::kI8 || dtype == DType::kU8; }

void decode_e4m3(const ScaledTensor& t, int64_t row, int64_t cols, float* out) {
  const std::byte* codes = t.weight->bytes.data() + row * cols;
  const int64_t blocks = ceil_div(cols, kBlock);
  for (int64_t b = 0; b < blocks; ++b) {
    const float scale = scale_at(*t.scales, row / kBlock * blocks + b);
    for (int64_t c = b * kBlock; c < std::min(cols, (b + 1) * kBlock); ++c)
      out[c] = to_f32(e4m3{static_cast<uint8_t>(codes[c])}) * scale;
  }
}

void decode_e2m1(const ScaledTensor& t, int64_t row, int64_t cols, float* out) {
  const std::byte* codes = t.weight->bytes.data() + row * cols / 2;
  for (int64_t run = 0; run < cols / kRun; ++run) {
    const float scale = scale_at(*t.scales, row * (cols / kRun) + run);
    for (int64_t c = run * kRun; c < (run + 1) * kRun; c += 2) {
      const auto pair = static_cast<uint8_t>(codes[c / 2]);
      out[c] = e2m1_to_f32(pair & 15u) * scale;
      out[c + 1] = e2m1_to_f32(pair >> 4) * scale;
    }
  }
}

// Blocks bring their scales; some types have a factor beside them, of the tensor or of each matrix
// of a stack.
void decode_blocks(const ScaledTensor& t, int64_t row, int64_t cols, float* out) {
  widen_elements(*t.weight, row * cols, cols, out);
  if (t.scales == nullptr) return;
  const float factor = factor_of(t, row);
  for (int64_t c = 0; c < cols; ++c) out[c] *= factor;
}

}  // namespace

float factor_of(const ScaledTensor& t, int64_t row) {
  if (t.scales == nullptr) return 1.0f;
  const bool is_stack = t.scales->shape.size() == 1 && t.scales->shape[0] > 1;
  return scale_at(*t.scales, is_stack ? row / t.weight->shape[1] : 0);
}

float scale_at(const TensorInfo& scales, int64_t i) {
  return float_at(scales.bytes.data(), scales.dtype, i);
}

bool needs_scales(DType dtype) { return dtype == DType::kF8E4M3 || holds_pairs(dtype); }

std::vector<std::string> scale_names(const std::string& weight_name) {
  constexpr std::string_view kWeight = ".weight";
  const std::string stem = weight_name.ends_with(kWeight)
                               ? weight_name.substr(0, weight_name.size() - kWeight.size())
                               : weight_name;
  return {stem + ".scale", weight_name + "_scale_inv"};
}

// NVFP4 has it, of one element, or one for each matrix of a stack.
Status check_factor(const ScaledTensor& t) {
  if (t.scales == nullptr) return {};
  const TensorInfo& w = *t.weight;
  const bool is_stack = w.shape.size() == 3 && t.scales->shape == std::vector{w.shape[0]};
  const bool is_one = t.scales->shape.empty() || t.scales->shape == std::vector<int64_t>{1};
  if (t.scales->dtype == DType::kF32 && w.dtype == DType::kNVFP4 && (is_one || is_stack)) return {};
  return corrupt(
      "tensor '{}' is {} {}, expected an F32 factor, or one for each matrix, beside NVFP4",
      t.scales->name, to_string(t.scales->dtype), shape_text(t.scales->shape));
}

Status check_scaled(const ScaledTensor& t, std::span<const int64_t> shape) {
  const TensorInfo& w = *t.weight;
  if (t.scales == nullptr)
    return corrupt("tensor '{}' is {} and has no scales ('{}')", w.name, to_string(w.dtype),
                   scale_names(w.name).front());
  if (shape.size() != 2)
    return unsupported("tensor '{}' is {}, which is read for matrices only, expected {}", w.name,
                       to_string(w.dtype), shape_text(shape));
  const DType scale = t.scales->dtype;
  if (scale != DType::kF8E8M0 && scale != DType::kF32 && scale != DType::kBF16)
    return corrupt("tensor '{}' has dtype {}, scales are F8_E8M0, F32 or BF16", t.scales->name,
                   to_string(scale));
  const int64_t rows = shape[0], cols = shape[1];
  const bool pairs = holds_pairs(w.dtype);
  if (pairs && cols % kRun != 0)
    return corrupt("tensor '{}' holds 4-bit weights of {} columns, which are no multiple of {}",
                   w.name, cols, kRun);
  const std::vector<int64_t> stored = pairs ? std::vector{rows, cols / 2} : std::vector{rows, cols};
  const std::vector<int64_t> scales =
      pairs ? std::vector{rows, cols / kRun}
            : std::vector{ceil_div(rows, kBlock), ceil_div(cols, kBlock)};
  if (w.shape != stored)
    return corrupt("tensor '{}' is {}, expected {}", w.name, shape_text(w.shape),
                   shape_text(stored));
  if (t.scales->shape != scales)
    return corrupt("tensor '{}' is {}, expected {}", t.scales->name, shape_text(t.scales->shape),
                   shape_text(scales));
  return {};
}

void decode_rows(const ScaledTensor& t, int64_t first_row, int64_t n_rows, int64_t cols,
                 float* out) {
  for (int64_t r = 0; r < n_rows; ++r) {
    if (is_quantised(t.weight->dtype) || t.weight->coded != nullptr) {
      decode_blocks(t, first_row + r, cols, out + r * cols);
    } else {
      holds_pairs(t.weight->dtype) ? decode_e2m1(t, first_row + r, cols, out + r * cols)
                                   : decode_e4m3(t, first_row + r, cols, out + r * cols);
    }
  }
}

}  // namespace longhaul
