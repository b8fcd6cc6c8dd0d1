// A model is data: an embedding, blocks on a residual stream, a head. The executor runs this
// description, the state store allocates it, the planner prices it, inspect prints it, synth writes
// random weights for it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "arch/mixer.h"

namespace longhaul {

// read x, pre_norm, mix, post_norm, write back.
struct Block {
  int64_t layer = 0;
  std::optional<NormSpec> pre_norm, post_norm;
  Mixer mixer;
  Residual residual;
};

// x = (table[token] * scale + bias) * scale_vector
struct EmbeddingSpec {
  WeightId table = kNone;  // [V, D]
  float scale = 1.0f;
  WeightId bias = kNone, scale_vector = kNone;  // [D], may be kNone
};

// The streams' weighted sum, before the norm.
struct HyperCollapse {
  WeightId fn = kNone, base = kNone, scale = kNone;  // [n, n D], [n], [1]
  float eps = 1e-6f, norm_eps = 1e-6f;
};

struct HeadSpec {
  std::optional<HyperCollapse> collapse;
  NormSpec norm;
  WeightId matrix = kNone;  // [V, D]
  // the tensor of a head that is not the embedding, whether or not this one is
  TensorSpec own = {};
  std::optional<float> softcap;
};

// A tensor that may stand in a checkpoint and is not read, and why.
struct IgnoredTensor {
  // a whole name, or a beginning if is_prefix; without the family's prefix unless is_absolute
  std::string name;
  std::string reason;
  bool is_prefix = false;
  bool is_absolute = false;
};

// A tensor that may stand beside another whose values the config says are its own. It is not read;
// if it differs, that is told.
struct DeniedTensor {
  std::string name;     // without the family's prefix
  std::string read;     // the tensor that is read in its place
  std::string because;  // "the config's attention_k_eq_v"
};

struct Architecture {
  std::string family;  // for people only
  std::string name;
  int64_t vocab_size = 0, hidden_size = 0, n_layers = 0, max_positions = 0;
  // of the residual stream; more only where every block's residual is a HyperResidual
  int64_t n_streams = 1;
  bool requires_bos = false;  // a text without its beginning token is nothing the model has seen
  EmbeddingSpec embedding;
  std::vector<Block> blocks;
  HeadSpec head;
  std::vector<StateSpec> states;
  std::vector<TensorSpec> tensors;
  // those that add_weight declared: models have up to a million
  std::unordered_map<std::string, int32_t> tensor_by_name;
  std::vector<WeightSpec> weights;
  std::vector<std::string> prefixes;  // tried in order in front of the tensor names
  std::vector<IgnoredTensor> ignored;
  std::vector<DeniedTensor> denied;

  const WeightSpec& weight(WeightId id) const { return weights[static_cast<size_t>(id)]; }
  const TensorSpec& tensor_of(WeightId id) const {
    return tensors[static_cast<size_t>(weight(id).tensor)];
  }
  const StateSpec& state(StateId id) const { return states[static_cast<size_t>(id)]; }

  // Declares a tensor and a weight that is all of it.
  WeightId add_matrix(std::string name, int64_t rows, int64_t cols);
  WeightId add_vector(std::string name, int64_t n, float offset = 0.0f);
  WeightId add_lookup(std::string name, int64_t rows, int64_t cols);
  // Rows [first_row, first_row + rows) of each expert of a stack [n_experts, stacked_rows, cols].
  WeightId add_experts(std::string name, int64_t n_experts, int64_t stacked_rows, int64_t first_row,
                       int64_t rows, int64_t cols);
  // The same rows of experts in tensors [stacked_rows, cols] of their own: declared together
  // before, or not at all.
  WeightId add_separate_experts(const std::vector<std::string>& names, int64_t stacked_rows,
                                int64_t first_row, int64_t rows, int64_t cols);
  WeightId add_weight(TensorSpec tensor, WeightSpec weight);
  // How far the weight may be rounded; gives it back.
  WeightId rounded(WeightId id, Rounding rounding);
  // The head's matrix [V, D]: the tensor `own`, or the embedding's if the two are tied.
  void add_head_matrix(TensorSpec own, bool is_tied);
  bool is_head_tied() const { return weight(head.matrix).tensor == weight(embedding.table).tensor; }
  // Makes one tensor serve as head and embedding, that of either name; or gives the head its own.
  void tie_head();
  void tie_embedding_to_head();
  void untie_head();
};

// Every weight that the block uses, each once: norms, mixer, residual.
void for_each_weight(const Block& block,
                     const std::function<void(WeightId, const WeightRole&)>& visit);
// Every weight in use, each once: embedding, blocks in order, head.
void for_each_weight(const Architecture& arch, const std::function<void(WeightId)>& visit);
// Forgets weights and tensors that an edit of the blocks left without a user; renumbers the others.
void drop_unused_weights(Architecture& arch);
// Likewise states.
void drop_unused_states(Architecture& arch);

// Experts that tokens choose among, and how many of them one token gets.
struct Mixture {
  int64_t n_experts = 0, top_k = 0;
  std::vector<WeightId> matrices = {};  // each a stack of n_experts, in the order of the walk
};
// In the order of their blocks.
std::vector<Mixture> mixtures(const Architecture& arch);

// Calls visit for every state that the block reads or writes.
void for_each_state(const Block& block, const std::function<void(StateId, StateUse)>& visit);
bool writes_state(const Block& block);
// The state that the block reads and some other block writes, or kNone: it keeps none of its own.
StateId borrowed_state(const Block& block);

// The last block that writes state. Behind it, and in its own output, only rows whose logits are
// wanted go on.
int64_t last_writing_block(const Architecture& arch);

}  // namespace longhaul
