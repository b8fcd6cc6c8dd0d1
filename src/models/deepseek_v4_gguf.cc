// Two dialects have one architecture's name: that of llama.cpp (conversion/deepseek.py), and ds4's,
// which leaves keys out whose numbers the tensors' shapes tell. What neither tells is what all
// releases have, or an error.
#include "models/deepseek_v4_gguf.h"

#include <algorithm>

#include "models/gguf_keys.h"
#include "models/gguf_names.h"

namespace longhaul {
namespace {

constexpr IntRange kPositions{1, int64_t{1} << 32}, kRank{1, 1 << 17}, kHeads{1, 1 << 12};
constexpr NumberRange kTheta{1.0, 1e12}, kFactor{1e-6, 1e6};

// A tensor of any layer that has it; 0 where none does.
int64_t any_extent(const GgufKeys& keys, size_t n, std::string_view name, size_t i) {
  for (size_t l = 0; l < n; ++l) {
    if (const int64_t extent = keys.extent(gguf_layer_name(l, name), i)) return extent;
  }
  return 0;
}

// What a shape tells, for a key that may be missing; nothing where it tells nothing.
std::optional<int64_t> told(int64_t extent, IntRange range) {
  if (extent < range.min || extent > range.max) return std::nullopt;
  return extent;
}

int64_t quotient(int64_t a, int64_t b) { return b > 0 && a % b == 0 ? a / b : 0; }

// The last blocks may draft: they have tensors of their own kind.
size_t count_layers(GgufKeys& keys) {
  auto n = static_cast<size_t>(keys->integer("block_count", {1, 256}));
  keys->optional_integer("nextn_predict_layers");
  while (n > 1 && (keys.has_layer_tensor(n - 1, "nextn.enorm.weight") ||
                   keys.has_layer_tensor(n - 1, "nextn.eh_proj.weight")))
    --n;
  return n;
}

void set_attention(GgufKeys& keys, size_t n, int64_t hidden, Json& config) {
  const int64_t heads = keys.common("attention.head_count", n, kHeads);
  if (keys.common("attention.head_count_kv", n, kHeads, 1) != 1)
    keys->refuse("attention.head_count_kv", "all heads share one row, expected 1");
  const IntRange width{2, 1 << 12};
  const int64_t dim = keys->integer("attention.key_length", width,
                                    told(any_extent(keys, n, "attn_kv.weight", 0), width));
  if (keys->integer("attention.value_length", width, dim) != dim)
    keys->refuse("attention.value_length", fmt::format("keys are values here, expected {}", dim));
  const int64_t groups = keys->integer(
      "attention.output_group_count", {1, 1 << 10},
      told(quotient(heads * dim, any_extent(keys, n, "attn_output_a.weight", 1)), {1, 1 << 10}));
  const int64_t rank =
      quotient(any_extent(keys, n, "attn_output_a.weight", 0), std::max<int64_t>(groups, 1));
  config.set("num_attention_heads", heads);
  config.set("num_key_value_heads", 1);
  config.set("head_dim", dim);
  config.set("q_lora_rank", keys->integer("attention.q_lora_rank", kRank,
                                          told(any_extent(keys, n, "attn_q_a.weight", 0), kRank)));
  config.set("o_groups", groups);
  config.set("o_lora_rank", keys->integer("attention.output_lora_rank", kRank, told(rank, kRank)));
  config.set("sliding_window", keys->integer("attention.sliding_window", kPositions));
  config.set("qk_rope_head_dim", keys->integer("rope.dimension_count", width));
  const int64_t fn_width = any_extent(keys, n, "hc_attn_fn.weight", 1);
  config.set("hc_mult", keys->integer("hyper_connection.count", {2, 8},
                                      told(quotient(fn_width, hidden), {2, 8})));
  config.set("hc_sinkhorn_iters",
             keys->integer("hyper_connection.sinkhorn_iterations", {1, 1000}, 20));
  config.set("hc_eps", keys->number("hyper_connection.epsilon", {0.0, 1.0}, 1e-6));
}

void set_indexer(GgufKeys& keys, size_t n, Json& config) {
  const IntRange heads{1, 1 << 10}, width{1, 1 << 12};
  const int64_t n_heads = keys->integer("attention.indexer.head_count", heads,
                                        told(any_extent(keys, n, "indexer.proj.weight", 0), heads));
  const int64_t dim = quotient(any_extent(keys, n, "indexer.attn_q_b.weight", 0), n_heads);
  config.set("index_n_heads", n_heads);
  config.set("index_head_dim",
             keys->integer("attention.indexer.key_length", width, told(dim, width)));
  config.set("index_topk", keys->integer("attention.indexer.top_k", {1, 1 << 20}));
}

// How many tokens an entry of each layer stands for; 0 where a layer has none.
std::vector<int64_t> read_ratios(GgufKeys& keys, size_t n) {
  std::vector<int64_t> ratios;
  if (keys->has("attention.compress_ratios")) {
    // A list may go on behind the layers, for those that draft.
    ratios = keys->integers("attention.compress_ratios", {n, n + 64}, {0, 1 << 16});
  } else {
    for (size_t l = 0; l < n; ++l)
      ratios.push_back(keys.extent(gguf_layer_name(l, "attn_compressor_ape.weight"), 0));
  }
  ratios.resize(n);
  return ratios;
}

// Layers whose entries are chosen by an indexer have one ratio, those without one another.
void set_layers(GgufKeys& keys, size_t n, Json& config) {
  const std::vector<int64_t> ratios = read_ratios(keys, n);
  constexpr const char* kKinds[] = {"compressed_sparse_attention", "heavily_compressed_attention"};
  int64_t rates[] = {0, 0};
  Json types{Json::Array{}};
  for (size_t l = 0; l < n; ++l) {
    const size_t kind = keys.has_layer_tensor(l, "indexer.proj.weight") ? 0 : 1;
    types.push_back(ratios[l] == 0 ? "sliding_attention" : kKinds[kind]);
    if (ratios[l] == 0) continue;
    if (rates[kind] != 0 && rates[kind] != ratios[l])
      keys->refuse(
          "attention.compress_ratios",
          fmt::format("layers of a kind that differ are not supported, there are {} and {}",
                      rates[kind], ratios[l]));
    rates[kind] = ratios[l];
  }
  Json compress_rates = Json::object({});
  for (const size_t kind : {0, 1}) {
    if (rates[kind] > 0) compress_rates.set(kKinds[kind], rates[kind]);
  }
  config.set("layer_types", types);
  config.set("compress_rates", compress_rates);
  int64_t n_hash = 0;
  while (n_hash < static_cast<int64_t>(n) &&
         keys.has_layer_tensor(static_cast<size_t>(n_hash), "ffn_gate_tid2eid.weight"))
    ++n_hash;
  config.set("num_hash_layers", keys->integer("hash_layer_count", {0, 256}, n_hash));
}

// One limit for all layers, though files may list it for each.
double clamp_of(GgufKeys& keys, const char* key, size_t n, double fallback) {
  const NumberRange range{1e-6, 1e9};
  const Json* value = keys->peek(key);
  if (value == nullptr || value->as_array() == nullptr) return keys->number(key, range, fallback);
  const std::vector<double> values = keys->numbers(key, {n, n + 64}, range);
  if (values.empty()) return fallback;
  const auto other = std::find_if(values.begin(), values.end(),
                                  [&](double limit) { return limit != values.front(); });
  if (other != values.end())
    keys->refuse(key, fmt::format("layers that differ are not supported, layer 0 has {:g} and "
                                  "layer {} has {:g}",
                                  values.front(), other - values.begin(), *other));
  return values.front();
}

void set_experts(GgufKeys& keys, size_t n, Json& config) {
  constexpr int64_t kSoftmax = 1, kSigmoid = 2, kSqrtSoftplus = 4;
  const int64_t score = keys->integer("expert_gating_func", {0, 100}, kSqrtSoftplus);
  if (score != kSoftmax && score != kSigmoid && score != kSqrtSoftplus)
    keys->refuse("expert_gating_func", "expected 1, 2 or 4");
  config.set("scoring_func", score == kSoftmax   ? "softmax"
                             : score == kSigmoid ? "sigmoid"
                                                 : "sqrtsoftplus");
  if (!keys.flag("expert_weights_norm", true))
    keys->refuse("expert_weights_norm", "is always done, expected true");
  config.set("n_routed_experts", keys->integer("expert_count", {1, 1024}));
  config.set("num_experts_per_tok", keys->integer("expert_used_count", {1, 1024}));
  config.set("moe_intermediate_size", keys->integer("expert_feed_forward_length", {1, 1 << 20}));
  config.set("n_shared_experts", keys->integer("expert_shared_count", {0, 1024}, 1));
  config.set("routed_scaling_factor", keys->number("expert_weights_scale", {-1e6, 1e6}, 1.5));
  const double limit = clamp_of(keys, "swiglu_clamp_exp", n, 10.0);
  config.set("swiglu_limit", limit);
  if (clamp_of(keys, "swiglu_clamp_shexp", n, limit) != limit)
    keys->refuse("swiglu_clamp_shexp", "expected the limit of the other experts");
  for (const char* key : {"expert_group_count", "expert_group_used_count"}) {
    if (keys->integer(key, {0, 1024}, 1) > 1)
      keys->refuse(key, "experts in groups are not supported, expected 1");
  }
  for (const char* key : {"feed_forward_length", "leading_dense_block_count"})
    keys->ignore(key, "no layer is dense");
}

void set_ropes(GgufKeys& keys, Json& config) {
  config.set("rope_theta", keys->number("rope.freq_base", kTheta, 10000.0));
  config.set("compress_rope_theta",
             keys->number("attention.compress_rope_freq_base", kTheta, 160000.0));
  const bool has_factor = keys->has("rope.scaling.factor");
  if (keys->choice("rope.scaling.type", {"none", "yarn"}, has_factor ? 1 : 0) == 0) return;
  Json scaling =
      Json::object({{"type", "yarn"},
                    {"factor", keys->number("rope.scaling.factor", kFactor)},
                    {"original_max_position_embeddings",
                     keys->integer("rope.scaling.original_context_length", kPositions)},
                    {"beta_fast", keys->number("rope.scaling.yarn_beta_fast", kFactor, 32.0)},
                    {"beta_slow", keys->number("rope.scaling.yarn_beta_slow", kFactor, 1.0)}});
  for (const char* key : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor",
                          "rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor"})
    keys->ignore(key, "the model multiplies nothing by it");
  config.set("rope_scaling", std::move(scaling));
}

Result<Json> config_of(const GgufSource& file, const std::string& where) {
  GgufKeys keys(file, "deepseek4", where);
  const size_t n = count_layers(keys);
  const int64_t hidden = keys->integer("embedding_length", {1, 1 << 17});
  Json config =
      Json::object({{"architectures", Json(Json::Array{Json("DeepseekV4ForCausalLM")})},
                    {"model_type", "deepseek_v4"},
                    {"dtype", "bfloat16"},
                    {"vocab_size", keys.vocab_size()},
                    {"hidden_size", hidden},
                    {"num_hidden_layers", static_cast<int64_t>(n)},
                    {"max_position_embeddings", keys->integer("context_length", kPositions)},
                    {"rms_norm_eps", keys->number("attention.layer_norm_rms_epsilon", {0.0, 1.0})},
                    {"tie_word_embeddings", file.find("output.weight") == nullptr}});
  set_attention(keys, n, hidden, config);
  set_indexer(keys, n, config);
  set_layers(keys, n, config);
  set_experts(keys, n, config);
  set_ropes(keys, config);
  LH_RETURN_IF_ERROR(keys.finish());
  return config;
}

constexpr GgufName kOutside[] = {
    {"token_embd.weight", "embed.weight"},     {"output_norm.weight", "norm.weight"},
    {"output.weight", "/head.weight"},         {"output_hc_fn.weight", "hc_head_fn"},
    {"output_hc_base.weight", "hc_head_base"}, {"output_hc_scale.weight", "hc_head_scale"},
};

constexpr GgufName kLayer[] = {
    {"attn_norm.weight", "attn_norm.weight"},
    {"attn_q_a.weight", "attn.wq_a.weight"},
    {"attn_q_a_norm.weight", "attn.q_norm.weight"},
    {"attn_q_b.weight", "attn.wq_b.weight"},
    {"attn_kv.weight", "attn.wkv.weight"},
    {"attn_kv_a_norm.weight", "attn.kv_norm.weight"},
    {"attn_sinks.weight", "attn.attn_sink"},
    {"attn_output_a.weight", "attn.wo_a.weight"},
    {"attn_output_b.weight", "attn.wo_b.weight"},
    {"attn_compressor_kv.weight", "attn.compressor.wkv.weight"},
    {"attn_compressor_gate.weight", "attn.compressor.wgate.weight"},
    {"attn_compressor_ape.weight", "attn.compressor.ape"},
    {"attn_compressor_norm.weight", "attn.compressor.norm.weight"},
    {"indexer.attn_q_b.weight", "attn.indexer.wq_b.weight"},
    {"indexer.proj.weight", "attn.indexer.weights_proj.weight"},
    {"indexer_compressor_kv.weight", "attn.indexer.compressor.wkv.weight"},
    {"indexer_compressor_gate.weight", "attn.indexer.compressor.wgate.weight"},
    {"indexer_compressor_ape.weight", "attn.indexer.compressor.ape"},
    {"indexer_compressor_norm.weight", "attn.indexer.compressor.norm.weight"},
    {"hc_attn_fn.weight", "hc_attn_fn"},
    {"hc_attn_base.weight", "hc_attn_base"},
    {"hc_attn_scale.weight", "hc_attn_scale"},
    {"hc_ffn_fn.weight", "hc_ffn_fn"},
    {"hc_ffn_base.weight", "hc_ffn_base"},
    {"hc_ffn_scale.weight", "hc_ffn_scale"},
    {"ffn_norm.weight", "ffn_norm.weight"},
    {"ffn_gate_inp.weight", "ffn.gate.weight"},
    {"exp_probs_b.bias", "ffn.gate.bias"},
    {"ffn_gate_tid2eid.weight", "ffn.gate.tid2eid"},
    {"ffn_gate_exps.weight", "ffn.experts.gate_proj.weight"},
    {"ffn_up_exps.weight", "ffn.experts.up_proj.weight"},
    {"ffn_down_exps.weight", "ffn.experts.down_proj.weight"},
    {"ffn_gate_shexp.weight", "ffn.shared_experts.w1.weight"},
    {"ffn_up_shexp.weight", "ffn.shared_experts.w3.weight"},
    {"ffn_down_shexp.weight", "ffn.shared_experts.w2.weight"},
};

// Of a block that drafts, all is passed over.
bool is_draft(std::string_view name, const GgufSource& file) {
  if (name.starts_with("mtp.")) return true;
  constexpr std::string_view kBlock = "blk.";
  if (!name.starts_with(kBlock)) return false;
  const size_t dot = name.find('.', kBlock.size());
  const std::string block(name.substr(0, dot));
  return file.find(block + ".nextn.enorm.weight") != nullptr ||
         file.find(block + ".nextn.eh_proj.weight") != nullptr;
}

std::optional<std::string> name_of(std::string_view name, const GgufSource& file) {
  if (is_draft(name, file)) return "";
  return GgufNames{"", kOutside, kLayer}.find(name);
}

// Of the released tokenizer.json.
constexpr const char* kDigits = R"(\p{N}{1,3})";
constexpr const char* kIdeographs = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
constexpr const char* kWords =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}"
    "\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

}  // namespace

GgufReading deepseek_v4_gguf() {
  return {.architecture = "deepseek4",
          .config = config_of,
          .tensor_name = name_of,
          .tokens = {
              .pre = {"joyai-llm", "deepseek-v3", "deepseek-v4"},
              .splits = {{kDigits, "Isolated"}, {kIdeographs, "Isolated"}, {kWords, "Isolated"}}}};
}

}  // namespace longhaul
