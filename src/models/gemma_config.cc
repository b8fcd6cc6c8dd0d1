// config.json of Gemma 4 and Gemma 3, every spelling: nested or flat, per-layer overrides or
// global_* keys, old and new rope fields.
#include <algorithm>
#include <cmath>

#include "base/printable.h"
#include "formats/config_reader.h"
#include "models/common_fields.h"
#include "models/gemma.h"

namespace longhaul {
namespace {

// The limits of the fields below are far above any model's, and low enough that no sum over all
// layers leaves 64 bits: 3 * 2^57 expert weights are at most 3 * 2^59 bytes. (Sums over a context
// may, and cost/ checks them.) Time matters too: building is quadratic in the tensors.
constexpr int64_t kMaxLayers = 256;

constexpr IgnoredField kIgnored[] = {
    {"num_global_key_value_heads", "honoured where attention_k_eq_v asks for it"},
    {"per_layer_config", "read with the layers"},
    {"global_head_dim", "read with the layers, or replaced by per_layer_config"},
};

class GemmaReader {
 public:
  explicit GemmaReader(const ConfigFile& config) : top_(config), t_(top_) {
    const std::string type = top_.string("model_type");
    nested_ = top_.has("text_config");
    if (nested_) {
      t_ = top_.child("text_config");
      const std::string inner = t_.string("model_type", type);
      if (inner != type && inner != type + "_text")
        t_.fail("model_type", fmt::format("is '{}', which does not belong in a {} config",
                                          printable(inner), type));
      top_.holds_copies_of(t_);
    }
    t_.ignore(kIgnored);
    c_.generation = type.rfind("gemma3", 0) == 0 ? 3 : 4;
    unified_ = type.rfind("gemma4_unified", 0) == 0;
  }

  Result<GemmaConfig> read() {
    read_sizes();
    read_attention();
    read_layers();
    if (c_.generation == 4) read_gemma4_parts();
    read_ropes();
    LH_RETURN_IF_ERROR(t_.status());  // further rules need sound numbers
    check_sharing();
    LH_RETURN_IF_ERROR(top_.finish());
    return std::move(c_);
  }

 private:
  void read_sizes() {
    const bool g3 = c_.generation == 3;
    c_.vocab_size = t_.integer("vocab_size", {1, 1 << 22}, g3 ? 262208 : 262144);
    c_.hidden_size = t_.integer("hidden_size", {1, 1 << 17}, 2304);
    c_.intermediate_size = t_.integer("intermediate_size", {1, 1 << 20}, 9216);
    c_.max_position_embeddings =
        t_.integer("max_position_embeddings", {1, int64_t{1} << 32}, unified_ ? 262144 : 131072);
    c_.rms_norm_eps = t_.number("rms_norm_eps", {0.0, 1.0}, 1e-6);
    const bool tied = nested_ ? top_.boolean("tie_word_embeddings", true) : true;
    c_.tie_word_embeddings = t_.boolean("tie_word_embeddings", tied);
    t_.choice("hidden_activation", {"gelu_pytorch_tanh"}, 0);
    t_.choice("hidden_act", {"gelu_pytorch_tanh"}, 0);
    c_.final_logit_softcapping = t_.optional_number("final_logit_softcapping", {1e-3, 1e9});
    if (t_.has("attn_logit_softcapping"))
      t_.refuse("attn_logit_softcapping",
                "capped attention scores are not supported, expected null");
    t_.optional_number("attn_logit_softcapping");
    refuse_biases(t_, {"attention_bias"});
    read_causality();
  }

  void read_causality() {
    // "vision" concerns image tokens alone; "all" (or Gemma 3's true) makes an embedding model.
    if (c_.generation == 3) {
      if (t_.boolean("use_bidirectional_attention", false))
        t_.refuse("use_bidirectional_attention", "a model that sees the future cannot generate");
      return;
    }
    const Json* word = t_.peek("use_bidirectional_attention");
    if (word != nullptr && word->as_bool() != nullptr && !*word->as_bool()) {
      t_.ignore("use_bidirectional_attention", "false is none of the words and asks for nothing");
    } else if (t_.choice("use_bidirectional_attention", {"vision", "all"}, 0) == 1) {
      t_.refuse("use_bidirectional_attention", "a model that sees the future cannot generate");
    }
  }

  void read_attention() {
    c_.num_attention_heads = t_.integer("num_attention_heads", {1, 1 << 10}, 8);
    kv_heads_ = t_.integer("num_key_value_heads", {1, 1 << 10}, 4);
    head_dim_ = t_.integer("head_dim", {2, 1 << 12}, 256);
    c_.sliding_window = t_.integer("sliding_window", {1, int64_t{1} << 32},
                                   c_.generation == 3 ? 4096
                                   : unified_         ? 1024
                                                      : 512);
    has_window_ = !t_.present("sliding_window") || t_.has("sliding_window");
    if (c_.generation == 3) {
      c_.attention_scale = 1.0 / std::sqrt(t_.number("query_pre_attn_scalar", {1e-6, 1e9}, 256.0));
      // Of no other program's configs: those of folders that were packed from a GGUF file.
      c_.norm_offset = t_.number("rms_norm_offset", {0.0, 1.0}, 1.0);
    }
  }

  void read_layers() {
    const int64_t n =
        t_.integer("num_hidden_layers", {1, kMaxLayers}, c_.generation == 3 ? 26 : 30);
    const bool k_eq_v = c_.generation == 4 && t_.boolean("attention_k_eq_v", false);
    const std::vector<bool> full = full_layers(n);
    const int64_t full_dim = full_head_dim(), full_kv = full_kv_heads(k_eq_v);
    for (int64_t l = 0; l < n; ++l) {
      const bool f = full[static_cast<size_t>(l)];
      c_.layers.push_back({f, f ? full_dim : head_dim_, f ? full_kv : kv_heads_, f && k_eq_v});
    }
    if (c_.generation == 4) read_layer_overrides();
    for (int64_t l = 0; l < n; ++l) {
      const GemmaLayer& layer = c_.layers[static_cast<size_t>(l)];
      if (!layer.full && !has_window_)
        t_.fail("sliding_window",
                fmt::format("is null, and layer {} is a sliding one; give its window", l));
      if (layer.head_dim % 2 != 0)
        t_.fail("head_dim", fmt::format("must be even, layer {} has {}", l, layer.head_dim));
      if (c_.num_attention_heads % layer.n_kv_heads != 0) {
        t_.fail("num_attention_heads",
                fmt::format("must be a multiple of the key heads, layer {} has {}", l,
                            layer.n_kv_heads));
      }
    }
  }

  std::vector<bool> full_layers(int64_t n) {
    const char* legacy =
        t_.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
    const int64_t pattern = t_.integer(legacy, {1, 1024}, 6);
    t_.optional_integer("sliding_window_pattern");
    t_.optional_integer("_sliding_window_pattern");
    std::vector<bool> full;
    if (t_.has("layer_types")) {
      const auto size = static_cast<size_t>(n);
      for (size_t type :
           t_.choices("layer_types", {"sliding_attention", "full_attention"}, {size, size}))
        full.push_back(type == 1);
      full.resize(size, false);
    } else {
      for (int64_t l = 0; l < n; ++l) full.push_back((l + 1) % pattern == 0);
    }
    if (c_.generation == 4)
      full.back() = true;  // the reference forces the last layer, and says so in a warning
    return full;
  }

  int64_t full_head_dim() {
    if (c_.generation == 3) return head_dim_;
    if (t_.has("per_layer_config")) return head_dim_;  // overrides say it layer by layer
    if (!t_.present("global_head_dim")) return 512;
    const int64_t dim = t_.integer("global_head_dim", {0, 1 << 12}, 0);
    return dim == 0 ? head_dim_ : dim;
  }

  int64_t full_kv_heads(bool k_eq_v) {
    if (!k_eq_v || t_.has("per_layer_config")) return kv_heads_;
    return t_.integer("num_global_key_value_heads", {1, 1 << 10}, kv_heads_);
  }

  // A map from layer number, as a string that may be padded ("05"), to the fields that differ in
  // that layer.
  void read_layer_overrides() {
    auto overrides = t_.optional_child("per_layer_config");
    if (!overrides) return;
    std::vector<bool> seen(c_.layers.size(), false);
    for (const std::string& key : overrides->keys(c_.layers.size())) {
      ConfigReader layer = overrides->child(key);
      const bool digits =
          !key.empty() && key.size() <= 6 &&
          std::all_of(key.begin(), key.end(), [](char ch) { return ch >= '0' && ch <= '9'; });
      const size_t index = digits ? std::stoul(key) : c_.layers.size();
      if (index >= c_.layers.size()) {
        overrides->fail(key, fmt::format("is no layer number below {}", c_.layers.size()));
        continue;
      }
      if (seen[index]) overrides->fail(key, fmt::format("is layer {} for the second time", index));
      seen[index] = true;
      GemmaLayer& l = c_.layers[index];
      l.head_dim = layer.integer("head_dim", {2, 1 << 12}, l.head_dim);
      l.n_kv_heads = layer.integer("num_key_value_heads", {1, 1 << 10}, l.n_kv_heads);
    }
  }

  void read_gemma4_parts() {
    c_.num_kv_shared_layers =
        t_.integer("num_kv_shared_layers", {0, static_cast<int64_t>(c_.layers.size()) - 1}, 0);
    c_.use_double_wide_mlp = t_.boolean("use_double_wide_mlp", false);
    // Missing means the default of the class, null means none.
    const int64_t width = t_.present("hidden_size_per_layer_input") || unified_ ? 0 : 256;
    c_.hidden_size_per_layer_input = t_.integer("hidden_size_per_layer_input", {0, 1 << 14}, width);
    c_.vocab_size_per_layer_input = t_.integer("vocab_size_per_layer_input", {0, 1 << 22}, 262144);
    if (c_.hidden_size_per_layer_input > 0 && c_.vocab_size_per_layer_input < 1)
      t_.fail("vocab_size_per_layer_input", "must be at least 1");
    const bool legacy = t_.boolean("use_second_mlp_block", false);
    const bool moe = t_.boolean("enable_moe_block", legacy);
    const int64_t least = moe ? 1 : 0;  // of what is not there, configs say 0 as well as null
    const int64_t experts = t_.integer("num_experts", {least, 4096}, 1),
                  top_k = t_.integer("top_k_experts", {least, 4096}, 1);
    const int64_t legacy_width = t_.integer("expert_intermediate_size", {least, 1 << 20}, 1);
    const int64_t expert_width =
        t_.integer("moe_intermediate_size", {least, 1 << 20}, legacy_width);
    if (!moe) return;
    for (const char* key : {"num_experts", "top_k_experts"}) {
      if (!t_.has(key)) t_.fail(key, "is required where enable_moe_block is true");
    }
    if (!t_.has("moe_intermediate_size") && !t_.has("expert_intermediate_size"))
      t_.fail("moe_intermediate_size", "is required where enable_moe_block is true");
    if (top_k > experts)
      t_.fail("top_k_experts",
              fmt::format("must be at most num_experts ({}), found {}", experts, top_k));
    check_number_of_experts(t_, "num_experts", c_.layers.size(), experts);
    c_.num_experts = experts;
    c_.top_k_experts = top_k;
    c_.moe_intermediate_size = expert_width;
  }

  RopeFields read_rope_of(ConfigReader object, RopeFields defaults, bool full) {
    const RopeFields rope = read_rope(object, std::move(defaults), head_dim_of(full));
    if (rope.type != RopeType::kProportional && rope.partial_rotary_factor != 1.0)
      object.refuse("partial_rotary_factor",
                    "is supported for rope_type 'proportional' alone, expected 1");
    return rope;
  }

  // Layers of a kind may differ where per_layer_config says so; lists of divisors must fit all of
  // them.
  int64_t head_dim_of(bool full) const {
    const auto it = std::find_if(c_.layers.begin(), c_.layers.end(),
                                 [&](const GemmaLayer& l) { return l.full == full; });
    return it == c_.layers.end() ? 0 : it->head_dim;
  }

  void read_ropes() {
    const int64_t positions = c_.max_position_embeddings;
    const RopeFields proportional{.type = RopeType::kProportional,
                                  .theta = 1e6,
                                  .partial_rotary_factor = 0.25,
                                  .factor = 1.0};
    c_.full_rope = c_.generation == 3 ? RopeFields{.theta = 1e6} : proportional;
    c_.full_rope.max_position_embeddings = c_.sliding_rope.max_position_embeddings = positions;
    c_.full_rope.theta = t_.number("rope_theta", {1.0, 1e12}, c_.full_rope.theta);
    c_.sliding_rope.theta = t_.number("rope_local_base_freq", {1.0, 1e12}, c_.sliding_rope.theta);
    auto parameters = t_.optional_child("rope_parameters");
    auto scaling = t_.optional_child("rope_scaling");
    if (parameters) {
      const bool truncate = read_beside_ropes(*parameters);
      const RopeFields full{
          .theta = c_.full_rope.theta, .truncate = truncate, .max_position_embeddings = positions};
      const RopeFields sliding{.theta = c_.sliding_rope.theta,
                               .truncate = truncate,
                               .max_position_embeddings = positions};
      if (auto object = parameters->optional_child("full_attention"))
        c_.full_rope = read_rope_of(*object, full, true);
      if (auto object = parameters->optional_child("sliding_attention"))
        c_.sliding_rope = read_rope_of(*object, sliding, false);
    }
    // The older field stretches full layers alone, over what the newer one says.
    if (scaling) c_.full_rope = read_rope_of(*scaling, c_.full_rope, true);
    for (const GemmaLayer& layer : c_.layers) {
      const RopeFields& rope = layer.full ? c_.full_rope : c_.sliding_rope;
      if (rope.type == RopeType::kLongRope && layer.head_dim != head_dim_of(layer.full))
        t_.refuse("per_layer_config",
                  "heads of several widths with one list of divisors are not supported");
    }
  }

  void check_sharing() {
    const size_t first = c_.layers.size() - static_cast<size_t>(c_.num_kv_shared_layers);
    for (size_t l = first; l < c_.layers.size(); ++l) {
      const GemmaLayer* owner = nullptr;
      for (size_t j = 0; j < first; ++j) {
        if (c_.layers[j].full == c_.layers[l].full) owner = &c_.layers[j];
      }
      if (owner == nullptr) {
        t_.fail("num_kv_shared_layers",
                fmt::format(
                    "layer {} shares keys and values, and no layer before {} of its type owns any",
                    l, first));
      } else if (owner->head_dim != c_.layers[l].head_dim ||
                 owner->n_kv_heads != c_.layers[l].n_kv_heads) {
        t_.fail("num_kv_shared_layers",
                fmt::format("layer {} and the layer whose keys it reads have different heads", l));
      }
    }
  }

  ConfigReader top_, t_;
  GemmaConfig c_;
  bool nested_ = false, unified_ = false, has_window_ = true;
  int64_t kv_heads_ = 0, head_dim_ = 0;
};

}  // namespace

Result<GemmaConfig> read_gemma_config(const ConfigFile& config) {
  return GemmaReader(config).read();
}

Json gemma_config_json(const GemmaConfig& c, const std::string& dtype) {
  const bool g3 = c.generation == 3;
  Json rope_parameters = Json::object({{"sliding_attention", rope_json(c.sliding_rope)},
                                       {"full_attention", rope_json(c.full_rope)}});
  if (!c.full_rope.truncate) rope_parameters.set("truncate", false);
  Json types{Json::Array{}}, overrides{Json::Object{}};
  const GemmaLayer* base = &c.layers.front();
  for (const GemmaLayer& l : c.layers) {
    if (!l.full) base = &l;
  }
  bool k_eq_v = false;
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const GemmaLayer& l = c.layers[i];
    types.push_back(l.full ? "full_attention" : "sliding_attention");
    k_eq_v = k_eq_v || l.k_eq_v;
    if (l.head_dim != base->head_dim || l.n_kv_heads != base->n_kv_heads) {
      overrides.set(fmt::format("{:02}", i), Json::object({{"head_dim", l.head_dim},
                                                           {"num_key_value_heads", l.n_kv_heads}}));
    }
  }
  Json t = Json::object({{"model_type", g3 ? "gemma3_text" : "gemma4_text"},
                         {"dtype", dtype},
                         {"vocab_size", c.vocab_size},
                         {"hidden_size", c.hidden_size},
                         {"intermediate_size", c.intermediate_size},
                         {"num_hidden_layers", static_cast<int64_t>(c.layers.size())},
                         {"num_attention_heads", c.num_attention_heads},
                         {"num_key_value_heads", base->n_kv_heads},
                         {"head_dim", base->head_dim},
                         {"sliding_window", c.sliding_window},
                         {"layer_types", types},
                         {"max_position_embeddings", c.max_position_embeddings},
                         {"rms_norm_eps", c.rms_norm_eps},
                         {"hidden_activation", "gelu_pytorch_tanh"},
                         {"rope_parameters", rope_parameters},
                         {"tie_word_embeddings", c.tie_word_embeddings},
                         {"final_logit_softcapping",
                          c.final_logit_softcapping ? Json(*c.final_logit_softcapping) : Json()},
                         {"bos_token_id", 2},
                         {"eos_token_id", 1},
                         {"pad_token_id", 0}});
  if (g3) {
    t.set("query_pre_attn_scalar", 1.0 / (c.attention_scale * c.attention_scale));
    if (c.norm_offset != 1.0) t.set("rms_norm_offset", c.norm_offset);
  } else {
    t.set("attention_k_eq_v", k_eq_v);
    t.set("per_layer_config", overrides);
    t.set("num_kv_shared_layers", c.num_kv_shared_layers);
    t.set("use_double_wide_mlp", c.use_double_wide_mlp);
    t.set("hidden_size_per_layer_input", c.hidden_size_per_layer_input);
    t.set("vocab_size_per_layer_input", c.vocab_size_per_layer_input);
    t.set("enable_moe_block", c.num_experts > 0);
    t.set("num_experts", c.num_experts > 0 ? Json(c.num_experts) : Json());
    t.set("top_k_experts", c.num_experts > 0 ? Json(c.top_k_experts) : Json());
    t.set("moe_intermediate_size", c.num_experts > 0 ? Json(c.moe_intermediate_size) : Json());
  }
  return Json::object(
      {{"architectures", Json(Json::Array{Json(g3 ? "Gemma3ForConditionalGeneration"
                                                  : "Gemma4ForConditionalGeneration")})},
       {"model_type", g3 ? "gemma3" : "gemma4"},
       {"dtype", dtype},
       {"tie_word_embeddings", c.tie_word_embeddings},
       {"text_config", t}});
}

Result<GemmaConfig> keep_gemma_layers(GemmaConfig c, int64_t n) {
  const auto total = static_cast<int64_t>(c.layers.size());
  if (n >= total) return c;
  // The last layers of the owners and of the sharers: both kinds of attention stay, and every
  // sharer keeps its source.
  const int64_t shared = c.num_kv_shared_layers * n / total,
                first_shared = total - c.num_kv_shared_layers;
  std::vector<GemmaLayer> kept(c.layers.begin() + first_shared - (n - shared),
                               c.layers.begin() + first_shared);
  kept.insert(kept.end(), c.layers.end() - shared, c.layers.end());
  c.layers = std::move(kept);
  c.num_kv_shared_layers = shared;
  return c;
}

}  // namespace longhaul
