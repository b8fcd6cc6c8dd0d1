#include "mechanisms/what_if.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/printable.h"
#include "longhaul/nearest.h"
#include "mechanisms/mixers.h"

namespace longhaul {
namespace {

AttentionSpec* attention_of(Block& block) { return attention_of(block.mixer); }

IndexerSpec* indexer_of(Block& block) {
  if (auto* latent = block.mixer.as<LatentAttentionSpec>()) return &latent->indexer;
  auto* compressed = block.mixer.as<CompressedAttentionSpec>();
  return compressed != nullptr && compressed->indexer ? &*compressed->indexer : nullptr;
}

StateSpec& state_of(Architecture& arch, StateId id) { return arch.states[static_cast<size_t>(id)]; }

Error does_not_apply(const Architecture& arch, std::string_view name, std::string_view why) {
  return invalid("what-if {} changes nothing in {}: {}; leave it out", name, arch.name, why);
}

// The name of a layer's other projection: layers.3.self_attn.q_proj.weight ->
// layers.3.self_attn.k_proj.weight.
std::string sibling_name(const Architecture& arch, WeightId id, std::string_view from,
                         std::string_view to) {
  std::string name = arch.tensor_of(id).name;
  const size_t at = name.find(from);
  return at == std::string::npos ? fmt::format("{}.{}", name, to)
                                 : name.replace(at, from.size(), to);
}

// Declares a tensor that a checkpoint of the original may hold unread.
WeightId add_tensor(Architecture& arch, const std::string& name, WeightUse use, int64_t rows,
                    int64_t cols, float offset) {
  std::erase_if(arch.ignored,
                [&](const IgnoredTensor& i) { return !i.is_prefix && i.name == name; });
  return use == WeightUse::kVector ? arch.add_vector(name, cols, offset)
                                   : arch.add_matrix(name, rows, cols);
}

// A weight that is a whole tensor of its own gets another size.
Status resize(Architecture& arch, WeightId id, int64_t rows, int64_t cols) {
  if (id == kNone) return {};
  WeightSpec& w = arch.weights[static_cast<size_t>(id)];
  TensorSpec& t = arch.tensors[static_cast<size_t>(w.tensor)];
  if (w.n_elements() != t.n_elements())
    return unsupported("tensor '{}' holds several weights: this what-if cannot resize one of them",
                       t.name);
  w.rows = rows;
  w.cols = cols;
  t.shape = w.use == WeightUse::kVector ? std::vector{cols} : std::vector{rows, cols};
  return {};
}

Status resize_norm(Architecture& arch, const std::optional<NormSpec>& norm, int64_t n) {
  return norm ? resize(arch, norm->weight, 1, n) : Status{};
}

// Brings the shapes of an attention layer's weights in line with its numbers.
Status resize_attention(Architecture& arch, const AttentionSpec& s) {
  const int64_t d = arch.hidden_size, q = s.n_heads * s.head_dim, kv = s.n_kv_heads * s.head_dim;
  LH_RETURN_IF_ERROR(resize(arch, s.q_proj, q, d));
  LH_RETURN_IF_ERROR(resize(arch, s.k_proj, kv, d));
  LH_RETURN_IF_ERROR(resize(arch, s.v_proj, kv, d));
  LH_RETURN_IF_ERROR(resize(arch, s.o_proj, d, q));
  if (s.gate)
    LH_RETURN_IF_ERROR(resize(arch, s.gate->proj, s.gate->per_element ? q : s.n_heads, d));
  for (const auto* norm : {&s.q_norm, &s.k_norm, &s.v_norm})
    LH_RETURN_IF_ERROR(resize_norm(arch, *norm, s.head_dim));
  return {};
}

// The norm of the layer that owned the state until now, as this layer's own.
std::optional<NormSpec> own_norm(Architecture& arch, const AttentionSpec& s,
                                 const std::optional<NormSpec>& owners, std::string_view name) {
  if (!owners || owners->weight == kNone) return owners;
  const WeightId named_after = s.q_norm && s.q_norm->weight != kNone ? s.q_norm->weight : s.q_proj;
  const std::string tensor =
      sibling_name(arch, named_after, named_after == s.q_proj ? "q_proj" : "q_norm", name);
  return NormSpec{add_tensor(arch, tensor, WeightUse::kVector, 1, s.head_dim,
                             arch.weight(owners->weight).offset),
                  owners->eps};
}

Result<Architecture> no_kv_sharing(Architecture arch, std::string_view name) {
  bool applies = false;
  std::vector<AttentionSpec> owners(arch.states.size());
  for (Block& block : arch.blocks) {
    AttentionSpec* s = attention_of(block);
    if (s == nullptr) continue;
    if (s->writes_state()) {
      owners[static_cast<size_t>(s->state)] = *s;
      continue;
    }
    applies = true;
    const AttentionSpec& owner = owners[static_cast<size_t>(s->state)];
    const int64_t kv = s->n_kv_heads * s->head_dim;
    s->k_proj = add_tensor(arch, sibling_name(arch, s->q_proj, "q_proj", "k_proj"),
                           WeightUse::kMatrix, kv, arch.hidden_size, 0.0f);
    if (owner.v_proj != kNone) {
      s->v_proj = add_tensor(arch, sibling_name(arch, s->q_proj, "q_proj", "v_proj"),
                             WeightUse::kMatrix, kv, arch.hidden_size, 0.0f);
    }
    s->k_norm = own_norm(arch, *s, owner.k_norm, "k_norm");
    s->v_norm = own_norm(arch, *s, owner.v_norm, "v_norm");
    s->state = static_cast<StateId>(arch.states.size());
    arch.states.push_back({.layer = block.layer,
                           .n_kv_heads = s->n_kv_heads,
                           .head_dim = s->head_dim,
                           .window = s->window});
  }
  if (!applies) return does_not_apply(arch, name, "every layer keeps its own keys and values");
  return arch;
}

Result<Architecture> no_window(Architecture arch, std::string_view name) {
  bool applies = false;
  for (Block& block : arch.blocks) {
    AttentionSpec* s = attention_of(block);
    if (s == nullptr || s->window == kUnbounded) continue;
    applies = true;
    s->window = kUnbounded;
    state_of(arch, s->state).window = kUnbounded;
  }
  if (!applies) return does_not_apply(arch, name, "no layer has a window");
  return arch;
}

Result<Architecture> no_ple(Architecture arch, std::string_view name) {
  std::vector<Block> kept;
  for (Block& block : arch.blocks) {
    if (block.mixer.as<PerLayerEmbeddingSpec>() == nullptr) {
      kept.push_back(std::move(block));
    } else if (!kept.empty() && kept.back().layer == block.layer &&
               !std::holds_alternative<ScaledResidual>(block.residual)) {
      kept.back().residual =
          block.residual;  // the layer's scale closes the layer, whatever its last block is
    }
  }
  if (kept.size() == arch.blocks.size())
    return does_not_apply(arch, name, "it has no per-layer embeddings");
  arch.blocks = std::move(kept);
  return arch;
}

// Attention in the whole width instead of a compressed latent: as many heads as the hidden size
// holds, each with keys and values of its own, no convolutions and no delay.
Status decompress(Architecture& arch, Block& block) {
  const auto* cca = block.mixer.as<CcaSpec>();
  if (cca == nullptr) return {};
  AttentionSpec s = cca->attention;
  s.n_heads = s.n_kv_heads = std::max<int64_t>(1, arch.hidden_size / s.head_dim);
  state_of(arch, s.state).n_kv_heads = s.n_kv_heads;
  block.mixer = s;
  return resize_attention(arch, s);
}

bool has_shared_rows(const Architecture& arch) {
  return std::any_of(arch.states.begin(), arch.states.end(),
                     [](const StateSpec& s) { return s.rows == RowKind::kShared; });
}

Result<Architecture> mha(Architecture arch, std::string_view name) {
  bool applies = false;
  if (has_shared_rows(arch))
    return does_not_apply(arch, name, "its rows are keys and values of all heads at once");
  for (Block& block : arch.blocks) {
    applies = applies || block.mixer.as<CcaSpec>() != nullptr;
    LH_RETURN_IF_ERROR(decompress(arch, block));
    AttentionSpec* s = attention_of(block);
    if (s == nullptr) continue;
    StateSpec& state = state_of(arch, s->state);
    const int64_t wanted = s->writes_state() ? s->n_heads : state.n_kv_heads;
    applies = applies || s->n_kv_heads != wanted;
    s->n_kv_heads = state.n_kv_heads = wanted;
    LH_RETURN_IF_ERROR(resize_attention(arch, *s));
  }
  if (!applies) return does_not_apply(arch, name, "it has as many KV heads as query heads");
  drop_unused_states(arch);
  return arch;
}

const AttentionSpec* first_windowed(const Architecture& arch) {
  for (const Block& block : arch.blocks) {
    const auto* s = attention_of(block.mixer);
    if (s != nullptr && s->window != kUnbounded && s->writes_state()) return s;
  }
  return nullptr;
}

// The rotated share of a head stays the same.
RopeSpec scaled_rope(RopeSpec rope, int64_t from_dim, int64_t to_dim) {
  rope.n_pairs = rope.n_pairs * to_dim / from_dim;
  rope.live_pairs = rope.live_pairs * to_dim / from_dim;
  rope.denominator = rope.denominator * to_dim / from_dim;
  return rope;
}

Result<Architecture> uniform_heads(Architecture arch, std::string_view name) {
  const AttentionSpec* found = first_windowed(arch);
  if (found == nullptr) return does_not_apply(arch, name, "no layer has a window");
  const AttentionSpec like = *found;
  bool applies = false;
  for (Block& block : arch.blocks) {
    AttentionSpec* s = attention_of(block);
    if (s == nullptr || s->window != kUnbounded) continue;
    const bool wants_values = s->writes_state() && s->v_proj == kNone;
    if (s->n_heads == like.n_heads && s->head_dim == like.head_dim &&
        s->n_kv_heads == like.n_kv_heads && !wants_values)
      continue;
    applies = true;
    s->rope = scaled_rope(s->rope, s->head_dim, like.head_dim);
    s->n_heads = like.n_heads;
    s->head_dim = like.head_dim;
    s->n_kv_heads = like.n_kv_heads;
    StateSpec& state = state_of(arch, s->state);
    state.head_dim = like.head_dim;
    state.n_kv_heads = like.n_kv_heads;
    if (wants_values)
      s->v_proj = add_tensor(arch, sibling_name(arch, s->q_proj, "q_proj", "v_proj"),
                             WeightUse::kMatrix, 1, arch.hidden_size, 0.0f);
    LH_RETURN_IF_ERROR(resize_attention(arch, *s));
  }
  if (!applies) return does_not_apply(arch, name, "all layers have the same heads");
  return arch;
}

// One residual stream that every block's output is added to.
Result<Architecture> no_hyper_connections(Architecture arch, std::string_view name) {
  if (arch.n_streams == 1) return does_not_apply(arch, name, "it has one residual stream");
  arch.n_streams = 1;
  arch.head.collapse.reset();
  for (Block& block : arch.blocks) block.residual = PlainResidual{};
  return arch;
}

Result<Architecture> no_top_k(Architecture arch, std::string_view name) {
  bool applies = false;
  for (Block& block : arch.blocks) {
    IndexerSpec* indexer = indexer_of(block);
    if (indexer == nullptr) continue;
    applies = applies || indexer->is_followed;
    indexer->is_followed = false;
  }
  if (!applies) return does_not_apply(arch, name, "no layer attends to a choice");
  return arch;
}

// Gives a layer weights and states like those that another has.
class LikeLayer {
 public:
  LikeLayer(Architecture& arch, int64_t from, int64_t to)
      : arch_(arch), from_(prefix(from)), to_(prefix(to)), layer_(to) {}

  CompressorSpec compressor(CompressorSpec s) {
    for (WeightId* id : {&s.kv_proj, &s.gate_proj, &s.position_bias, &s.norm.weight})
      *id = weight(*id);
    for (StateId* id : {&s.entries, &s.open}) *id = state(*id);
    return s;
  }
  IndexerSpec indexer(IndexerSpec s) {
    for (WeightId* id : {&s.q_proj, &s.weights_proj}) *id = weight(*id);
    s.keys = compressor(s.keys);
    return s;
  }

 private:
  static std::string prefix(int64_t layer) { return "layers." + std::to_string(layer) + "."; }

  void rename(std::string& name) const {
    if (name.starts_with(from_)) name.replace(0, from_.size(), to_);
  }

  WeightId weight(WeightId id) {
    TensorSpec tensor = arch_.tensor_of(id);
    rename(tensor.name);
    for (std::string& name : tensor.other_names) rename(name);
    const WeightId added = arch_.add_weight(tensor, arch_.weight(id));
    // The layer may have had a tensor of that name in another size.
    arch_.tensors[static_cast<size_t>(arch_.weight(added).tensor)].shape = tensor.shape;
    return added;
  }

  StateId state(StateId id) {
    StateSpec spec = arch_.state(id);
    spec.layer = layer_;
    arch_.states.push_back(spec);
    return static_cast<StateId>(arch_.states.size()) - 1;
  }

  Architecture& arch_;
  std::string from_, to_;
  int64_t layer_;
};

bool compresses(const CompressedAttentionSpec& s, bool sparsely) {
  return s.compressor && s.indexer.has_value() == sparsely;
}

// Every layer compresses as the first of that kind does.
Result<Architecture> compress_all(Architecture arch, std::string_view name, bool sparsely) {
  const auto of = [](Block& block) { return block.mixer.as<CompressedAttentionSpec>(); };
  const auto is_like = [&](Block& block) {
    return of(block) != nullptr && compresses(*of(block), sparsely);
  };
  const auto found = std::find_if(arch.blocks.begin(), arch.blocks.end(), is_like);
  if (found == arch.blocks.end())
    return does_not_apply(arch, name, "it has no such layer to take as a model");
  const CompressedAttentionSpec like = *of(*found);
  const int64_t from = found->layer;
  bool applies = false;
  for (Block& block : arch.blocks) {
    CompressedAttentionSpec* s = of(block);
    if (s == nullptr || compresses(*s, sparsely)) continue;
    applies = true;
    LikeLayer copy(arch, from, block.layer);
    s->compressor = copy.compressor(*like.compressor);
    s->indexer.reset();
    if (sparsely) s->indexer = copy.indexer(*like.indexer);
    s->attention.rope = like.attention.rope;
  }
  if (!applies) return does_not_apply(arch, name, "all layers do");
  drop_unused_states(arch);
  return arch;
}

Result<Architecture> all_sparse(Architecture arch, std::string_view name) {
  return compress_all(std::move(arch), name, true);
}
Result<Architecture> all_heavy(Architecture arch, std::string_view name) {
  return compress_all(std::move(arch), name, false);
}

struct Edit {
  const char* name;
  const char* meaning;
  Result<Architecture> (*apply)(Architecture, std::string_view);
};

constexpr std::array kEdits = {
    Edit{"no-kv-sharing", "every layer keeps its own keys and values", no_kv_sharing},
    Edit{"no-window", "every layer attends to everything", no_window},
    Edit{"no-ple", "no per-layer embeddings", no_ple},
    Edit{"mha", "keys and values for every query head, nothing compressed", mha},
    Edit{"no-top-k", "every entry attended to, the indexer unheeded", no_top_k},
    Edit{"all-sparse", "every layer compressed and chosen from", all_sparse},
    Edit{"all-heavy", "every layer heavily compressed", all_heavy},
    Edit{"no-hyper-connections", "one residual stream", no_hyper_connections},
    Edit{"uniform-heads", "full layers with the heads of windowed ones", uniform_heads},
};

constexpr auto kNames = [] {
  std::array<const char*, kEdits.size()> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kEdits[i].name;
  return names;
}();

const Edit* find_edit(std::string_view name) {
  const auto* it =
      std::find_if(kEdits.begin(), kEdits.end(), [&](const Edit& e) { return name == e.name; });
  return it == kEdits.end() ? nullptr : it;
}

// A checkpoint of the original still loads where only reading was given up. Kept tensors stand in
// their old order, new ones behind them.
void ignore_dropped_tensors(Architecture& arch, const std::vector<TensorSpec>& before,
                            std::string_view name) {
  auto kept = arch.tensors.begin();
  for (const TensorSpec& t : before) {
    if (kept != arch.tensors.end() && kept->name == t.name) {
      ++kept;
    } else {
      arch.ignored.push_back({t.name, fmt::format("not read with what-if {}", name), false, false});
    }
  }
}

}  // namespace

std::span<const char* const> what_if_names() { return kNames; }

const char* what_if_meaning(std::string_view name) {
  const Edit* edit = find_edit(name);
  return edit == nullptr ? "" : edit->meaning;
}

Result<Architecture> apply_what_if(const Architecture& arch, std::string_view name) {
  const Edit* edit = find_edit(name);
  if (edit == nullptr) {
    return invalid("unknown what-if '{}'; there are {}{}", printable(name), fmt::join(kNames, ", "),
                   did_you_mean(name, {kNames.begin(), kNames.end()}));
  }
  LH_TRY(Architecture edited, edit->apply(Architecture(arch), name));
  drop_unused_weights(edited);
  ignore_dropped_tensors(edited, arch.tensors, name);
  return edited;
}

Result<Architecture> apply_what_ifs(Architecture arch, std::span<const std::string> names) {
  for (const std::string& name : names) {
    LH_TRY(arch, apply_what_if(arch, name));
  }
  return arch;
}

}  // namespace longhaul
