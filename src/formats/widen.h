// Elements of tensors as f32, in whatever type a file holds weights: floats, and blocks with
// scales.
#pragma once

#include <optional>
#include <vector>

#include "formats/gguf.h"
#include "formats/tensor_source.h"
#include "tensor/grouped_codes.h"

namespace longhaul {

// The elements of n_blocks blocks. Null for types of single elements.
using Unpack = void (*)(const std::byte* blocks, int64_t n_blocks, float* out);
Unpack unpack_of(DType dtype);

// How blocks become integers and scales. Null for types of single elements.
const BlockDecoder* decoder_of(DType dtype);

// Whether weights may be stored so without scales in a tensor of their own.
bool holds_weights(DType dtype);
bool holds_weights(const TensorInfo& tensor);

// Elements [first, first + n) of a tensor that holds weights; whole blocks, or whole rows of a
// coded one. Reads the tensor at any alignment.
void widen_elements(const TensorInfo& tensor, int64_t first, int64_t n, float* out);

// All of a tensor; nothing where it holds no weights.
std::optional<std::vector<float>> widened(const GgufTensor& tensor);

// Refuses blocks with a scale that is no number or too large; `where` opens the error. Elements
// [first, first + n), whole blocks. Of floats and coded tensors nothing is checked.
Status check_scales(const TensorInfo& tensor, int64_t first, int64_t n, std::string_view where);

}  // namespace longhaul
