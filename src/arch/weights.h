// The weights of a model as data: which tensors a checkpoint holds and which part of which tensor
// fills which place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace longhaul {

using WeightId = int32_t;  // index into Architecture::weights
using StateId = int32_t;   // index into Architecture::states
inline constexpr int32_t kNone = -1;

// A tensor of the checkpoint, by its name without the family's prefix.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  // a registered buffer of the reference: stored, but not counted as parameters
  bool is_buffer = false;
  std::vector<std::string> other_names = {};  // spellings that checkpoints use as well
  bool is_absolute = false;                   // stands without the prefix

  int64_t n_elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

enum class WeightUse {
  kMatrix,  // multiplied for every token: packed, resident
  // a stack of matrices [E, rows, cols] of which a token uses a few: packed, resident or brought in
  // as they are chosen
  kExpert,
  kFine,    // a small matrix whose products need all of f32: packed as f32 whatever the others are
  kLookup,  // a table of which a token reads one row: stays in the mapped file
  // a table of integers below `limit`, of which a token reads one row: checked when loading, stays
  // in the mapped file
  kIndex,
  kVector,  // norms, scales, biases: widened to f32
  kTaps,    // of a depthwise convolution: f32 like a vector, and multiplied for every token
};

// How far a matrix may be rounded when weights are quantised.
enum class Rounding {
  kFully,  // to the width asked for
  kFiner,  // no further than to 8 bits
  kNever,  // stays bf16: small, and errors in it spread
};

// What a mechanism uses: all of a tensor, or rows [first_row, first_row + rows) of it. Of a stack
// of experts those rows of each expert; or the experts stand in tensors of their own.
struct WeightSpec {
  int32_t tensor = kNone;  // index into Architecture::tensors
  int32_t n_tensors = 1;   // that many from there on: 1, or one an expert
  WeightUse use = WeightUse::kVector;
  int64_t n_experts = 1;
  int64_t expert_stride = 0;  // rows from expert to expert of a stack
  int64_t first_row = 0;
  int64_t rows = 1, cols = 0;  // [out, in]; a vector is one row
  Rounding rounding = Rounding::kFully;
  float offset = 0.0f;    // added when loading (norms stored as w, used as 1 + w)
  int64_t limit = 0;      // of kIndex
  bool is_alias = false;  // a second use of a tensor counted elsewhere (tied embeddings)
  // What the model is released in: kF8E4M3 with a scale every 128 x 128, kF4 with one every 32
  // inputs of an output, or plain elements. What a checkpoint at hand holds is told beside the
  // description (mechanisms/weight_format.h).
  DType released = DType::kBF16;
  DType released_scales = DType::kF8E8M0;
  // The weight's number in the description as a checkpoint's config gave it; edits keep it, and
  // what they add like another weight has that of the other. kNone: of no checkpoint.
  int32_t origin = kNone;

  int64_t n_elements() const { return n_experts * rows * cols; }
  bool is_matrix() const {
    return use == WeightUse::kMatrix || use == WeightUse::kExpert || use == WeightUse::kFine;
  }
  bool is_table() const { return use == WeightUse::kLookup || use == WeightUse::kIndex; }
  bool is_f32() const { return use == WeightUse::kVector || use == WeightUse::kTaps; }
};

}  // namespace longhaul
