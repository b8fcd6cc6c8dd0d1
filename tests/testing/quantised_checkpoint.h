// Checkpoints under tests/golden in the containers of quantised safetensors, each with the plain
// checkpoint of the same values beside it. Codes are packed here, bit by bit from the layouts'
// description, and the values are written down before they are packed: what decodes them
// (formats/quantised_matrix.h) has fixtures of the packages that define the layouts, and the two
// agree only where both are right.
#pragma once

#include <string>
#include <vector>

#include "testing/gguf_checkpoint.h"

namespace longhaul::testing {

enum class Container {
  kCtInt4,        // compressed-tensors, groups of 8
  kCtInt4Zeros,   // with zeros
  kCtInt3,        // codes across words
  kCtActOrder,    // groups listed by input
  kCtInt8Output,  // a scale an output
  kCtMixed,       // 8 bits in layers of odd numbers, 4 in the others; by expressions
  kCtBytes,       // int-quantized
  kCtFp8Tensor,
  kCtFp8Output,
  kCtFp8Block,
  kCtNvfp4,
  kCtMxfp4,
  kGptq,
  kGptqV2,
  kGptqActOrder,
  kAwq,
  kAutoRound,
  kMlx,   // affine of 4 bits, embeddings too; 8 bits in o_proj
  kMlx6,  // of 6 bits, across words
  kMlxMxfp4,
  kMlxMxfp8,
  kMlxNvfp4,
  kModelOptNvfp4,
  kModelOptFp8,
  kGemma,  // of 4 bits, embeddings of 8
};
const char* name_of(Container container);

struct QuantisedCheckpoint {
  HfCheckpoint coded, plain;
  int n_modules = 0;  // that are in codes
};

// Matrices whose shape the container holds; the others stay as they are. MLX's and Gemma's own
// keep embeddings in codes too; stacks of experts where the container has them.
QuantisedCheckpoint quantise_checkpoint(const HfCheckpoint& checkpoint, Container container);

}  // namespace longhaul::testing
