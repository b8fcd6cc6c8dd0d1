// Laguna's layers, block by block, with rms(x, w) = x / sqrt(mean(x^2) + eps) * w:
//
//   x = E[t]
//   per layer:  x += Wo( softplus(Wg a) * attention(a) ),  a = rms(x, input_layernorm); as many
//   query heads as the layer's budget says
//               x += mlp(f), or scale * moe(f) + shared(f),  f = rms(x, post_attention_layernorm)
//   logits = H rms(x, norm)
// Source: the reference implementation's laguna model.
#include "models/laguna.h"

#include <algorithm>
#include <cmath>

#include "formats/config_reader.h"
#include "models/checkpoint_layout.h"
#include "models/common_fields.h"
#include "models/laguna_gguf.h"
#include "models/presets.h"
#include "models/rope_config.h"

namespace longhaul {
namespace {

struct Layer {
  bool full = true, sparse = true;
  int64_t n_heads = 0;
};

struct Config {
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_key_value_heads = 0,
          head_dim = 0, sliding_window = 0, max_position_embeddings = 0;
  int64_t num_experts = 0, num_experts_per_tok = 0, moe_intermediate_size = 0,
          shared_expert_intermediate_size = 0;
  double rms_norm_eps = 1e-6, routed_scaling_factor = 1.0, router_softcap = 0.0;
  bool gate_per_element = false, tie_word_embeddings = false;
  std::vector<Layer> layers;
  RopeFields full_rope, sliding_rope;
};

class Reader {
 public:
  explicit Reader(const ConfigFile& config) : t_(config) { t_.string("model_type"); }

  Result<Config> read() {
    c_.vocab_size = t_.integer("vocab_size", {1, 1 << 22}, 100352);
    c_.hidden_size = t_.integer("hidden_size", {1, 1 << 17}, 2048);
    c_.intermediate_size = t_.integer("intermediate_size", {1, 1 << 20}, 8192);
    c_.num_key_value_heads = t_.integer("num_key_value_heads", {1, 1 << 10}, 8);
    c_.head_dim = t_.integer("head_dim", {2, 1 << 12}, 128);
    c_.max_position_embeddings =
        t_.integer("max_position_embeddings", {1, int64_t{1} << 32}, 131072);
    c_.rms_norm_eps = t_.number("rms_norm_eps", {0.0, 1.0}, 1e-6);
    c_.tie_word_embeddings = t_.boolean("tie_word_embeddings", false);
    t_.choice("hidden_act", {"silu"}, 0);
    refuse_biases(t_, {"attention_bias", "qkv_bias"});
    refuse_unnormalised_experts(t_);
    if (t_.boolean("swa_attention_sink_enabled", false))
      t_.refuse("swa_attention_sink_enabled", "attention sinks are not supported, expected false");
    read_gating();
    read_layers();
    read_experts();
    read_ropes();
    LH_RETURN_IF_ERROR(t_.finish());
    return std::move(c_);
  }

 private:
  void read_gating() {
    // true means per head to the reference; the tensor's own shape has the last word.
    const Json* gating = t_.peek("gating");
    if (gating != nullptr && gating->as_bool() != nullptr) {
      if (!t_.boolean("gating", true))
        t_.refuse("gating", "attention without a gate is not supported");
    } else {
      c_.gate_per_element = t_.choice("gating", {"per-head", "per-element"}, 0) == 1;
    }
  }

  void read_layers() {
    const int64_t n = t_.integer("num_hidden_layers", {1, 256}, 40),
                  heads = t_.integer("num_attention_heads", {1, 1 << 12}, 48);
    const auto size = static_cast<size_t>(n);
    c_.layers.assign(size, {true, true, heads});
    c_.sliding_window = t_.integer("sliding_window", {0, int64_t{1} << 32},
                                   t_.present("sliding_window") ? 0 : 512);  // null: none
    if (t_.has("layer_types")) {
      const auto types =
          t_.choices("layer_types", {"full_attention", "sliding_attention"}, {size, size});
      for (size_t l = 0; l < std::min(size, types.size()); ++l) c_.layers[l].full = types[l] == 0;
    }
    if (t_.has("num_attention_heads_per_layer")) {
      const auto per_layer =
          t_.integers("num_attention_heads_per_layer", {size, size}, {1, 1 << 12});
      for (size_t l = 0; l < std::min(size, per_layer.size()); ++l)
        c_.layers[l].n_heads = per_layer[l];
    }
    read_sparsity(size);
    if (c_.head_dim % 2 != 0)
      t_.fail("head_dim", fmt::format("must be even, found {}", c_.head_dim));
    for (size_t l = 0; l < size; ++l) {
      if (c_.layers[l].n_heads % c_.num_key_value_heads != 0) {
        t_.fail("num_attention_heads_per_layer",
                fmt::format("must be multiples of num_key_value_heads ({}), layer {} has {}",
                            c_.num_key_value_heads, l, c_.layers[l].n_heads));
      }
      if (!c_.layers[l].full && c_.sliding_window == 0)
        t_.fail("sliding_window", fmt::format("must be positive, layer {} is a sliding one", l));
    }
  }

  void read_sparsity(size_t n) {
    const auto dense = t_.integers("mlp_only_layers", {0, n}, {0, static_cast<int64_t>(n) - 1});
    const int64_t step = t_.integer("decoder_sparse_step", {1, 1024}, 1);
    if (t_.has("mlp_layer_types")) {
      const auto types = t_.choices("mlp_layer_types", {"dense", "sparse"}, {n, n});
      for (size_t l = 0; l < std::min(n, types.size()); ++l) c_.layers[l].sparse = types[l] == 1;
    } else if (t_.has("mlp_only_layers")) {
      for (size_t l = 0; l < n; ++l) {
        const bool listed =
            std::find(dense.begin(), dense.end(), static_cast<int64_t>(l)) != dense.end();
        c_.layers[l].sparse = !listed && static_cast<int64_t>(l + 1) % step == 0;
      }
    } else {
      c_.layers.front().sparse = false;
    }
  }

  void read_experts() {
    c_.num_experts = t_.integer("num_experts", {1, 1024}, 256);
    c_.num_experts_per_tok = t_.integer("num_experts_per_tok", {1, 1024}, 8);
    c_.moe_intermediate_size = t_.integer("moe_intermediate_size", {1, 1 << 20}, 512);
    c_.shared_expert_intermediate_size =
        t_.integer("shared_expert_intermediate_size", {1, 1 << 20}, 512);
    c_.routed_scaling_factor = t_.number("moe_routed_scaling_factor", {-1e6, 1e6}, 1.0);
    c_.router_softcap = t_.number("moe_router_logit_softcapping", {0.0, 1e9}, 0.0);
    t_.choice("moe_router_score_func", {"sigmoid"}, 0);
    if (!t_.boolean("moe_router_use_sigmoid", true))
      t_.refuse("moe_router_use_sigmoid", "only sigmoid scores are supported, expected true");
    if (t_.boolean("moe_apply_router_weight_on_input", false))
      t_.refuse("moe_apply_router_weight_on_input", "is not supported, expected false");
    check_number_of_experts(t_, "num_experts", c_.layers.size(), c_.num_experts);
    if (c_.num_experts_per_tok > c_.num_experts) {
      t_.fail("num_experts_per_tok", fmt::format("must be at most num_experts ({}), found {}",
                                                 c_.num_experts, c_.num_experts_per_tok));
    }
  }

  // Published configs spell some fields beside the objects of the layer types, or at the top level:
  // those fill what an object leaves out.
  void read_ropes() {
    const int64_t positions = c_.max_position_embeddings;
    const bool top_partial = t_.has("partial_rotary_factor");
    const double partial = t_.number("partial_rotary_factor", {0.0, 1.0}, 0.5),
                 theta = t_.number("rope_theta", {1.0, 1e12}, 10000.0);
    c_.full_rope = {
        .theta = 500000.0, .partial_rotary_factor = 0.5, .max_position_embeddings = positions};
    c_.sliding_rope = {.max_position_embeddings = positions};
    auto parameters = t_.optional_child("rope_parameters");
    if (!parameters) return;
    const bool truncate = read_beside_ropes(*parameters);
    RopeFields full{.theta = theta,
                    .partial_rotary_factor = top_partial ? partial : 1.0,
                    .truncate = truncate,
                    .max_position_embeddings = positions};
    const RopeFields sliding{
        .theta = theta, .truncate = truncate, .max_position_embeddings = positions};
    if (parameters->has("full_attention") || parameters->has("sliding_attention")) {
      full.theta = parameters->number("rope_theta", {1.0, 1e12}, full.theta);
      full.factor = parameters->optional_number("factor", {1e-6, 1e6});
      full.partial_rotary_factor =
          parameters->number("partial_rotary_factor", {0.0, 1.0}, full.partial_rotary_factor);
      full.original_max_position_embeddings =
          parameters->optional_integer("original_max_position_embeddings", {1, int64_t{1} << 32});
      for (const char* key : {"rope_type", "beta_fast", "beta_slow", "attention_factor"})
        parameters->ignore(key, "the nested ones say it");
      if (auto object = parameters->optional_child("full_attention"))
        c_.full_rope = read_rope(*object, full, c_.head_dim);
    } else {
      c_.full_rope = read_rope(*parameters, full, c_.head_dim);
    }
    auto object = parameters->optional_child("sliding_attention");
    if (!object) object = t_.optional_child("swa_rope_parameters");
    if (object) c_.sliding_rope = read_rope(*object, sliding, c_.head_dim);
  }

  ConfigReader t_;
  Config c_;
};

class Builder {
 public:
  Builder(const Config& c, const ShapeOf& shape_of) : c_(c), shape_of_(shape_of) {}

  Architecture build() {
    const int64_t d = c_.hidden_size;
    a_.family = "Laguna";
    a_.vocab_size = c_.vocab_size;
    a_.hidden_size = d;
    a_.n_layers = static_cast<int64_t>(c_.layers.size());
    a_.max_positions = c_.full_rope.reach();
    a_.prefixes = {"model.", "language_model.model.", ""};
    a_.embedding.table = a_.add_lookup("embed_tokens.weight", c_.vocab_size, d);
    for (int64_t l = 0; l < a_.n_layers; ++l) {
      a_.blocks.push_back(attention(l));
      a_.blocks.push_back(feed_forward(l));
    }
    a_.head.norm = norm("norm.weight", d);
    a_.add_head_matrix(lm_head(c_.vocab_size, d), c_.tie_word_embeddings);
    return std::move(a_);
  }

 private:
  NormSpec norm(const std::string& name, int64_t n) {
    return {a_.add_vector(name, n), static_cast<float>(c_.rms_norm_eps)};
  }
  static std::string layer_name(int64_t l, const std::string& name) {
    return "layers." + std::to_string(l) + "." + name;
  }

  bool gate_per_element(int64_t l, int64_t heads) const {
    const std::vector<int64_t>* found =
        find_shape(shape_of_, a_.prefixes, layer_name(l, "self_attn.g_proj.weight"));
    if (found == nullptr || found->size() != 2) return c_.gate_per_element;
    return found->front() == heads * c_.head_dim && heads != heads * c_.head_dim;
  }

  Block attention(int64_t l) {
    const Layer& layer = c_.layers[static_cast<size_t>(l)];
    const int64_t d = c_.hidden_size, q = layer.n_heads * c_.head_dim,
                  kv = c_.num_key_value_heads * c_.head_dim;
    AttentionSpec s{.n_heads = layer.n_heads,
                    .n_kv_heads = c_.num_key_value_heads,
                    .head_dim = c_.head_dim,
                    .window = layer.full ? kUnbounded : c_.sliding_window,
                    .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c_.head_dim))),
                    .rope = rope_spec(layer.full ? c_.full_rope : c_.sliding_rope, c_.head_dim)};
    s.q_proj = a_.add_matrix(layer_name(l, "self_attn.q_proj.weight"), q, d);
    s.k_proj = a_.add_matrix(layer_name(l, "self_attn.k_proj.weight"), kv, d);
    s.v_proj = a_.add_matrix(layer_name(l, "self_attn.v_proj.weight"), kv, d);
    s.o_proj = a_.add_matrix(layer_name(l, "self_attn.o_proj.weight"), d, q);
    s.q_norm = norm(layer_name(l, "self_attn.q_norm.weight"), c_.head_dim);
    s.k_norm = norm(layer_name(l, "self_attn.k_norm.weight"), c_.head_dim);
    const bool per_element = gate_per_element(l, layer.n_heads);
    const WeightId gate =
        a_.add_matrix(layer_name(l, "self_attn.g_proj.weight"), per_element ? q : layer.n_heads, d);
    s.gate = GateSpec{a_.rounded(gate, Rounding::kFiner), per_element};
    s.state = static_cast<StateId>(a_.states.size());
    a_.states.push_back(
        {.layer = l, .n_kv_heads = s.n_kv_heads, .head_dim = s.head_dim, .window = s.window});
    return {.layer = l,
            .pre_norm = norm(layer_name(l, "input_layernorm.weight"), d),
            .post_norm = {},
            .mixer = s,
            .residual = {}};
  }

  GatedMlpSpec mlp(int64_t l, const std::string& place, const std::string& other_place,
                   int64_t width) {
    const int64_t d = c_.hidden_size;
    const auto matrix = [&](const char* name, int64_t rows, int64_t cols) {
      TensorSpec t{layer_name(l, place + name), {rows, cols}};
      if (!other_place.empty()) t.other_names = {layer_name(l, other_place + name)};
      return a_.add_weight(t, {.use = WeightUse::kMatrix, .rows = rows, .cols = cols});
    };
    return {.width = width,
            .activation = ActivationKind::kSilu,
            .gate_proj = matrix("gate_proj.weight", width, d),
            .up_proj = matrix("up_proj.weight", width, d),
            .down_proj = matrix("down_proj.weight", d, width)};
  }

  MoeSpec moe(int64_t l) {
    const int64_t d = c_.hidden_size, e = c_.num_experts, f = c_.moe_intermediate_size;
    MoeSpec s{.n_experts = e,
              .top_k = c_.num_experts_per_tok,
              .width = f,
              .activation = ActivationKind::kSilu};
    LinearRouterSpec router{.score = RouterScore::kSigmoid};
    router.proj = a_.add_weight(
        {layer_name(l, "mlp.gate.weight"), {e, d}, false, {layer_name(l, "mlp.gate.proj.weight")}},
        {.use = WeightUse::kMatrix, .rows = e, .cols = d, .rounding = Rounding::kNever});
    router.selection_bias = a_.add_weight({layer_name(l, "mlp.experts.e_score_correction_bias"),
                                           {e},
                                           false,
                                           {layer_name(l, "mlp.gate.e_score_correction_bias")}},
                                          {.use = WeightUse::kVector, .cols = e});
    if (c_.router_softcap > 0) router.softcap = static_cast<float>(c_.router_softcap);
    router.output_scale = static_cast<float>(c_.routed_scaling_factor);
    s.router = router;
    const std::string own = layer_name(l, "mlp.experts.");
    const ExpertLayout layouts[] = {one_by_one(own), stacked(own), fused_one_by_one(own),
                                    stacked_apart(layer_name(l, "mlp.switch_mlp."))};
    add_expert_weights(a_, s, layouts, shape_of_);
    return s;
  }

  Block feed_forward(int64_t l) {
    Block block{.layer = l};
    block.pre_norm = norm(layer_name(l, "post_attention_layernorm.weight"), c_.hidden_size);
    if (!c_.layers[static_cast<size_t>(l)].sparse) {
      block.mixer = mlp(l, "mlp.", "", c_.intermediate_size);
    } else {
      const Branch routed{{}, {}, moe(l)};
      const Branch shared{
          {},
          {},
          mlp(l, "mlp.shared_expert.", "mlp.shared_experts.", c_.shared_expert_intermediate_size)};
      block.mixer = ParallelSpec{{routed, shared}};
    }
    return block;
  }

  const Config& c_;
  const ShapeOf& shape_of_;
  Architecture a_;
};

Result<Architecture> read(const ConfigFile& config, const ShapeOf& shape_of) {
  LH_TRY(const Config c, Reader(config).read());
  return Builder(c, shape_of).build();
}

// Keeps the last layers; the per-layer lists are cut to match.
Result<Json> rewrite(const ConfigFile& config, int64_t n_layers, const std::string& dtype) {
  LH_TRY(const Config c, Reader(config).read());
  Json out = config.json;
  const auto total = static_cast<int64_t>(c.layers.size());
  const int64_t n = n_layers > 0 ? std::min(n_layers, total) : total;
  Json types{Json::Array{}}, heads{Json::Array{}}, mlps{Json::Array{}};
  for (int64_t l = total - n; l < total; ++l) {
    const Layer& layer = c.layers[static_cast<size_t>(l)];
    types.push_back(layer.full ? "full_attention" : "sliding_attention");
    heads.push_back(layer.n_heads);
    mlps.push_back(layer.sparse ? "sparse" : "dense");
  }
  out.set("num_hidden_layers", n);
  out.set("layer_types", types);
  out.set("num_attention_heads_per_layer", heads);
  out.set("mlp_layer_types", mlps);
  out.set("dtype", dtype);
  return out;
}

}  // namespace

const Family& laguna_family() {
  static const Family family{{"laguna"}, read, rewrite,        read_presets({"laguna-xs.2"}),
                             false,      {},   {laguna_gguf()}};
  return family;
}

}  // namespace longhaul
