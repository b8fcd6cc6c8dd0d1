// Tensors that a config calls one: what the files hold decides, as the reference does
// (docs/formats.md).
#pragma once

#include <optional>

#include "arch/architecture.h"
#include "formats/tensor_source.h"
#include "mechanisms/weight_format.h"

namespace longhaul {

// Fits the description to a checkpoint's head and embedding: one tensor serves as both if only one
// is there, or if the config ties them and they are equal; else each its own. A denied tensor
// (Architecture::denied) is ignored. A notice tells where files and config disagree.
// Reads the tensors of a pair as far as they are equal.
//   packed  the format of a folder of packed weights (packed_folder.h)
void settle_shared_tensors(Architecture& arch, const TensorSource& source,
                           const std::optional<WeightFormat>& packed = {});

}  // namespace longhaul
