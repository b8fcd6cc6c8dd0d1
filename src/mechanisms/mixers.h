// Every mixer there is, for those who build or edit descriptions.
#pragma once

#include "mechanisms/cca.h"
#include "mechanisms/compressed_attention.h"
#include "mechanisms/gqa.h"
#include "mechanisms/latent_attention.h"
#include "mechanisms/mlp.h"
#include "mechanisms/moe.h"
#include "mechanisms/parallel.h"
#include "mechanisms/per_layer_embedding.h"

namespace longhaul {

// The heads, window and state of a mixer that has them, whatever is built around them; else null.
const AttentionSpec* attention_of(const Mixer& mixer);
AttentionSpec* attention_of(Mixer& mixer);

}  // namespace longhaul
