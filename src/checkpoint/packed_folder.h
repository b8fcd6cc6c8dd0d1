// A checkpoint at rest as the kernels read it: what `quantize` writes and the loader maps
// (docs/quantisation.md).
//
// Every weight that is multiplied is one tensor of bytes, U8 [matrices, panels, bytes of a panel],
// at a multiple of 64 bytes in its file. Its name is that of the tensor it was taken from, of the
// first of them where experts stand in tensors of their own, with a suffix that tells what is
// inside:
//   model.layers.3.mlp.down_proj.weight.q4.0-1536x6144     rows 0 to 1536, 6144 columns
// All other tensors stand as they were; elements in blocks (of a GGUF file) as rows of bytes whose
// name tells the type: model.embed_tokens.weight.blocks-Q6_K. Tables of quantised safetensors stand
// in their parts, and config.json keeps what was said of them. It tells the format and its version;
// in a folder of weights as released, names alone tell their types.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arch/weights.h"
#include "base/errors.h"
#include "base/json.h"
#include "formats/safetensors_writer.h"
#include "formats/tensor_source.h"
#include "mechanisms/weight_format.h"

namespace longhaul {

inline constexpr uint64_t kPackedAlignment = 64;  // of a packed tensor, in its file and in memory

std::string packed_suffix(const WeightSpec& weight, const Codec& codec);
std::vector<int64_t> packed_shape(const WeightSpec& weight, const Codec& codec);
// The codecs in which a folder of this format may hold a weight: one, or where each is as its
// checkpoint held it those that keep what a checkpoint may hold.
std::vector<const Codec*> possible_codecs(const WeightSpec& weight, const WeightFormat& format);

// The quantization_config of such a folder.
//   quantisation  what the checkpoint said of quantised tensors that are copied; null: none are
Json packed_config(const WeightFormat& format, const Json& quantisation = {});
// What it was given; null where the config has none.
Json packed_quantisation(const Json& config);
// Takes it out of a config that has one and gives the format; nothing, and the config as it was,
// where it is that of someone else or absent. Another version or block layout than this program's
// is an error.
Result<std::optional<WeightFormat>> take_packed_format(Json& config, const std::string& where);

// Rows and columns of what packed tensors were taken from, by the name they had: the last row that
// is used, where not all are.
std::map<std::string, std::vector<int64_t>, std::less<>> packed_origins(const TensorSource& source);

// How a tensor that is copied, as elements of a type, stands in such a folder: blocks are bytes
// there.
TensorDecl copied_tensor(const TensorInfo& tensor, DType dtype);
// Makes blocks of the bytes again that copied_tensor() made of them.
Status restore_blocks(TensorSource& source);

}  // namespace longhaul
