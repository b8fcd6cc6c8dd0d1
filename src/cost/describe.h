// Parts of a description in words.
#pragma once

#include <string>

#include "arch/architecture.h"

namespace longhaul {

// "attention sliding 512", "mlp 6144", "mlp 2112 + moe 8 of 128 x 704": what a table has room for.
std::string describe(const Mixer& mixer);
// "8 query heads of 256, 1 KV head, rope theta 10000": the numbers of attention; nothing where a mixer has none.
std::string describe_heads(const Mixer& mixer);
// "queries from a latent of 1024, ...": what stands around the heads of compressed attention.
std::string describe_latents(const CompressedAttentionSpec& spec);
// "a ring of 512 rows of 1 x 256, keys and values".
std::string describe(const StateSpec& state);

// One letter a layer: S windowed, F full attention, C chosen and H all compressed entries beside a window, L latents; in lower case where the layer
// reads another's cache, '-' without attention.
std::string layer_schedule(const Architecture& arch);

}  // namespace longhaul
