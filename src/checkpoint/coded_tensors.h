// Which tensors of a quantised checkpoint stand for the weight of one module: they become one
// tensor with the name and the shape that the weight has elsewhere, and whoever matches, prices,
// loads or packs weights sees that one (formats/coded_tensor.h).
//
//   container           weight                    beside it
//   compressed-tensors  L_packed, or L            L_scale, L_zero_point, L_shape, L_g_idx,
//                                                 L_global_scale
//   GPTQ, AWQ           M.qweight                 M.qzeros, M.scales, M.g_idx
//   MLX                 M.weight                  M.scales, M.biases
//   ModelOpt            L                         L_scale, L_scale_2
//   mobile              M.weight, or              M.weight_scale, or M.embedding_scale
//                       M.embedding_quantized
// M is a module; L its weight: M.weight, or the name of a stack of experts.
#pragma once

#include "checkpoint/quantisation.h"
#include "formats/tensor_source.h"

namespace longhaul {

// Puts the joined tensors in the place of their parts, and takes away scales of inputs, outputs and
// of the KV cache, with a notice. Shapes, types and indices of the parts are checked against each
// other and against the config; values are not. Leaves the source of no use behind an error.
Status join_coded_tensors(TensorSource& tensors, const Quantisation& quantisation,
                          const std::string& where);

}  // namespace longhaul
