// Which tensor of a checkpoint is which of the description's.
#pragma once

#include <optional>
#include <vector>

#include "arch/architecture.h"
#include "formats/scaled_tensor.h"
#include "tensor/weight_format.h"

namespace longhaul {

// A weight as a folder holds it packed.
struct PackedTensor {
  const TensorInfo* tensor = nullptr;
  DType dtype = DType::kF32;  // of the panels inside
};

struct MatchedTensors {
  // by index of the description's tensors; empty where a folder of packed weights has no need of it
  std::vector<ScaledTensor> tensors;
  // by weight id: of such a folder, the weights that are packed; else null
  std::vector<PackedTensor> packed;
};

// Finds every tensor and checks shapes, dtypes and, of packed weights, their alignment. Missing,
// misshapen and unclaimed tensors are reported together in one error.
//   packed  the format of a folder of packed weights (packed_folder.h)
Result<MatchedTensors> match_tensors(const Architecture& arch, const TensorSource& source,
                                     std::optional<WeightFormat> packed = {});

// Notes for every matrix and table of the description in what type the files hold it, and returns
// how matrices are kept unless the user says otherwise: as they are packed; else in the type of the
// head, f16 widened to f32; where some are quantised, each in its own.
Result<WeightFormat> note_stored_types(Architecture& arch, const TensorSource& source,
                                       std::optional<WeightFormat> packed = {});

}  // namespace longhaul
