// LoRA adapters in the layout of the PEFT library, merged into the weights as they are loaded:
//
//   W + s B A     s = lora_alpha / r, or lora_alpha / sqrt(r) where use_rslora says so
//
// Sums are in f64 and rounded to f32 once; then the weight is packed like any other.
// Source: https://github.com/huggingface/peft, LoraConfig and the names that it saves.
#pragma once

#include <string>

#include "formats/tensor_source.h"

namespace longhaul {

// Puts merged tensors (coded_tensor.h) in the place of those that the adapter in `folder` changes;
// the source owns the adapter's file from then on. A notice tells how many there are, and what is
// read for them. Gives what tells this adapter from others, its file apart. An error where a module
// is not in the checkpoint, or the adapter asks for what is not done here.
Result<std::string> merge_adapter(TensorSource& tensors, const std::string& folder);

}  // namespace longhaul
