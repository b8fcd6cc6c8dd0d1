// Blocks of quantised weights as GGUF files hold them, to integers and to f32.
//
// A block is a run of weights of one row (GgufTypeInfo::block_elements of them), stored alone: any
// run of blocks can be read without its neighbours. All functions are pure, take bytes at any
// address, allocate nothing and accept every content. Values are those of ggml's reference, bit for
// bit; of blocks that check_blocks refuses they may be infinite or no numbers.
// Source: https://github.com/ggml-org/ggml, ggml-common.h and gguf-py (layouts, MIT licence).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/errors.h"
#include "formats/gguf_types.h"
#include "tensor/grouped_codes.h"

namespace longhaul {

struct GgufBlockType {
  GgufType type;
  CodeGrouping grouping;
  // The integers and scales of one block.
  void (*decode)(const std::byte* block, GroupedCodes& codes);
  // The weights of n_blocks blocks; `out` has n_blocks * block_elements of them.
  void (*unpack)(const std::byte* blocks, int64_t n_blocks, float* out);
  // The first of n_blocks blocks that has a scale with which weights are not finite in f32;
  // n_blocks where there is none.
  int64_t (*first_damaged)(const std::byte* blocks, int64_t n_blocks);
};

std::span<const GgufBlockType> gguf_block_types();
// Null for types of single elements, and for TQ1_0 and TQ2_0, whose blocks are not read.
const GgufBlockType* gguf_block_type(GgufType type);

// As GgufBlockType::unpack; the type has blocks that are read. A tensor of NVFP4 has a factor of
// its own beside it ('NAME.scale'), by which its caller multiplies.
void unpack_blocks(GgufType type, const std::byte* blocks, int64_t n_blocks, float* out);

// Refuses blocks with a damaged scale; `where` opens the error (file and tensor), which says which
// block it is. `blocks` is whole blocks.
Status check_blocks(GgufType type, std::span<const std::byte> blocks, std::string_view where);

}  // namespace longhaul
