// DeepSeek V3.2, as the baseline that its successor is measured against: described for the planner,
// not run.
//
//   per layer:  x += attention(rms(x, input_layernorm))            latent attention with an indexer
//   (mechanisms/latent_attention.h)
//               x += mlp(f), the first layers, or moe(f) + shared(f),   f = rms(x,
//               post_attention_layernorm)
//   logits = H rms(x, norm)
// Only what has a cost is read; fields that change results alone are listed and passed over.
// Released in FP8 with F32 scales. Source: the reference implementation's deepseek_v32 model;
// values of the release as published.
#include "models/deepseek_v32.h"

#include <algorithm>
#include <cmath>

#include "formats/config_reader.h"
#include "models/checkpoint_layout.h"
#include "models/common_fields.h"
#include "models/presets.h"

namespace longhaul {
namespace {

struct Config {
  int64_t vocab_size = 0, hidden_size = 0, num_hidden_layers = 0, max_position_embeddings = 0;
  int64_t num_attention_heads = 0, q_lora_rank = 0, kv_lora_rank = 0, qk_nope_head_dim = 0,
          qk_rope_head_dim = 0, v_head_dim = 0;
  int64_t index_n_heads = 0, index_head_dim = 0, index_topk = 0;
  int64_t intermediate_size = 0, moe_intermediate_size = 0, n_routed_experts = 0,
          n_shared_experts = 0, num_experts_per_tok = 0;
  double rms_norm_eps = 1e-6, rope_theta = 10000.0, routed_scaling_factor = 1.0;
  bool tie_word_embeddings = false;
  std::vector<bool> dense;  // by layer: an MLP instead of experts
};

constexpr const char* kNoCost = "changes no cost, and the model is only priced";
constexpr IgnoredField kIgnored[] = {
    {"quantization_config", "priced in the precision of the release"},
    {"num_key_value_heads", "every head has keys and values of its own, made of one latent"},
    {"head_dim", "the parts of a head say it"},
    {"qk_head_dim", "the parts of a head say it"},
    {"layer_types", "all layers are of one kind"},
    {"rope_scaling", kNoCost},
    {"rope_parameters", kNoCost},
    {"rope_interleave", kNoCost},
    {"scoring_func", kNoCost},
    {"topk_method", kNoCost},
    {"norm_topk_prob", kNoCost},
    {"n_group", kNoCost},
    {"topk_group", kNoCost},
    {"moe_layer_freq", "every layer behind the first"},
};

class Reader {
 public:
  explicit Reader(const ConfigFile& config) : t_(config) {
    t_.string("model_type");
    t_.ignore(kIgnored);
  }

  Result<Config> read() {
    c_.vocab_size = t_.integer("vocab_size", {1, 1 << 22}, 129280);
    c_.hidden_size = t_.integer("hidden_size", {1, 1 << 17}, 7168);
    c_.max_position_embeddings =
        t_.integer("max_position_embeddings", {1, int64_t{1} << 32}, 163840);
    c_.rms_norm_eps = t_.number("rms_norm_eps", {0.0, 1.0}, 1e-6);
    c_.rope_theta = t_.number("rope_theta", {1.0, 1e12}, 10000.0);
    c_.tie_word_embeddings = t_.boolean("tie_word_embeddings", false);
    t_.choice("hidden_act", {"silu"}, 0);
    refuse_biases(t_, {"attention_bias", "mlp_bias"});
    read_attention();
    read_layers();
    LH_RETURN_IF_ERROR(t_.finish());
    return std::move(c_);
  }

 private:
  void read_attention() {
    c_.num_attention_heads = t_.integer("num_attention_heads", {1, 1 << 12}, 128);
    c_.q_lora_rank = t_.integer("q_lora_rank", {1, 1 << 17}, 1536);
    c_.kv_lora_rank = t_.integer("kv_lora_rank", {1, 1 << 14}, 512);
    c_.qk_nope_head_dim = t_.integer("qk_nope_head_dim", {1, 1 << 12}, 128);
    c_.qk_rope_head_dim = t_.integer("qk_rope_head_dim", {2, 1 << 12}, 64);
    c_.v_head_dim = t_.integer("v_head_dim", {1, 1 << 12}, 128);
    c_.index_n_heads = t_.integer("index_n_heads", {1, 1 << 10}, 64);
    c_.index_head_dim = t_.integer("index_head_dim", {2, 1 << 12}, 128);
    c_.index_topk = t_.integer("index_topk", {1, 1 << 20}, 2048);
  }

  void read_layers() {
    c_.num_hidden_layers = t_.integer("num_hidden_layers", {1, 256}, 61);
    const auto n = static_cast<size_t>(c_.num_hidden_layers);
    const auto n_dense = static_cast<size_t>(t_.integer("first_k_dense_replace", {0, 256}, 3));
    for (size_t l = 0; l < n; ++l) c_.dense.push_back(l < n_dense);
    if (t_.has("mlp_layer_types")) {
      const auto kinds = t_.choices("mlp_layer_types", {"dense", "sparse"}, {n, n});
      for (size_t l = 0; l < std::min(n, kinds.size()); ++l) c_.dense[l] = kinds[l] == 0;
    }
    c_.intermediate_size = t_.integer("intermediate_size", {1, 1 << 20}, 18432);
    c_.moe_intermediate_size = t_.integer("moe_intermediate_size", {1, 1 << 20}, 2048);
    c_.n_routed_experts = t_.integer("n_routed_experts", {1, 1024}, 256);
    check_number_of_experts(t_, "n_routed_experts", n, c_.n_routed_experts);
    c_.n_shared_experts = t_.integer("n_shared_experts", {1, 64}, 1);
    c_.num_experts_per_tok = t_.integer("num_experts_per_tok", {1, 1024}, 8);
    c_.routed_scaling_factor = t_.number("routed_scaling_factor", {-1e6, 1e6}, 2.5);
    if (c_.num_experts_per_tok > c_.n_routed_experts) {
      t_.fail("num_experts_per_tok", fmt::format("must be at most n_routed_experts ({}), found {}",
                                                 c_.n_routed_experts, c_.num_experts_per_tok));
    }
  }

  ConfigReader t_;
  Config c_;
};

class Builder {
 public:
  explicit Builder(const Config& c) : c_(c) {}

  Architecture build() {
    a_.family = "DeepSeek V3.2";
    a_.vocab_size = c_.vocab_size;
    a_.hidden_size = c_.hidden_size;
    a_.n_layers = c_.num_hidden_layers;
    a_.max_positions = c_.max_position_embeddings;
    a_.prefixes = {"model."};
    a_.embedding.table = a_.add_lookup("embed_tokens.weight", c_.vocab_size, c_.hidden_size);
    for (int64_t l = 0; l < a_.n_layers; ++l) {
      a_.blocks.push_back(attention(l));
      a_.blocks.push_back(feed_forward(l));
    }
    a_.head.norm = norm("norm.weight", c_.hidden_size);
    a_.add_head_matrix(lm_head(c_.vocab_size, c_.hidden_size), c_.tie_word_embeddings);
    a_.ignored.push_back(
        {"layers." + std::to_string(a_.n_layers) + ".", "draft layers are not run", true});
    return std::move(a_);
  }

 private:
  static std::string layer_name(int64_t l, const std::string& name) {
    return "layers." + std::to_string(l) + "." + name;
  }

  WeightId fp8(WeightId id) {
    WeightSpec& w = a_.weights[static_cast<size_t>(id)];
    w.released = DType::kF8E4M3;
    w.released_scales = DType::kF32;
    return id;
  }
  WeightId fp8_matrix(const std::string& name, int64_t rows, int64_t cols) {
    return fp8(a_.add_matrix(name, rows, cols));
  }
  NormSpec norm(const std::string& name, int64_t n) {
    return {a_.add_vector(name, n), static_cast<float>(c_.rms_norm_eps)};
  }

  StateId state(StateSpec spec) {
    a_.states.push_back(spec);
    return static_cast<StateId>(a_.states.size()) - 1;
  }

  Block attention(int64_t l) {
    const int64_t d = c_.hidden_size, heads = c_.num_attention_heads, rope = c_.qk_rope_head_dim,
                  row = c_.kv_lora_rank + rope;
    const auto name = [&](const char* part) {
      return layer_name(l, std::string("self_attn.") + part);
    };
    LatentAttentionSpec s{.q_lora_rank = c_.q_lora_rank, .kv_lora_rank = c_.kv_lora_rank};
    s.attention = {.n_heads = heads,
                   .n_kv_heads = 1,
                   .head_dim = row,
                   .scale = static_cast<float>(
                       1.0 / std::sqrt(static_cast<double>(c_.qk_nope_head_dim + rope))),
                   .rope = {.n_pairs = rope / 2,
                            .live_pairs = rope / 2,
                            .denominator = rope,
                            .theta = c_.rope_theta,
                            .neighbours_at_end = true}};
    s.q_a_proj = fp8_matrix(name("q_a_proj.weight"), c_.q_lora_rank, d);
    s.q_a_norm = norm(name("q_a_layernorm.weight"), c_.q_lora_rank);
    s.attention.q_proj =
        fp8_matrix(name("q_b_proj.weight"), heads * (c_.qk_nope_head_dim + rope), c_.q_lora_rank);
    s.attention.k_proj = fp8_matrix(name("kv_a_proj_with_mqa.weight"), row, d);
    s.attention.k_norm = norm(name("kv_a_layernorm.weight"), c_.kv_lora_rank);
    s.kv_b_proj = fp8_matrix(name("kv_b_proj.weight"),
                             heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank);
    s.attention.o_proj = fp8_matrix(name("o_proj.weight"), d, heads * c_.v_head_dim);
    s.attention.state = state({.layer = l,
                               .n_kv_heads = 1,
                               .head_dim = row,
                               .rows = RowKind::kShared,
                               .released = {.coding = RowCoding::kFp8ByF32, .bf16_tail = rope}});
    add_indexer(l, s);
    return {.layer = l,
            .pre_norm = norm(layer_name(l, "input_layernorm.weight"), d),
            .mixer = s,
            .residual = PlainResidual{}};
  }

  void add_indexer(int64_t l, LatentAttentionSpec& s) {
    const int64_t d = c_.hidden_size, width = c_.index_head_dim;
    const auto name = [&](const char* part) {
      return layer_name(l, std::string("self_attn.indexer.") + part);
    };
    s.indexer = {.n_heads = c_.index_n_heads, .head_dim = width, .top_k = c_.index_topk};
    s.indexer.q_proj = fp8_matrix(name("wq_b.weight"), c_.index_n_heads * width, c_.q_lora_rank);
    s.indexer.weights_proj = a_.add_matrix(name("weights_proj.weight"), c_.index_n_heads, d);
    s.indexer.keys = {
        .ratio = 1, .width = width, .kv_proj = fp8_matrix(name("wk.weight"), width, d)};
    s.indexer.keys.norm = norm(name("k_norm.weight"), width);
    s.key_norm_bias = a_.add_vector(name("k_norm.bias"), width);
    s.indexer.keys.entries = state({.layer = l,
                                    .n_kv_heads = 1,
                                    .head_dim = width,
                                    .rows = RowKind::kKeys,
                                    .released = {.coding = RowCoding::kFp8ByF32}});
  }

  GatedMlpSpec mlp(int64_t l, const std::string& part, int64_t width) {
    const auto name = [&](const char* proj) { return layer_name(l, part + proj); };
    return {.width = width,
            .activation = ActivationKind::kSilu,
            .gate_proj = fp8_matrix(name("gate_proj.weight"), width, c_.hidden_size),
            .up_proj = fp8_matrix(name("up_proj.weight"), width, c_.hidden_size),
            .down_proj = fp8_matrix(name("down_proj.weight"), c_.hidden_size, width)};
  }

  MoeSpec experts(int64_t l) {
    const int64_t d = c_.hidden_size, e = c_.n_routed_experts, f = c_.moe_intermediate_size;
    MoeSpec s{.n_experts = e,
              .top_k = c_.num_experts_per_tok,
              .width = f,
              .activation = ActivationKind::kSilu};
    LinearRouterSpec router{.score = RouterScore::kSigmoid};
    router.proj = a_.add_matrix(layer_name(l, "mlp.gate.weight"), e, d);
    router.selection_bias = a_.add_vector(layer_name(l, "mlp.gate.e_score_correction_bias"), e);
    a_.weights[static_cast<size_t>(router.selection_bias)].released = DType::kF32;
    router.output_scale = static_cast<float>(c_.routed_scaling_factor);
    s.router = router;
    const auto add = [&](const char* proj, int64_t rows, int64_t cols) {
      std::vector<std::string> names;
      for (int64_t i = 0; i < e; ++i)
        names.push_back(layer_name(l, "mlp.experts." + std::to_string(i) + "." + proj));
      return fp8(a_.add_separate_experts(names, rows, 0, rows, cols));
    };
    s.gate_proj = add("gate_proj.weight", f, d);
    s.up_proj = add("up_proj.weight", f, d);
    s.down_proj = add("down_proj.weight", d, f);
    return s;
  }

  Block feed_forward(int64_t l) {
    Block block{.layer = l,
                .pre_norm = norm(layer_name(l, "post_attention_layernorm.weight"), c_.hidden_size)};
    if (c_.dense[static_cast<size_t>(l)]) {
      block.mixer = mlp(l, "mlp.", c_.intermediate_size);
    } else {
      const GatedMlpSpec shared =
          mlp(l, "mlp.shared_experts.", c_.moe_intermediate_size * c_.n_shared_experts);
      block.mixer = ParallelSpec{{Branch{{}, {}, experts(l)}, Branch{{}, {}, shared}}};
    }
    block.residual = PlainResidual{};
    return block;
  }

  const Config& c_;
  Architecture a_;
};

Result<Architecture> read(const ConfigFile& config, const ShapeOf&) {
  LH_TRY(const Config c, Reader(config).read());
  return Builder(c).build();
}

}  // namespace

const Family& deepseek_v32_family() {
  static const Family family{.model_types = {"deepseek_v32"},
                             .read = read,
                             .rewrite = nullptr,
                             .presets = read_presets({"deepseek-v3.2"}),
                             .planner_only = true};
  return family;
}

}  // namespace longhaul
