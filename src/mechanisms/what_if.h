// Edits of a description that take one idea out of it, to be priced or run beside the original.
#pragma once

#include <span>
#include <string_view>

#include "arch/architecture.h"
#include "base/errors.h"

namespace longhaul {

//   no-kv-sharing  every layer projects and keeps keys and values of its own (widths stay)
//   no-window      every layer attends to everything
//   no-ple         no per-layer embeddings
//   mha            as many KV heads as query heads; a compressed latent is as wide as the model
//   no-top-k       every entry is attended to; the indexer goes on choosing, unheeded
//   all-sparse     every layer compresses and chooses as the first that does
//   all-heavy      every layer compresses as the first heavily compressed one
//   no-hyper-connections  one residual stream
//   uniform-heads  layers without a window take the query heads, head size and KV heads of those
//                  with one, and a value projection
std::span<const char* const> what_if_names();
const char* what_if_meaning(std::string_view name);  // a few words; empty for an unknown name

// An unknown name, and an edit that would change nothing in this model, are errors. Tensors that
// the edit leaves unread are ignored in a checkpoint.
Result<Architecture> apply_what_if(const Architecture& arch, std::string_view name);
Result<Architecture> apply_what_ifs(Architecture arch, std::span<const std::string> names);

}  // namespace longhaul
