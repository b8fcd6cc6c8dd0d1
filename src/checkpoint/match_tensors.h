// Which tensor of a checkpoint is which of the description's.
#pragma once

#include <memory>
#include <optional>

#include "arch/architecture.h"
#include "checkpoint/weight_source.h"

namespace longhaul {

// Finds every tensor and checks shapes, dtypes and, of packed weights, their alignment. Missing,
// misshapen and unclaimed tensors are reported together in one error. How matrices are kept unless
// the user says otherwise: as they are packed; else in the type of the head, f16 widened to f32;
// where some are quantised, each as it is stored.
//   packed  the format of a folder of packed weights (packed_folder.h)
Result<std::unique_ptr<WeightSource>> match_weights(const Architecture& arch, TensorSource tensors,
                                                    const std::optional<WeightFormat>& packed = {});

}  // namespace longhaul
