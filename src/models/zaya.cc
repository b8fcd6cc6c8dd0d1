// ZAYA1's blocks, with rms(x, w) = x / sqrt(mean(x^2) + eps) * w and merge(y, x) = (y + hb) * hs +
// (x + rb) * rs:
//
//   x = (E[t] + b) * s
//   per block:  x = merge(cca(rms(x, input_layernorm)), x)
//               x = merge(moe(rms(x, post_attention_layernorm)), x)
//   logits = E rms(x, norm)
// Checkpoints come in two layouts: native blocks, and older half-layers where even ones hold
// attention and odd ones experts. They differ in what a token gets that skips the experts: nothing
// in the native one, p z in the older. Source: the reference implementation's zaya model, its
// converter for the older layout, and for that one's own semantics and configs the code that Zyphra
// released with them (a fork of the reference, November 2025; for clamp_temp their vLLM model).
#include "models/zaya.h"

#include <cmath>

#include "formats/config_reader.h"
#include "models/checkpoint_layout.h"
#include "models/common_fields.h"
#include "models/presets.h"
#include "models/rope_config.h"
#include "models/zaya_gguf.h"

namespace longhaul {
namespace {

struct Config {
  bool legacy = false;
  int64_t vocab_size = 0, hidden_size = 0, n_blocks = 0, num_attention_heads = 0,
          num_key_value_heads = 0, head_dim = 0, max_position_embeddings = 0;
  int64_t time0 = 2, time1 = 2, num_experts = 0, moe_intermediate_size = 0, router_hidden_size = 0,
          sliding_window = 0;
  double rms_norm_eps = 1e-5, router_eps = 1e-5;
  RopeFields rope = {.theta = 5e6, .partial_rotary_factor = 0.5},
             sliding_rope = {.theta = 1e4, .partial_rotary_factor = 0.5};
  bool tie_word_embeddings = true, clamp_temp = false;
  std::vector<bool> sliding;  // by block
};

// Fields of the older layout that change nothing here.
constexpr IgnoredField kIgnoredLegacy[] = {
    {"zaya_high_prec", "computed in f32 here"},
    {"residual_in_fp32", "the residual stream is f32 here"},
    {"activation_func_fp8_input_store", "training only"},
};

class Reader {
 public:
  explicit Reader(const ConfigFile& config) : t_(config) {
    t_.string("model_type");
    for (const char* mark : {"cca", "zaya_mlp_expansion", "ffn_hidden_size", "zaya_use_mod",
                             "norm_epsilon", "zaya_layers"})
      c_.legacy = c_.legacy || t_.has(mark);
  }

  Result<Config> read() {
    c_.vocab_size = t_.integer("vocab_size", {1, 1 << 22}, 262272);
    c_.hidden_size = t_.integer("hidden_size", {1, 1 << 17}, 2048);
    c_.max_position_embeddings =
        t_.integer("max_position_embeddings", {1, int64_t{1} << 32}, 131072);
    c_.rope.max_position_embeddings = c_.sliding_rope.max_position_embeddings =
        c_.max_position_embeddings;
    c_.time0 = t_.integer("cca_time0", {1, 16}, 2);
    c_.time1 = t_.integer("cca_time1", {1, 16}, 2);
    c_.tie_word_embeddings = t_.boolean("tie_word_embeddings", true);
    refuse_biases(t_, {"attention_bias"});
    if (t_.boolean("lm_head_bias", false))
      t_.refuse("lm_head_bias", "a biased head is not supported, expected false");
    if (c_.legacy) {
      read_legacy();
    } else {
      read_native();
    }
    if (c_.n_blocks == 0)
      return t_.status().take_error();  // what the other fields must be depends on the blocks
    check_number_of_experts(t_, "num_experts", static_cast<size_t>(c_.n_blocks), c_.num_experts);
    if (c_.num_attention_heads % c_.num_key_value_heads != 0) {
      t_.fail("num_attention_heads",
              fmt::format("must be a multiple of num_key_value_heads ({}), found {}",
                          c_.num_key_value_heads, c_.num_attention_heads));
    }
    if (c_.num_key_value_heads * c_.head_dim % 2 != 0)
      t_.fail("head_dim", "must let the values be halved");
    for (const RopeFields& rope : {c_.rope, c_.sliding_rope}) {
      if (!c_.legacy && t_.has("rope_parameters")) break;  // checked where they were read
      const auto turned =
          static_cast<int64_t>(rope.partial_rotary_factor * static_cast<double>(c_.head_dim));
      if (turned < 2 || turned % 2 != 0)
        t_.fail("partial_rotary_factor", "must turn an even number of channels, at least 2");
    }
    LH_RETURN_IF_ERROR(t_.finish());
    return std::move(c_);
  }

 private:
  static constexpr IntRange kHeads{1, 1 << 12}, kKeyHeads{1, 1 << 10}, kHeadDim{4, 1 << 12},
      kExperts{1, 1024}, kRouterWidth{1, 1 << 16};

  void read_native() {
    c_.n_blocks = t_.integer("num_hidden_layers", {1, 256}, 40);
    c_.num_attention_heads = t_.integer("num_attention_heads", kHeads, 8);
    c_.num_key_value_heads = t_.integer("num_key_value_heads", kKeyHeads, 2);
    c_.head_dim = t_.integer("head_dim", kHeadDim, 128);
    c_.num_experts = t_.integer("num_experts", kExperts, 16);
    c_.rms_norm_eps = c_.router_eps = t_.number("rms_norm_eps", {0.0, 1.0}, 1e-5);
    c_.moe_intermediate_size = t_.integer("moe_intermediate_size", {1, 1 << 20}, 2048);
    c_.router_hidden_size = t_.integer("router_hidden_size", kRouterWidth, 256);
    t_.choice("hidden_act", {"silu"}, 0);
    if (t_.integer("num_experts_per_tok", {1, 1024}, 1) != 1)
      t_.refuse("num_experts_per_tok", "only 1 is supported");
    c_.sliding_window = t_.integer("sliding_window", {0, int64_t{1} << 32}, 0);
    const auto size = static_cast<size_t>(c_.n_blocks);
    c_.sliding.assign(size, false);
    if (t_.has("layer_types")) {
      const auto types = t_.choices("layer_types", {"hybrid", "hybrid_sliding"}, {size, size});
      for (size_t l = 0; l < std::min(size, types.size()); ++l) c_.sliding[l] = types[l] == 1;
    }
    for (size_t l = 0; l < size; ++l) {
      if (c_.sliding[l] && c_.sliding_window == 0)
        t_.fail("sliding_window", fmt::format("must be positive, layer {} is a sliding one", l));
    }
    auto ropes = t_.optional_child("rope_parameters");
    if (!ropes) return;
    ropes->ignore("rope_type", "a stray field beside the nested ones");
    c_.rope.truncate = c_.sliding_rope.truncate = read_beside_ropes(*ropes);
    if (auto object = ropes->optional_child("hybrid"))
      c_.rope = read_rope(*object, c_.rope, c_.head_dim);
    if (auto object = ropes->optional_child("hybrid_sliding"))
      c_.sliding_rope = read_rope(*object, c_.sliding_rope, c_.head_dim);
  }

  // The older layout has two schemas of config: numbers for all half-layers (2026), and lists with
  // an entry a half-layer (November 2025).
  void read_legacy() {
    t_.ignore(kIgnoredLegacy);
    const bool listed = t_.has("zaya_layers");
    const auto experts_listed = listed ? read_half_layers() : std::nullopt;
    if (!listed) {
      const int64_t halves = t_.integer("num_hidden_layers", {2, 512}, 80);
      if (halves % 2 != 0) t_.fail("num_hidden_layers", "counts half-layers here and must be even");
      c_.n_blocks = halves / 2;
    }
    if (c_.n_blocks == 0) return;  // there is a problem
    read_legacy_heads();
    const auto experts = common({"num_experts"}, Half::kExperts, kExperts);
    if (experts && experts_listed && *experts != *experts_listed)
      t_.fail("num_experts", fmt::format("is {}, zaya_layers says {}", *experts, *experts_listed));
    c_.num_experts = experts_listed.value_or(experts.value_or(16));
    c_.moe_intermediate_size =
        common({"ffn_hidden_size", "ffn_hidden_size_list"}, Half::kExperts, {2, 1 << 21})
            .value_or(4096) /
        2;  // gate and up
    c_.router_hidden_size =
        common({"zaya_mlp_expansion"}, Half::kExperts, kRouterWidth).value_or(256);
    c_.rms_norm_eps = c_.router_eps = t_.number("norm_epsilon", {0.0, 1.0}, 1e-5);
    // The code of that time looked its router's epsilon up under a name that no config has, and so
    // used this one.
    if (listed) c_.router_eps = t_.number("layernorm_epsilon", {0.0, 1.0}, 1e-6);
    if (t_.integer("moe_router_topk", {1, 4096}, 1) != 1)
      t_.refuse("moe_router_topk", "only 1 is supported");
    refuse_biases(t_, {"add_bias_linear"});
    for (const char* always :
         {"cca", "zaya_use_mod", "zaya_use_eda", "scale_residual_merge", "gated_linear_unit"}) {
      if (!t_.boolean(always, true)) t_.refuse(always, "only true is supported");
    }
    t_.choice("normalization", {"RMSNorm"}, 0);
    t_.choice("activation_func", {"swiglu"}, 0);
    c_.clamp_temp = t_.boolean("clamp_temp", false);
    read_legacy_rope(listed);
    read_legacy_windows();
  }

  enum class Half : size_t { kAttention, kExperts };

  // zaya_layers: "a" for attention and a number of experts in turn. Gives that number; nothing
  // where there is a problem.
  std::optional<int64_t> read_half_layers() {
    t_.ignore("zaya_layers", "read here");
    t_.ignore("num_hidden_layers", "zaya_layers says it; published configs have another number");
    const Json::Array* halves = t_.peek("zaya_layers")->as_array();
    if (halves == nullptr || halves->size() < 2 || halves->size() > 512 ||
        halves->size() % 2 != 0) {
      t_.fail("zaya_layers", "expected an array of 2 to 512 half-layers, an even number");
      return std::nullopt;
    }
    for (size_t i = 0; i < halves->size(); ++i) {
      const Json& half = (*halves)[i];
      const int64_t* n = half.as_int();
      const bool good = i % 2 == 0 ? half.as_string() != nullptr && *half.as_string() == "a"
                                   : n != nullptr && *n >= kExperts.min && *n <= kExperts.max;
      if (!good) {
        t_.fail(
            fmt::format("zaya_layers[{}]", i),
            i % 2 == 0
                ? "expected \"a\", attention and experts take turns"
                : "expected a number of experts from 1 to 1024, attention and experts take turns");
        return std::nullopt;
      }
      if (i % 2 == 1 && *n != *(*halves)[1].as_int()) {
        t_.refuse(fmt::format("zaya_layers[{}]", i),
                  "blocks with different numbers of experts are not supported");
        return std::nullopt;
      }
    }
    c_.n_blocks = static_cast<int64_t>(halves->size() / 2);
    return *(*halves)[1].as_int();
  }

  // A number of all half-layers of a kind, under any of these names, which must not disagree.
  std::optional<int64_t> common(std::initializer_list<const char*> names, Half half,
                                IntRange range) {
    std::optional<int64_t> found;
    for (const char* name : names) {
      const auto n = t_.has(name) && t_.peek(name)->as_array() != nullptr
                         ? common_entry(name, half, range)
                         : t_.optional_integer(name, range);
      if (n && found && *n != *found)
        t_.fail(name, fmt::format("is {}, {} says {}", *n, *names.begin(), *found));
      if (n) found = n;
    }
    return found;
  }

  // The entry that a list with one for each half-layer has for those of a kind; at the others it
  // must be 0.
  std::optional<int64_t> common_entry(const char* name, Half half, IntRange range) {
    const auto size = static_cast<size_t>(2 * c_.n_blocks), first = static_cast<size_t>(half);
    const auto values = t_.integers(name, {size, size}, {0, range.max});
    if (values.size() != size) return std::nullopt;  // reported
    for (size_t i = 0; i < size; ++i) {
      const std::string at = fmt::format("{}[{}]", name, i);
      if (i % 2 != first) {
        if (values[i] != 0)
          t_.fail(at,
                  fmt::format("is {}, expected 0: the half-layer is of the other kind", values[i]));
      } else if (values[i] < range.min) {
        t_.fail(at, fmt::format("is {}, expected at least {}", values[i], range.min));
        return std::nullopt;
      } else if (values[i] != values[first]) {
        t_.refuse(at,
                  fmt::format("is {}, entry {} is {}; blocks of different sizes are not supported",
                              values[i], first, values[first]));
        return std::nullopt;
      }
    }
    return values[first];
  }

  // Beside the heads of the latent, num_attention_heads may count those of the full width, twice as
  // many; they give the head size.
  void read_legacy_heads() {
    const auto latent = common({"cca_num_q_heads"}, Half::kAttention, kHeads);
    const int64_t heads = t_.integer("num_attention_heads", {1, 1 << 13}, latent ? 2 * *latent : 8);
    c_.num_attention_heads = latent.value_or(heads);
    if (heads != c_.num_attention_heads && heads != 2 * c_.num_attention_heads) {
      t_.fail("num_attention_heads",
              fmt::format("must be the number in cca_num_q_heads ({}) or twice that, found {}",
                          *latent, heads));
    }
    c_.num_key_value_heads =
        common({"num_key_value_heads", "num_query_groups", "num_query_groups_list"},
               Half::kAttention, kKeyHeads)
            .value_or(2);
    const auto head_dim = common({"head_dim", "kv_channels"}, Half::kAttention, kHeadDim);
    c_.head_dim = head_dim.value_or(latent ? c_.hidden_size / heads : 128);
    if (!head_dim && latent && (c_.hidden_size % heads != 0 || c_.head_dim < kHeadDim.min)) {
      t_.fail("num_attention_heads",
              fmt::format("must divide hidden_size ({}) into heads of at least {}, found {}",
                          c_.hidden_size, kHeadDim.min, heads));
      c_.head_dim = kHeadDim.min;
    }
  }

  void read_legacy_rope(bool listed) {
    const double partial = t_.number("partial_rotary_factor", {0.0, 1.0}, 0.5);
    c_.rope.partial_rotary_factor = c_.sliding_rope.partial_rotary_factor = partial;
    auto theta = t_.optional_number("rope_theta", {1.0, 1e12});
    if (auto rope = t_.optional_child("rope_parameters")) {
      rope->choice("rope_type", {"default", "linear"}, 0);
      if (rope->number("factor", {1e-6, 1e6}, 1.0) != 1.0)
        rope->refuse("factor", "stretched positions are not supported, expected 1");
      const auto nested = rope->optional_number("rope_theta", {1.0, 1e12});
      if (nested && theta && *nested != *theta)
        rope->fail("rope_theta", fmt::format("is {}, the one outside is {}", *nested, *theta));
      if (nested) theta = nested;
      if (rope->number("partial_rotary_factor", {0.0, 1.0}, partial) != partial)
        rope->fail("partial_rotary_factor",
                   fmt::format("differs from the one outside, {}", partial));
    }
    // Models with lists were made with several bases, and the default of their code was none of
    // them.
    if (listed && !theta)
      t_.fail("rope_theta", "null or missing, expected a number from 1 to 1000000000000");
    c_.rope.theta = theta.value_or(5e6);
    c_.sliding_rope.theta = t_.number("swa_rotary_base", {1.0, 1e12}, 1e4);
    const Json* scaling = t_.peek("rope_scaling");
    const bool scaled =
        t_.has("rope_scaling") && (scaling->as_bool() == nullptr || *scaling->as_bool());
    if (scaled) t_.refuse("rope_scaling", "stretched positions are not supported, expected false");
    t_.ignore("rope_scaling", "refused unless false");
  }

  void read_legacy_windows() {
    c_.sliding.assign(static_cast<size_t>(c_.n_blocks), false);
    // Tokens before the current one that a block sees, 0: all; one entry a block or one a
    // half-layer, of which attention's counts.
    const auto windows =
        t_.integers("swa_layers", {0, static_cast<size_t>(2 * c_.n_blocks)}, {0, int64_t{1} << 32});
    const size_t step = windows.size() > c_.sliding.size() ? 2 : 1;
    for (size_t l = 0; l < c_.sliding.size() && l * step < windows.size(); ++l) {
      const int64_t before = windows[l * step];
      c_.sliding[l] = before > 0;
      if (before == 0) continue;
      if (c_.sliding_window != 0 && c_.sliding_window != before + 1)
        t_.refuse("swa_layers", "windows of several sizes are not supported");
      c_.sliding_window = before + 1;
    }
    if (c_.sliding_window == 0 && t_.has("sliding_window"))
      t_.refuse("sliding_window", "a window of all layers is not supported, expected null");
    t_.ignore("sliding_window", "swa_layers says it");
  }

  ConfigReader t_;
  Config c_;
};

class Builder {
 public:
  Builder(const Config& c, const ShapeOf& shape_of) : c_(c), shape_of_(shape_of) {}

  Architecture build() {
    const int64_t d = c_.hidden_size;
    a_.family = "ZAYA1";
    a_.vocab_size = c_.vocab_size;
    a_.hidden_size = d;
    a_.n_layers = c_.n_blocks;
    a_.max_positions = c_.rope.reach();
    a_.requires_bos = true;
    a_.prefixes = {"model.", ""};
    a_.embedding = {
        .table = a_.add_lookup("embed_tokens.weight", c_.vocab_size, d),
        .bias = vector("input_hidden_states_bias", "layers.0.res_scale.hidden_states_bias", d),
        .scale_vector =
            vector("input_hidden_states_scale", "layers.0.res_scale.hidden_states_scale", d)};
    for (int64_t i = 0; i < c_.n_blocks; ++i) {
      a_.blocks.push_back(attention(i));
      a_.blocks.push_back(experts(i));
    }
    a_.head.norm = {vector("norm.weight", "final_norm.weight", d),
                    static_cast<float>(c_.rms_norm_eps)};
    a_.add_head_matrix(lm_head(c_.vocab_size, d), c_.tie_word_embeddings);
    return std::move(a_);
  }

 private:
  // Native names by block; the older layout's by half-layer.
  static std::string native(int64_t i, const std::string& name) {
    return "layers." + std::to_string(i) + "." + name;
  }
  static std::string attention_half(int64_t i, const std::string& name) {
    return native(2 * i, name);
  }
  static std::string expert_half(int64_t i, const std::string& name) {
    return native(2 * i + 1, name);
  }

  TensorSpec tensor(const std::string& name, const std::string& legacy,
                    std::vector<int64_t> shape) const {
    return c_.legacy ? TensorSpec{legacy, std::move(shape)} : TensorSpec{name, std::move(shape)};
  }
  WeightId vector(const std::string& name, const std::string& legacy, int64_t n) {
    return a_.add_weight(tensor(name, legacy, {n}), {.use = WeightUse::kVector, .cols = n});
  }
  WeightId matrix(const std::string& name, const std::string& legacy, int64_t rows, int64_t cols) {
    return a_.add_weight(tensor(name, legacy, {rows, cols}),
                         {.use = WeightUse::kMatrix, .rows = rows, .cols = cols});
  }

  ScaledResidual merge(const std::string& name, const std::string& legacy) {
    const int64_t d = c_.hidden_size;
    return {.scale = vector(name + ".hidden_states_scale", legacy + ".hidden_states_scale", d),
            .bias = vector(name + ".hidden_states_bias", legacy + ".hidden_states_bias", d),
            .residual_scale = vector(name + ".residual_scale", legacy + ".residual_scale", d),
            .residual_bias = vector(name + ".residual_bias", legacy + ".residual_bias", d)};
  }

  Block attention(int64_t i) {
    const bool sliding = c_.sliding[static_cast<size_t>(i)];
    const int64_t d = c_.hidden_size, k = c_.head_dim, q = c_.num_attention_heads * k,
                  kv = c_.num_key_value_heads * k, c = q + kv;
    const auto at = [&](const std::string& name, const std::string& legacy) {
      return std::pair(native(i, "self_attn." + name), attention_half(i, "self_attn." + legacy));
    };
    const auto projection = [&](const char* name, const char* legacy, int64_t rows, int64_t cols) {
      const auto [n, l] = at(name, legacy);
      return matrix(n, l, rows, cols);
    };
    CcaSpec s;
    s.attention = {.n_heads = c_.num_attention_heads,
                   .n_kv_heads = c_.num_key_value_heads,
                   .head_dim = k,
                   .window = sliding ? c_.sliding_window : kUnbounded,
                   .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(k))),
                   .rope = rope_spec(sliding ? c_.sliding_rope : c_.rope, k)};
    s.attention.q_proj = projection("qkv_proj.q_proj.weight", "qkv.linear_q.weight", q, d);
    s.attention.k_proj = projection("qkv_proj.k_proj.weight", "qkv.linear_k.weight", kv, d);
    s.attention.v_proj =
        projection("qkv_proj.v_proj_current.weight", "qkv.val_proj1.weight", kv / 2, d);
    s.v_proj_delayed =
        projection("qkv_proj.v_proj_delayed.weight", "qkv.val_proj2.weight", kv / 2, d);
    s.attention.o_proj = projection("o_proj.weight", "o_proj.weight", d, q);
    s.time0 = c_.time0;
    s.time1 = c_.time1;
    const auto [depthwise, depthwise_legacy] = at("qkv_proj.conv_qk_depthwise", "qkv.conv_qk.0");
    const auto [grouped, grouped_legacy] = at("qkv_proj.conv_qk_grouped", "qkv.conv_qk.1");
    s.conv_depthwise =
        a_.add_weight(tensor(depthwise + ".weight", depthwise_legacy + ".weight", {c, 1, c_.time0}),
                      {.use = WeightUse::kTaps, .rows = c, .cols = c_.time0});
    s.conv_depthwise_bias = vector(depthwise + ".bias", depthwise_legacy + ".bias", c);
    s.conv_grouped =
        a_.add_weight(tensor(grouped + ".weight", grouped_legacy + ".weight", {c, k, c_.time1}),
                      {.use = WeightUse::kMatrix,
                       .n_experts = c / k,
                       .expert_stride = k,
                       .rows = k,
                       .cols = k * c_.time1,
                       .rounding = Rounding::kNever});
    s.conv_grouped_bias = vector(grouped + ".bias", grouped_legacy + ".bias", c);
    if (c_.clamp_temp) s.log_temperature = Clamp{1e-7f, 2.0f};
    const auto [temperature, temperature_legacy] = at("qk_norm.temp", "qkv.temp");
    s.temperature = vector(temperature, temperature_legacy, c_.num_key_value_heads);
    s.attention.state = static_cast<StateId>(a_.states.size());
    a_.states.push_back({.layer = i,
                         .n_kv_heads = c_.num_key_value_heads,
                         .head_dim = k,
                         .window = s.attention.window});
    s.taps = static_cast<StateId>(a_.states.size());
    a_.states.push_back({.layer = i, .fixed_elements = s.state_elements()});
    Block block{.layer = i};
    block.pre_norm = NormSpec{
        vector(native(i, "input_layernorm.weight"), attention_half(i, "input_norm.weight"), d),
        static_cast<float>(c_.rms_norm_eps)};
    block.mixer = s;
    block.residual = merge(native(i, "post_attention_residual_scale"), expert_half(i, "res_scale"));
    return block;
  }

  MlpRouterSpec router(int64_t i) {
    const int64_t d = c_.hidden_size, r = c_.router_hidden_size, outputs = c_.num_experts + 1;
    const auto name = [&](const char* n) { return native(i, std::string("mlp.gate.") + n); };
    const auto legacy = [&](const char* n) {
      return expert_half(i, std::string("zaya_block.router.") + n);
    };
    MlpRouterSpec s{.width = r};
    s.down_proj = a_.rounded(matrix(name("down_proj.weight"), legacy("down_proj.weight"), r, d),
                             Rounding::kNever);
    s.down_bias = vector(name("down_proj.bias"), legacy("down_proj.bias"), r);
    if (i > 0)
      s.states_scale = vector(name("router_states_scale"), legacy("router_states_scale"), r);
    s.norm = {vector(name("router_mlp.norm.weight"), legacy("rmsnorm_eda.weight"), r),
              static_cast<float>(c_.router_eps)};
    s.fc1 = a_.rounded(matrix(name("router_mlp.fc1.weight"), legacy("router_mlp.0.weight"), r, r),
                       Rounding::kNever);
    s.fc1_bias = vector(name("router_mlp.fc1.bias"), legacy("router_mlp.0.bias"), r);
    s.fc2 = a_.rounded(matrix(name("router_mlp.fc2.weight"), legacy("router_mlp.2.weight"), r, r),
                       Rounding::kNever);
    s.fc2_bias = vector(name("router_mlp.fc2.bias"), legacy("router_mlp.2.bias"), r);
    s.out_proj = a_.rounded(
        matrix(name("router_mlp.out_proj.weight"), legacy("router_mlp.4.weight"), outputs, r),
        Rounding::kNever);
    s.selection_bias = vector(name("balancing_biases"), legacy("balancing_biases"), outputs);
    return s;
  }

  static std::vector<ExpertLayout> legacy_layouts(int64_t i) {
    return {fused_one_by_one(expert_half(i, "zaya_block.experts.local_experts."), "linear_fc1",
                             "linear_fc2"),
            stacked(expert_half(i, "zaya_block.experts."))};
  }

  static std::vector<ExpertLayout> native_layouts(int64_t i) {
    const std::string own = native(i, "mlp.experts.");
    return {stacked(own), one_by_one(own), fused_one_by_one(own)};
  }

  Block experts(int64_t i) {
    const int64_t d = c_.hidden_size, e = c_.num_experts, f = c_.moe_intermediate_size;
    MoeSpec s{.n_experts = e, .top_k = 1, .width = f, .activation = ActivationKind::kSilu};
    s.router = router(i);
    s.skipped = c_.legacy ? Skipped::kItself : Skipped::kNothing;
    add_expert_weights(a_, s, c_.legacy ? legacy_layouts(i) : native_layouts(i), shape_of_);
    Block block{.layer = i};
    block.pre_norm = NormSpec{vector(native(i, "post_attention_layernorm.weight"),
                                     expert_half(i, "input_norm.weight"), d),
                              static_cast<float>(c_.rms_norm_eps)};
    block.mixer = s;
    const bool last = i + 1 == c_.n_blocks;
    block.residual = merge(native(i, "post_mlp_residual_scale"),
                           last ? "res_scale" : attention_half(i + 1, "res_scale"));
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

Json native_config(const Config& c, const std::string& dtype) {
  Json types{Json::Array{}};
  for (bool sliding : c.sliding) types.push_back(sliding ? "hybrid_sliding" : "hybrid");
  Json ropes =
      Json::object({{"hybrid", rope_json(c.rope)}, {"hybrid_sliding", rope_json(c.sliding_rope)}});
  if (!c.rope.truncate) ropes.set("truncate", false);
  return Json::object({{"architectures", Json(Json::Array{Json("ZayaForCausalLM")})},
                       {"model_type", "zaya"},
                       {"dtype", dtype},
                       {"vocab_size", c.vocab_size},
                       {"hidden_size", c.hidden_size},
                       {"num_hidden_layers", c.n_blocks},
                       {"num_attention_heads", c.num_attention_heads},
                       {"num_key_value_heads", c.num_key_value_heads},
                       {"head_dim", c.head_dim},
                       {"cca_time0", c.time0},
                       {"cca_time1", c.time1},
                       {"num_experts", c.num_experts},
                       {"num_experts_per_tok", 1},
                       {"moe_intermediate_size", c.moe_intermediate_size},
                       {"router_hidden_size", c.router_hidden_size},
                       {"rms_norm_eps", c.rms_norm_eps},
                       {"hidden_act", "silu"},
                       {"layer_types", types},
                       {"sliding_window", c.sliding_window > 0 ? Json(c.sliding_window) : Json()},
                       {"rope_parameters", ropes},
                       {"max_position_embeddings", c.max_position_embeddings},
                       {"tie_word_embeddings", c.tie_word_embeddings},
                       {"bos_token_id", 2},
                       {"eos_token_id", 106},
                       {"pad_token_id", 0}});
}

Result<Json> rewrite(const ConfigFile& config, int64_t n_layers, const std::string& dtype) {
  LH_TRY(Config c, Reader(config).read());
  if (n_layers > 0 && n_layers < c.n_blocks) {
    c.sliding.erase(c.sliding.begin(), c.sliding.end() - n_layers);
    c.n_blocks = n_layers;
  }
  return native_config(c, dtype);
}

}  // namespace

const Family& zaya_family() {
  static const Family family{{"zaya"}, read, rewrite,      read_presets({"zaya1-8b"}),
                             false,    {},   {zaya_gguf()}};
  return family;
}

}  // namespace longhaul
