// Gemma's layers, block by block. Equations, with rms(x, w) = x / sqrt(mean(x^2) + eps) * w (Gemma
// 3: * (1 + w)):
//
//   x = E[t] * sqrt(D)
//   per layer:  x += rms(attention(rms(x, input_layernorm)), post_attention_layernorm)
//               x += rms(mlp(rms(x, pre_feedforward_layernorm)) [+ moe],
//               post_feedforward_layernorm) x += rms(per_layer_embedding(x),
//               post_per_layer_input_norm);  x *= layer_scalar      (Gemma 4)
//   logits = cap * tanh(E rms(x, norm) / cap)
// Source: the reference implementation's gemma4, gemma4_unified and gemma3 models.
#include "models/gemma.h"

#include <cmath>

#include "models/checkpoint_layout.h"
#include "models/gemma_gguf.h"
#include "models/presets.h"

namespace longhaul {
namespace {

class Builder {
 public:
  Builder(const GemmaConfig& c, const ShapeOf& shape_of)
      : c_(c),
        shape_of_(shape_of),
        first_shared_(static_cast<int64_t>(c.layers.size()) - c.num_kv_shared_layers) {}

  Architecture build() {
    const int64_t d = c_.hidden_size;
    a_.name = c_.name;
    a_.family = c_.generation == 3 ? "Gemma 3" : "Gemma 4";
    a_.vocab_size = c_.vocab_size;
    a_.hidden_size = d;
    a_.n_layers = static_cast<int64_t>(c_.layers.size());
    a_.max_positions = c_.full_rope.reach();
    a_.requires_bos = true;
    a_.prefixes = {"model.language_model.", "model.", "language_model.model.", ""};
    a_.embedding = {.table = a_.add_lookup("embed_tokens.weight", c_.vocab_size, d),
                    .scale = std::sqrt(static_cast<float>(d))};
    if (c_.hidden_size_per_layer_input > 0) declare_per_layer_embeddings();
    for (int64_t l = 0; l < a_.n_layers; ++l) add_layer(l);
    a_.head.norm = norm("norm.weight", d);
    a_.add_head_matrix(lm_head(c_.vocab_size, d), c_.tie_word_embeddings);
    if (c_.final_logit_softcapping)
      a_.head.softcap = static_cast<float>(*c_.final_logit_softcapping);
    list_ignored_tensors();
    return std::move(a_);
  }

 private:
  NormSpec norm(const std::string& name, int64_t n) {
    return {a_.add_vector(name, n, static_cast<float>(c_.norm_offset)),
            static_cast<float>(c_.rms_norm_eps)};
  }
  NormSpec plain_norm() const { return {kNone, static_cast<float>(c_.rms_norm_eps)}; }
  static std::string layer_name(int64_t l, const char* name) {
    return "layers." + std::to_string(l) + "." + name;
  }

  RopeSpec rope(const GemmaLayer& layer) const {
    return rope_spec(layer.full ? c_.full_rope : c_.sliding_rope, layer.head_dim);
  }

  void add_layer(int64_t l) {
    const GemmaLayer& layer = c_.layers[static_cast<size_t>(l)];
    const bool shared = l >= first_shared_;
    a_.blocks.push_back(attention(l, layer, shared));
    a_.blocks.push_back(feed_forward(l, shared));
    if (c_.hidden_size_per_layer_input > 0) a_.blocks.push_back(per_layer_embedding(l));
    if (c_.generation >= 4) {
      a_.blocks.back().residual =
          PlainResidual{a_.add_weight({layer_name(l, "layer_scalar"), {1}, /*is_buffer=*/true},
                                      {.use = WeightUse::kVector, .cols = 1})};
    }
  }

  Block attention(int64_t l, const GemmaLayer& layer, bool shared) {
    const int64_t d = c_.hidden_size, q = c_.num_attention_heads * layer.head_dim,
                  kv = layer.n_kv_heads * layer.head_dim;
    AttentionSpec s{.n_heads = c_.num_attention_heads,
                    .n_kv_heads = layer.n_kv_heads,
                    .head_dim = layer.head_dim,
                    .window = layer.full ? kUnbounded : c_.sliding_window,
                    .scale = static_cast<float>(c_.attention_scale),
                    .rope = rope(layer)};
    s.q_proj = a_.add_matrix(layer_name(l, "self_attn.q_proj.weight"), q, d);
    s.q_norm = norm(layer_name(l, "self_attn.q_norm.weight"), layer.head_dim);
    StateId& latest = layer.full ? latest_full_ : latest_sliding_;
    if (!shared) {
      add_keys_and_values(l, layer.k_eq_v, kv, s);
      s.k_norm = norm(layer_name(l, "self_attn.k_norm.weight"), layer.head_dim);
      if (c_.generation >= 4) s.v_norm = plain_norm();
      latest = static_cast<StateId>(a_.states.size());
      a_.states.push_back({.layer = l,
                           .n_kv_heads = layer.n_kv_heads,
                           .head_dim = layer.head_dim,
                           .window = s.window});
    }
    s.state = latest;  // a shared layer reads the last owner of its own type
    s.o_proj = a_.add_matrix(layer_name(l, "self_attn.o_proj.weight"), d, q);
    return {.layer = l,
            .pre_norm = norm(layer_name(l, "input_layernorm.weight"), d),
            .post_norm = norm(layer_name(l, "post_attention_layernorm.weight"), d),
            .mixer = s};
  }

  // Where values are the keys' projection, a checkpoint may hold it under either name, or under
  // both.
  void add_keys_and_values(int64_t l, bool k_eq_v, int64_t rows, AttentionSpec& s) {
    const std::string keys = layer_name(l, "self_attn.k_proj.weight"),
                      values = layer_name(l, "self_attn.v_proj.weight");
    if (!k_eq_v) {
      s.k_proj = a_.add_matrix(keys, rows, c_.hidden_size);
      s.v_proj = a_.add_matrix(values, rows, c_.hidden_size);
      return;
    }
    s.k_proj =
        a_.add_weight({.name = keys, .shape = {rows, c_.hidden_size}, .other_names = {values}},
                      {.use = WeightUse::kMatrix, .rows = rows, .cols = c_.hidden_size});
    a_.denied.push_back({values, keys, "attention_k_eq_v takes values from the keys' projection"});
  }

  GatedMlpSpec mlp(int64_t l, bool shared) {
    const int64_t d = c_.hidden_size,
                  width = c_.intermediate_size * (c_.use_double_wide_mlp && shared ? 2 : 1);
    return {.width = width,
            .activation = ActivationKind::kGeluTanh,
            .gate_proj = a_.add_matrix(layer_name(l, "mlp.gate_proj.weight"), width, d),
            .up_proj = a_.add_matrix(layer_name(l, "mlp.up_proj.weight"), width, d),
            .down_proj = a_.add_matrix(layer_name(l, "mlp.down_proj.weight"), d, width)};
  }

  MoeSpec moe(int64_t l) {
    const int64_t d = c_.hidden_size, e = c_.num_experts, width = c_.moe_intermediate_size;
    MoeSpec s{.n_experts = e,
              .top_k = c_.top_k_experts,
              .width = width,
              .activation = ActivationKind::kGeluTanh};
    s.router = LinearRouterSpec{
        .norm = plain_norm(),
        .scale = a_.add_vector(layer_name(l, "router.scale"), d),
        .factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))),
        .proj =
            a_.rounded(a_.add_matrix(layer_name(l, "router.proj.weight"), e, d), Rounding::kNever),
        .per_expert_scale = a_.add_vector(layer_name(l, "router.per_expert_scale"), e)};
    s.expert_norm = norm(layer_name(l, "pre_feedforward_layernorm_2.weight"), d);
    const std::string own = layer_name(l, "experts."), moe = layer_name(l, "moe.experts.");
    const ExpertLayout layouts[] = {stacked(own),          one_by_one(own),
                                    fused_one_by_one(own), one_by_one(moe),
                                    stacked(moe),          stacked_apart(own + "switch_glu.")};
    add_expert_weights(a_, s, layouts, shape_of_);
    return s;
  }

  // With experts, router and experts read the residual stream itself and bring norms of their own;
  // so does the dense MLP beside them.
  Block feed_forward(int64_t l, bool shared) {
    const int64_t d = c_.hidden_size;
    Block block{.layer = l};
    const NormSpec pre = norm(layer_name(l, "pre_feedforward_layernorm.weight"), d);
    if (c_.num_experts == 0) {
      block.pre_norm = pre;
      block.mixer = mlp(l, shared);
    } else {
      Branch dense{pre, norm(layer_name(l, "post_feedforward_layernorm_1.weight"), d),
                   mlp(l, shared)};
      Branch sparse{std::nullopt, norm(layer_name(l, "post_feedforward_layernorm_2.weight"), d),
                    moe(l)};
      block.mixer = ParallelSpec{{dense, sparse}};
    }
    block.post_norm = norm(layer_name(l, "post_feedforward_layernorm.weight"), d);
    return block;
  }

  void declare_per_layer_embeddings() {
    const int64_t width = static_cast<int64_t>(c_.layers.size()) * c_.hidden_size_per_layer_input;
    ple_table_ =
        a_.add_lookup("embed_tokens_per_layer.weight", c_.vocab_size_per_layer_input, width);
    ple_norm_ = norm("per_layer_projection_norm.weight", c_.hidden_size_per_layer_input);
  }

  Block per_layer_embedding(int64_t l) {
    const int64_t d = c_.hidden_size, p = c_.hidden_size_per_layer_input;
    PerLayerEmbeddingSpec s{
        .width = p,
        .activation = ActivationKind::kGeluTanh,
        .table = ple_table_,
        .table_column = l * p,
        .table_scale = std::sqrt(static_cast<float>(p)),
        .context_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))),
        .context_norm = ple_norm_,
        .combine_scale = static_cast<float>(1.0 / std::sqrt(2.0))};
    // Each layer multiplies its own rows of the packed projection, so rows that never reach a layer
    // cost nothing there.
    s.context_proj = a_.add_weight({"per_layer_model_projection.weight", {a_.n_layers * p, d}},
                                   {.use = WeightUse::kMatrix,
                                    .first_row = l * p,
                                    .rows = p,
                                    .cols = d,
                                    .rounding = Rounding::kFiner});
    s.gate_proj = a_.rounded(a_.add_matrix(layer_name(l, "per_layer_input_gate.weight"), p, d),
                             Rounding::kFiner);
    s.out_proj = a_.rounded(a_.add_matrix(layer_name(l, "per_layer_projection.weight"), d, p),
                            Rounding::kFiner);
    return {.layer = l,
            .post_norm = norm(layer_name(l, "post_per_layer_input_norm.weight"), d),
            .mixer = s};
  }

  void list_ignored_tensors() {
    for (const char* outer : {"", "model."}) {
      for (const char* tower : {"vision_tower.", "audio_tower.", "embed_vision.", "embed_audio.",
                                "vision_embedder.", "multi_modal_projector."}) {
        a_.ignored.push_back({std::string(outer) + tower,
                              "vision and audio input are not supported; text needs none of it",
                              true, true});
      }
    }
    for (int64_t l = 0; l < a_.n_layers; ++l) {
      if (c_.generation >= 4)
        a_.ignored.push_back({layer_name(l, "self_attn.v_norm.weight"),
                              "the value norm has no weight", false, false});
      if (l < first_shared_) continue;
      for (const char* name :
           {"self_attn.k_proj.weight", "self_attn.v_proj.weight", "self_attn.k_norm.weight"}) {
        a_.ignored.push_back({layer_name(l, name),
                              "this layer reads another layer's keys and values", false, false});
      }
    }
  }

  const GemmaConfig& c_;
  const ShapeOf& shape_of_;
  Architecture a_;
  int64_t first_shared_;
  StateId latest_full_ = kNone, latest_sliding_ = kNone;
  WeightId ple_table_ = kNone;
  NormSpec ple_norm_;
};

}  // namespace

Architecture gemma_architecture(const GemmaConfig& config, const ShapeOf& shape_of) {
  return Builder(config, shape_of).build();
}

namespace {

Result<Architecture> read(const ConfigFile& config, const ShapeOf& shape_of) {
  LH_TRY(const GemmaConfig c, read_gemma_config(config));
  return gemma_architecture(c, shape_of);
}

Result<Json> rewrite(const ConfigFile& config, int64_t n_layers, const std::string& dtype) {
  LH_TRY(GemmaConfig c, read_gemma_config(config));
  if (n_layers > 0) {
    LH_TRY(c, keep_gemma_layers(std::move(c), n_layers));
  }
  return gemma_config_json(c, dtype);
}

}  // namespace

const Family& gemma_family() {
  static const Family family{
      {"gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text", "gemma3", "gemma3_text"},
      read,
      rewrite,
      read_presets({"gemma-4-E2B", "gemma-4-E4B", "gemma-4-12B", "gemma-4-26B-A4B", "gemma-4-31B"}),
      false,
      {},
      {gemma3_gguf(), gemma4_gguf()}};
  return family;
}

}  // namespace longhaul
