// Keys and names as llama.cpp's converter for Gemma writes them (conversion/gemma.py). What its
// loader holds as constants of the architecture is a constant here too.
#include "models/gemma_gguf.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/widen.h"
#include "models/gemma.h"
#include "models/gguf_keys.h"
#include "models/gguf_names.h"

namespace longhaul {
namespace {

constexpr IntRange kLayers{1, 256}, kHeads{1, 1 << 10}, kHeadDim{2, 1 << 12};
constexpr NumberRange kTheta{1.0, 1e12};
constexpr int64_t kSlidingPeriod = 6;  // every sixth layer is a full one
constexpr const char* kConverted = "get another conversion of the model";

// Which tokens end a text is said by the file's own keys.
Json without_token_ids(Json config) {
  for (Json::Member& member : *config.as_object()) {
    if (member.first != "text_config") continue;
    std::erase_if(*member.second.as_object(), [](const Json::Member& m) {
      return m.first == "bos_token_id" || m.first == "eos_token_id" || m.first == "pad_token_id";
    });
  }
  return config;
}

// What the two generations share.
GemmaConfig read_sizes(GgufKeys& keys, const GgufSource& file, int generation) {
  GemmaConfig c;
  c.generation = generation;
  const auto n = static_cast<size_t>(keys->integer("block_count", kLayers));
  c.layers.resize(n);
  c.vocab_size = keys.vocab_size();
  c.hidden_size = keys->integer("embedding_length", {1, 1 << 17});
  c.max_position_embeddings = keys->integer("context_length", {1, int64_t{1} << 32});
  c.rms_norm_eps = keys->number("attention.layer_norm_rms_epsilon", {0.0, 1.0});
  c.num_attention_heads = keys.common("attention.head_count", n, kHeads);
  // 0 stands for none.
  const double cap = keys->number("final_logit_softcapping", {0.0, 1e9}, 0.0);
  if (cap > 0) c.final_logit_softcapping = cap;
  if (keys->number("attn_logit_softcapping", {0.0, 1e9}, 0.0) > 0)
    keys->refuse("attn_logit_softcapping", "capped attention scores are not supported");
  c.tie_word_embeddings = file.find("output.weight") == nullptr;
  return c;
}

int64_t head_dim(GgufKeys& keys, const std::string& suffix, std::optional<int64_t> fallback = {}) {
  const std::string key = "attention.key_length" + suffix,
                    value = "attention.value_length" + suffix;
  const int64_t dim = keys->integer(key, kHeadDim, fallback);
  if (keys->integer(value, kHeadDim, dim) != dim)
    keys->refuse(value,
                 fmt::format("values as wide as keys are supported alone, expected {}", dim));
  return dim;
}

// Gemma 3 from 4B on stretches its full layers evenly.
void read_linear_scaling(GgufKeys& keys, RopeFields& rope) {
  if (keys->choice("rope.scaling.type", {"none", "linear"}, 0) == 0) return;
  rope.type = RopeType::kLinear;
  rope.factor = keys->number("rope.scaling.factor", {1e-6, 1e6});
  keys->ignore("rope.scaling.original_context_length", "an even stretch does not use it");
}

void read_gemma3_layers(GgufKeys& keys, GemmaConfig& c) {
  const size_t n = c.layers.size();
  const int64_t heads = std::max<int64_t>(c.num_attention_heads, 1);
  const int64_t dim = head_dim(keys, "", std::clamp<int64_t>(c.hidden_size / heads, 2, 1 << 12));
  const int64_t kv_heads = keys.common("attention.head_count_kv", n, kHeads);
  const bool has_window = keys->has("attention.sliding_window");
  if (has_window)
    c.sliding_window = keys->integer("attention.sliding_window", {1, int64_t{1} << 32});
  const std::vector<bool> sliding = keys.sliding_layers(n, kSlidingPeriod, kSlidingPeriod - 1);
  for (size_t l = 0; l < n; ++l) c.layers[l] = {!(has_window && sliding[l]), dim, kv_heads, false};
  // The 27B alone divides by another width than its heads'.
  constexpr size_t kLayersOf27B = 62;
  const int64_t divisor = n == kLayersOf27B ? c.hidden_size / heads : dim;
  c.attention_scale = 1.0 / std::sqrt(static_cast<double>(divisor));
}

// The mean of the layers' input norms: about 1 or more where the 1 was added to them, else about 0.
Status check_norms_hold_one(const GgufSource& file, const GemmaConfig& c,
                            const std::string& where) {
  double sum = 0;
  int64_t n = 0;
  for (size_t l = 0; l < c.layers.size(); ++l) {
    const GgufTensor* norm = file.find(gguf_layer_name(l, "attn_norm.weight"));
    const auto weights = norm == nullptr ? std::nullopt : widened(*norm);
    if (!weights) continue;  // reported when tensors are matched
    for (const float w : *weights) sum += w;
    n += static_cast<int64_t>(weights->size());
  }
  if (n == 0 || sum > 0.5 * static_cast<double>(n)) return {};
  return corrupt(
      "{}: the mean of all 'attn_norm' is {:.3g}, and Gemma 3's hold 1 more than the model's own "
      "in a GGUF file; {}",
      where, sum / static_cast<double>(n), kConverted);
}

Result<Json> gemma3_config(const GgufSource& file, const std::string& where) {
  GgufKeys keys(file, "gemma3", where);
  GemmaConfig c = read_sizes(keys, file, 3);
  c.intermediate_size = keys.common("feed_forward_length", c.layers.size(), {1, 1 << 20});
  read_gemma3_layers(keys, c);
  c.full_rope = {.theta = keys->number("rope.freq_base", kTheta, 1e6)};
  c.sliding_rope = {.theta = keys->number("rope.freq_base_swa", kTheta, 1e4)};
  read_linear_scaling(keys, c.full_rope);
  keys->ignore("rope.dimension_count", "all of a head turns");
  // Files hold w + 1 of norms that the model applies as 1 + w.
  c.norm_offset = 0.0;
  LH_RETURN_IF_ERROR(keys.finish());
  LH_RETURN_IF_ERROR(check_norms_hold_one(file, c, where));
  return without_token_ids(gemma_config_json(c, "bfloat16"));
}

// The file keeps divisors of the full layers' frequencies: 1 for the pairs that turn, 1e30 for
// those that stand still. Gives the part of a head that turns.
Result<double> turning_part(const GgufSource& file, int64_t head_dim, const std::string& where) {
  const GgufTensor* tensor = file.find("rope_freqs.weight");
  const auto divisors = tensor == nullptr ? std::nullopt : widened(*tensor);
  const auto pairs = static_cast<size_t>(head_dim / 2);
  if (!divisors || divisors->size() != pairs) {
    return corrupt(
        "{}: tensor 'rope_freqs.weight' is {}, expected one divisor for each of {} "
        "pairs of channels; {}",
        where, tensor == nullptr ? "missing" : shape_text(tensor->shape()), pairs, kConverted);
  }
  const auto still =
      std::find_if(divisors->begin(), divisors->end(), [](float d) { return d != 1.0f; });
  const auto odd = std::find_if(still, divisors->end(), [](float d) { return !(d >= 1e9f); });
  if (odd != divisors->end() || still == divisors->begin()) {
    return unsupported(
        "{}: tensor 'rope_freqs.weight' has {:g} at {}, expected ones and then "
        "divisors of at least 1e9; {}",
        where, odd == divisors->end() ? divisors->front() : *odd,
        odd == divisors->end() ? 0 : odd - divisors->begin(), kConverted);
  }
  const auto turning = static_cast<double>(2 * (still - divisors->begin()));
  const auto width = static_cast<double>(head_dim);
  const double part = turning / width;
  // Whoever multiplies again must find as many channels.
  return part * width < turning ? std::nextafter(part, 1.0) : part;
}

void read_gemma4_layers(GgufKeys& keys, GemmaConfig& c) {
  const size_t n = c.layers.size();
  const std::vector<bool> sliding = keys.sliding_layers(n, kSlidingPeriod, kSlidingPeriod - 1);
  const std::vector<int64_t> kv_heads = keys.per_layer("attention.head_count_kv", n, kHeads);
  const int64_t full_dim = head_dim(keys, "");
  const bool slides = std::find(sliding.begin(), sliding.end(), true) != sliding.end();
  const int64_t sliding_dim =
      head_dim(keys, "_swa", slides ? std::nullopt : std::optional(full_dim));
  c.num_kv_shared_layers =
      keys->integer("attention.shared_kv_layers", {0, static_cast<int64_t>(n) - 1}, 0);
  c.sliding_window = keys->integer("attention.sliding_window", {1, int64_t{1} << 32});
  bool k_eq_v = false;
  const size_t n_owners = n - static_cast<size_t>(c.num_kv_shared_layers);
  for (size_t l = 0; l < n; ++l) {
    const bool full = !sliding[l];
    c.layers[l] = {full, full ? full_dim : sliding_dim, kv_heads[l], false};
    k_eq_v = k_eq_v || (full && l < n_owners && !keys.has_layer_tensor(l, "attn_v.weight"));
  }
  for (GemmaLayer& layer : c.layers) layer.k_eq_v = layer.full && k_eq_v;
  if (sliding.back())
    keys->fail("attention.sliding_window_pattern", "expected a last layer that is a full one");
}

void read_gemma4_mlp(GgufKeys& keys, GemmaConfig& c) {
  const std::vector<int64_t> widths =
      keys.per_layer("feed_forward_length", c.layers.size(), {1, 1 << 20});
  const size_t first_shared = widths.size() - static_cast<size_t>(c.num_kv_shared_layers);
  c.intermediate_size = widths.front();
  c.use_double_wide_mlp = widths.back() == 2 * widths.front() && first_shared < widths.size();
  for (size_t l = 0; l < widths.size(); ++l) {
    const int64_t expected =
        c.intermediate_size * (c.use_double_wide_mlp && l >= first_shared ? 2 : 1);
    if (widths[l] == expected) continue;
    keys->refuse("feed_forward_length",
                 fmt::format("is {} in layer {}, expected {}: twice the first one's width in the "
                             "layers that share keys and values, or nowhere",
                             widths[l], l, expected));
    return;
  }
}

void read_gemma4_parts(GgufKeys& keys, GemmaConfig& c) {
  c.hidden_size_per_layer_input =
      keys->integer("embedding_length_per_layer_input", {0, 1 << 14}, 0);
  if (c.hidden_size_per_layer_input > 0) {
    c.vocab_size_per_layer_input = keys.extent("per_layer_token_embd.weight", 0);
    if (c.vocab_size_per_layer_input < 1)
      keys->fail("embedding_length_per_layer_input",
                 "is there, and no tensor 'per_layer_token_embd.weight'");
  }
  c.num_experts = keys->integer("expert_count", {0, 4096}, 0);
  if (c.num_experts == 0) return;
  c.top_k_experts = keys->integer("expert_used_count", {1, 4096});
  c.moe_intermediate_size = keys->integer("expert_feed_forward_length", {1, 1 << 20});
}

// All of a head turns, or the part that rope_freqs tells.
void check_rotated(GgufKeys& keys, const char* key, int64_t head_dim) {
  if (keys->integer(key, {2, 1 << 12}, head_dim) != head_dim)
    keys->refuse(key, fmt::format("expected the width of a head, {}", head_dim));
}

Result<Json> gemma4_config(const GgufSource& file, const std::string& where) {
  GgufKeys keys(file, "gemma4", where);
  GemmaConfig c = read_sizes(keys, file, 4);
  read_gemma4_layers(keys, c);
  read_gemma4_mlp(keys, c);
  read_gemma4_parts(keys, c);
  const int64_t full_dim = c.layers.back().head_dim;
  check_rotated(keys, "rope.dimension_count", full_dim);
  for (const GemmaLayer& layer : c.layers) {
    if (!layer.full) check_rotated(keys, "rope.dimension_count_swa", layer.head_dim);
  }
  keys->ignore("rope.dimension_count_swa", "read with the layers that slide");
  c.full_rope = {.type = RopeType::kProportional,
                 .theta = keys->number("rope.freq_base", kTheta, 1e6),
                 .factor = 1.0};
  c.sliding_rope = {.theta = keys->number("rope.freq_base_swa", kTheta, 1e4)};
  if (keys->choice("rope.scaling.type", {"none"}, 0) != 0) return Json();
  LH_RETURN_IF_ERROR(keys.finish());
  LH_TRY(c.full_rope.partial_rotary_factor, turning_part(file, full_dim, where));
  return without_token_ids(gemma_config_json(c, "bfloat16"));
}

constexpr GgufName kOutside[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"output_norm.weight", "norm.weight"},
    {"output.weight", "/lm_head.weight"},
    {"per_layer_token_embd.weight", "embed_tokens_per_layer.weight"},
    {"per_layer_model_proj.weight", "per_layer_model_projection.weight"},
    {"per_layer_proj_norm.weight", "per_layer_projection_norm.weight"},
    {"rope_freqs.weight", ""},
};

constexpr GgufName kLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"layer_output_scale.weight", "layer_scalar"},
    {"inp_gate.weight", "per_layer_input_gate.weight"},
    {"proj.weight", "per_layer_projection.weight"},
    {"post_norm.weight", "post_per_layer_input_norm.weight"},
    {"ffn_gate_inp.weight", "router.proj.weight"},
    {"ffn_gate_inp.scale", "router.scale"},
    {"ffn_gate_exps.weight", "experts.switch_glu.gate_proj.weight"},
    {"ffn_up_exps.weight", "experts.switch_glu.up_proj.weight"},
    {"ffn_gate_up_exps.weight", "experts.gate_up_proj"},
    {"ffn_down_exps.weight", "experts.down_proj"},
    {"ffn_down_exps.scale", "router.per_expert_scale"},
    {"pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight"},
    {"post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight"},
    {"post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight"},
};

std::optional<std::string> name_of(std::string_view name, const GgufSource&) {
  return GgufNames{"model.", kOutside, kLayer}.find(name);
}

}  // namespace

GgufReading gemma3_gguf() {
  return {.architecture = "gemma3",
          .config = gemma3_config,
          .tensor_name = name_of,
          .tokens = {.stops = {"<end_of_turn>"}, .control = {"<start_of_turn>", "<end_of_turn>"}}};
}

GgufReading gemma4_gguf() {
  return {.architecture = "gemma4",
          .config = gemma4_config,
          .tensor_name = name_of,
          .tokens = {.stops = {"<turn|>", "<|tool_response>"},
                     .control = {"<|turn>", "<turn|>"},
                     .merged_model = "gemma4"}};
}

}  // namespace longhaul
