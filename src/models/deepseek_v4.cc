// DeepSeek V4's layers, block by block, on n streams X (mechanisms/hyper_connections.h):
//
//   X = E[t] in every stream
//   per layer:  X = connect(attention(rms(read X, attn_norm)))   window alone, window + sparse
//   entries (1:4), or window + all entries (1:128)
//               X = connect(moe(f) + shared(f)),  f = rms(read X, ffn_norm); the first layers'
//               experts are named by the token's id
//   logits = H rms(collapse X, norm)
// Tensors have three spellings: the release's own, the same under "model." with a few others (as
// the reference saves by default), and the reference's module names. Weights may be FP8 with block
// scales and experts FP4: their tensors say so. Source: the reference implementation's deepseek_v4
// model; names and values of the release as published.
#include "models/deepseek_v4.h"

#include <algorithm>
#include <cmath>

#include "formats/config_reader.h"
#include "models/checkpoint_layout.h"
#include "models/common_fields.h"
#include "models/deepseek_v4_gguf.h"
#include "models/presets.h"
#include "models/rope_config.h"

namespace longhaul {
namespace {

enum class LayerKind { kWindow, kSparse, kHeavy };

struct Layer {
  LayerKind kind = LayerKind::kWindow;
  bool hash = false;
};

struct Config {
  int64_t vocab_size = 0, hidden_size = 0, max_position_embeddings = 0;
  int64_t num_attention_heads = 0, head_dim = 0, rope_dim = 0, q_lora_rank = 0, o_groups = 0,
          o_lora_rank = 0, sliding_window = 0;
  int64_t index_n_heads = 0, index_head_dim = 0, index_topk = 0, sparse_ratio = 4,
          heavy_ratio = 128;
  int64_t n_routed_experts = 0, num_experts_per_tok = 0, moe_intermediate_size = 0;
  int64_t hc_mult = 0, hc_sinkhorn_iters = 0;
  double rms_norm_eps = 1e-6, hc_eps = 1e-6, swiglu_limit = 10.0, routed_scaling_factor = 1.5;
  RouterScore score = RouterScore::kSqrtSoftplus;
  bool tie_word_embeddings = false;
  std::vector<Layer> layers;
  RopeFields main_rope, compress_rope;
};

constexpr IgnoredField kIgnored[] = {
    {"topk_method", "the correction bias is always there"},
    {"default_partial_rotary_factor", "read where it is used"},
};

class Reader {
 public:
  explicit Reader(const ConfigFile& config) : t_(config) {
    t_.string("model_type");
    t_.ignore(kIgnored);
  }

  Result<Config> read() {
    c_.vocab_size = t_.integer("vocab_size", {1, 1 << 22}, 129280);
    c_.hidden_size = t_.integer("hidden_size", {1, 1 << 17}, 4096);
    c_.max_position_embeddings =
        t_.integer("max_position_embeddings", {1, int64_t{1} << 32}, 1048576);
    c_.rms_norm_eps = t_.number("rms_norm_eps", {0.0, 1.0}, 1e-6);
    c_.tie_word_embeddings = t_.boolean("tie_word_embeddings", false);
    t_.choice("hidden_act", {"silu"}, 0);
    refuse_biases(t_, {"attention_bias", "mlp_bias"});
    refuse_unnormalised_experts(t_);
    check_quantisation();
    read_attention();
    read_layers();
    read_experts();
    read_streams();
    read_ropes();
    LH_RETURN_IF_ERROR(t_.finish());
    return std::move(c_);
  }

 private:
  // FP8 and FP4 tensors state their own dtype and blocks; what another method stores is left to the
  // reader to refuse.
  void check_quantisation() {
    const Json* config = t_.peek("quantization_config");
    const Json* method = config == nullptr ? nullptr : config->find("quant_method");
    const bool is_released =
        method == nullptr || (method->as_string() != nullptr && *method->as_string() == "fp8");
    if (is_released) t_.ignore("quantization_config", "tensors state their own dtype");
  }

  void read_attention() {
    c_.num_attention_heads = t_.integer("num_attention_heads", {1, 1 << 12}, 64);
    if (t_.integer("num_key_value_heads", {1, 1 << 12}, 1) != 1)
      t_.refuse("num_key_value_heads", "all heads share one row, expected 1");
    c_.head_dim = t_.integer("head_dim", {2, 1 << 12}, 512);
    c_.q_lora_rank = t_.integer("q_lora_rank", {1, 1 << 17}, 1024);
    c_.o_groups = t_.integer("o_groups", {1, 1 << 10}, 8);
    c_.o_lora_rank = t_.integer("o_lora_rank", {1, 1 << 17}, 1024);
    if (c_.num_attention_heads % c_.o_groups != 0)
      t_.fail("o_groups", fmt::format("must divide num_attention_heads ({}), found {}",
                                      c_.num_attention_heads, c_.o_groups));
    c_.sliding_window = t_.integer("sliding_window", {1, int64_t{1} << 32}, 128);
    c_.index_n_heads = t_.integer("index_n_heads", {1, 1 << 10}, 64);
    c_.index_head_dim = t_.integer("index_head_dim", {1, 1 << 12}, 128);
    c_.index_topk = t_.integer("index_topk", {1, 1 << 20}, 512);
  }

  void read_layers() {
    const auto n = static_cast<size_t>(t_.integer("num_hidden_layers", {1, 256}, 43));
    c_.layers.assign(n, {});
    // A published list goes on behind the layers, for those that draft.
    std::vector<int64_t> ratios;
    if (has_list("compress_ratios"))
      ratios = t_.integers("compress_ratios", {n, n + 64}, {0, 1 << 20});
    if (has_list("layer_types")) {
      const auto kinds = t_.choices(
          "layer_types",
          {"sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"},
          {n, n});
      for (size_t l = 0; l < std::min(n, kinds.size()); ++l)
        c_.layers[l].kind = static_cast<LayerKind>(kinds[l]);
    } else if (has_list("compress_ratios")) {
      for (size_t l = 0; l < std::min(n, ratios.size()); ++l)
        c_.layers[l].kind = kind_of_ratio(l, ratios[l]);
    } else {
      t_.refuse("layer_types",
                "neither this nor compress_ratios says which layer compresses how; defaults differ "
                "between releases");
    }
    if (auto rates = t_.optional_child("compress_rates")) {
      c_.sparse_ratio = rates->integer("compressed_sparse_attention", {1, 1 << 16}, 4);
      c_.heavy_ratio = rates->integer("heavily_compressed_attention", {1, 1 << 16}, 128);
    }
    c_.sparse_ratio = t_.integer("compress_rate_csa", {1, 1 << 16}, c_.sparse_ratio);
    c_.heavy_ratio = t_.integer("compress_rate_hca", {1, 1 << 16}, c_.heavy_ratio);
    const auto n_hash = static_cast<size_t>(t_.integer("num_hash_layers", {0, 256}, 3));
    for (size_t l = 0; l < std::min(n, n_hash); ++l) c_.layers[l].hash = true;
    if (!has_list("mlp_layer_types")) return;
    const auto routers = t_.choices("mlp_layer_types", {"moe", "hash_moe"}, {n, n});
    for (size_t l = 0; l < std::min(n, routers.size()); ++l) c_.layers[l].hash = routers[l] == 1;
  }

  // The reference saves lists that it was not given as null.
  bool has_list(const char* key) {
    if (t_.has(key)) return true;
    t_.ignore(key, "null stands for a list left out");
    return false;
  }

  LayerKind kind_of_ratio(size_t layer, int64_t ratio) {
    if (ratio == 0) return LayerKind::kWindow;
    if (ratio == 4) return LayerKind::kSparse;
    if (ratio != 128)
      t_.fail("compress_ratios", fmt::format("must be 0, 4 or 128, layer {} has {}", layer, ratio));
    return LayerKind::kHeavy;
  }

  void read_experts() {
    c_.n_routed_experts = t_.integer("n_routed_experts", {1, 1024}, 256);
    c_.num_experts_per_tok = t_.integer("num_experts_per_tok", {1, 1024}, 6);
    c_.moe_intermediate_size = t_.integer("moe_intermediate_size", {1, 1 << 20}, 2048);
    check_alias("intermediate_size", "moe_intermediate_size", c_.moe_intermediate_size);
    check_alias("num_local_experts", "n_routed_experts", c_.n_routed_experts);
    if (t_.integer("n_shared_experts", {0, 1024}, 1) != 1)
      t_.refuse("n_shared_experts", "expected 1");
    c_.routed_scaling_factor = t_.number("routed_scaling_factor", {-1e6, 1e6}, 1.5);
    c_.swiglu_limit = t_.number("swiglu_limit", {1e-6, 1e9}, 10.0);
    constexpr RouterScore kScores[] = {RouterScore::kSqrtSoftplus, RouterScore::kSigmoid,
                                       RouterScore::kSoftmax};
    c_.score = kScores[t_.choice("scoring_func", {"sqrtsoftplus", "sigmoid", "softmax"}, 0)];
    check_number_of_experts(t_, "n_routed_experts", c_.layers.size(), c_.n_routed_experts);
    if (c_.num_experts_per_tok > c_.n_routed_experts) {
      t_.fail("num_experts_per_tok", fmt::format("must be at most n_routed_experts ({}), found {}",
                                                 c_.n_routed_experts, c_.num_experts_per_tok));
    }
  }

  // A second name of the reference's for the same number.
  void check_alias(const char* alias, const char* name, int64_t value) {
    if (t_.has(alias) && t_.integer(alias, {1, 1 << 20}) != value)
      t_.fail(alias, fmt::format("is another number than {} ({}), of which it is a second name; "
                                 "take one of the two away",
                                 name, value));
  }

  void read_streams() {
    c_.hc_mult = t_.integer("hc_mult", {2, 8}, 4);
    c_.hc_sinkhorn_iters = t_.integer("hc_sinkhorn_iters", {1, 1000}, 20);
    c_.hc_eps = t_.number("hc_eps", {0.0, 1.0}, 1e-6);
  }

  void read_ropes() {
    const double theta = t_.number("rope_theta", {1.0, 1e12}, 10000.0),
                 compress_theta = t_.number("compress_rope_theta", {1.0, 1e12}, 160000.0);
    // An eighth of a head turns unless the config says how many channels, or which part.
    const auto width = t_.optional_integer("qk_rope_head_dim", {2, 1 << 12});
    const double by_width =
        width ? static_cast<double>(*width) / static_cast<double>(c_.head_dim) : 0.125;
    const double by_factor = t_.number("partial_rotary_factor", {0.0, 1.0}, by_width);
    c_.rope_dim = static_cast<int64_t>(by_factor * static_cast<double>(c_.head_dim));
    if (c_.rope_dim < 2 || c_.rope_dim % 2 != 0 || c_.rope_dim > c_.index_head_dim) {
      t_.fail(
          "partial_rotary_factor",
          fmt::format("must turn an even number of channels, 2 to index_head_dim ({}), found {}",
                      c_.index_head_dim, c_.rope_dim));
    }
    c_.main_rope = {.theta = theta,
                    .partial_rotary_factor = by_factor,
                    .max_position_embeddings = c_.max_position_embeddings};
    c_.compress_rope = c_.main_rope;
    c_.compress_rope.theta = compress_theta;
    auto scaling = t_.optional_child("rope_scaling");
    if (scaling && !scaling->keys().empty()) {
      t_.ignore("rope_parameters", "the older field goes before it, as in the reference");
      return read_flat_rope(*scaling);
    }
    auto parameters = t_.optional_child("rope_parameters");
    if (!parameters) return;
    if (!parameters->has("main") || !parameters->has("compress"))
      return read_flat_rope(*parameters);
    c_.main_rope = read_nested_rope(parameters->child("main"), c_.main_rope);
    c_.compress_rope = read_nested_rope(parameters->child("compress"), c_.compress_rope);
  }

  // Flat fields stretch the compressed layers' angles alone, and nothing is multiplied then unless
  // they say so.
  void read_flat_rope(ConfigReader object) {
    if (!object.present("attention_factor")) c_.compress_rope.attention_factor = 1.0;
    object.ignore("rope_theta", "compress_rope_theta says it");
    object.ignore("partial_rotary_factor", "the model's own says it");
    c_.compress_rope = read_rope_of(object, c_.compress_rope, RopeReading::kStretchAlone);
  }

  RopeFields read_nested_rope(ConfigReader object, const RopeFields& defaults) {
    check_rotated_part(object);
    return read_rope_of(object, defaults, RopeReading::kAll);
  }

  RopeFields read_rope_of(ConfigReader& object, const RopeFields& defaults, RopeReading reading) {
    RopeFields rope = read_rope(object, defaults, c_.head_dim, reading);
    // Compressed entries are turned too, by the place of their first token: what the whole text's
    // length is to them, nobody says.
    if (rope.type == RopeType::kDynamic || rope.type == RopeType::kLongRope ||
        rope.type == RopeType::kProportional)
      object.refuse(object.has("rope_type") ? "rope_type" : "type",
                    "is not supported with compressed entries, expected 'default', 'linear', "
                    "'yarn' or 'llama3'");
    return rope;
  }

  // Of two that say how much of a head turns, the nested one decides; left out it means all.
  void check_rotated_part(ConfigReader& r) {
    const auto channels = static_cast<int64_t>(r.number("partial_rotary_factor", {0.0, 1.0}, 1.0) *
                                               static_cast<double>(c_.head_dim));
    if (channels != c_.rope_dim)
      r.fail("partial_rotary_factor",
             fmt::format("must turn as many channels as the model's own ({}), found {}",
                         c_.rope_dim, channels));
  }

  ConfigReader t_;
  Config c_;
};

class Builder {
 public:
  Builder(const Config& c, const ShapeOf& shape_of) : c_(c), shape_of_(shape_of) {}

  Architecture build() {
    const int64_t d = c_.hidden_size, n = c_.hc_mult;
    a_.family = "DeepSeek V4";
    a_.vocab_size = c_.vocab_size;
    a_.hidden_size = d;
    a_.n_streams = n;
    a_.n_layers = static_cast<int64_t>(c_.layers.size());
    a_.max_positions = c_.compress_rope.reach();
    a_.prefixes = {"", "model."};
    a_.embedding.table =
        a_.add_weight({.name = "embed.weight",
                       .shape = {c_.vocab_size, d},
                       .other_names = {"embed_tokens.weight"}},
                      {.use = WeightUse::kLookup, .rows = c_.vocab_size, .cols = d});
    for (int64_t l = 0; l < a_.n_layers; ++l) {
      a_.blocks.push_back(attention(l));
      a_.blocks.push_back(feed_forward(l));
    }
    a_.head.collapse = HyperCollapse{.fn = fine({"hc_head_fn", {"hc_head.hc_fn"}}, n, n * d),
                                     .base = vector({"hc_head_base", {"hc_head.hc_base"}}, n),
                                     .scale = vector({"hc_head_scale", {"hc_head.hc_scale"}}, 1),
                                     .eps = static_cast<float>(c_.hc_eps),
                                     .norm_eps = static_cast<float>(c_.rms_norm_eps)};
    a_.head.norm = norm({"norm.weight", {}}, d);
    a_.add_head_matrix({.name = "head.weight",
                        .shape = {c_.vocab_size, d},
                        .other_names = {"lm_head.weight"},
                        .is_absolute = true},
                       c_.tie_word_embeddings);
    for (const char* draft : {"mtp.", "model.mtp."})
      a_.ignored.push_back({draft, "draft layers are not run", true, true});
    return std::move(a_);
  }

 private:
  struct Name {
    std::string release;
    std::vector<std::string> others;
  };
  // "attn.wq_a.weight" of the release, "self_attn.q_a_proj.weight" of the reference.
  static Name layer_name(int64_t l, const std::string& release,
                         std::initializer_list<const char*> others) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    Name name{layer + release, {}};
    for (const char* other : others) name.others.push_back(layer + other);
    return name;
  }

  WeightId add(const Name& name, std::vector<int64_t> shape, WeightSpec weight) {
    return a_.add_weight(
        {.name = name.release, .shape = std::move(shape), .other_names = name.others}, weight);
  }
  // As released: most matrices FP8, those of compressors and choices BF16, experts FP4, norms BF16,
  // everything else F32. What the release left in bf16 is left so by others too.
  WeightId matrix(const Name& name, int64_t rows, int64_t cols, DType released = DType::kF8E4M3) {
    const Rounding rounding = released == DType::kBF16 ? Rounding::kNever : Rounding::kFully;
    return add(name, {rows, cols},
               {.use = WeightUse::kMatrix,
                .rows = rows,
                .cols = cols,
                .rounding = rounding,
                .released = released});
  }
  WeightId fine(const Name& name, int64_t rows, int64_t cols) {
    return add(name, {rows, cols},
               {.use = WeightUse::kFine, .rows = rows, .cols = cols, .released = DType::kF32});
  }
  WeightId vector(const Name& name, int64_t n, DType released = DType::kF32) {
    return add(name, {n}, {.use = WeightUse::kVector, .cols = n, .released = released});
  }
  NormSpec norm(const Name& name, int64_t n) {
    return {vector(name, n, DType::kBF16), static_cast<float>(c_.rms_norm_eps)};
  }

  RowFormat released_row() const { return {RowCoding::kFp8ByE8M0, c_.rope_dim}; }

  StateId state(StateSpec spec) {
    a_.states.push_back(spec);
    return static_cast<StateId>(a_.states.size()) - 1;
  }

  HyperResidual residual(int64_t l, const std::string& release, const std::string& reference) {
    const int64_t n = c_.hc_mult, rows = (2 + n) * n;
    const auto name = [&](const char* part) {
      return layer_name(l, release + "_" + part, {(reference + "." + part).c_str()});
    };
    return {.fn = fine(name("fn"), rows, n * c_.hidden_size),
            .base = vector(name("base"), rows),
            .scale = vector(name("scale"), 3),
            .sinkhorn_iters = c_.hc_sinkhorn_iters,
            .eps = static_cast<float>(c_.hc_eps),
            .norm_eps = static_cast<float>(c_.rms_norm_eps)};
  }

  // release "attn.compressor.", reference "self_attn.compressor."
  CompressorSpec compressor(int64_t l, const std::string& release, const std::string& reference,
                            int64_t ratio, int64_t width, bool overlaps, RowKind rows) {
    CompressorSpec s{.ratio = ratio, .width = width, .overlaps = overlaps};
    const int64_t out = s.series() * width;
    const auto name = [&](const char* own, const char* other) {
      return layer_name(l, release + own, {(reference + other).c_str()});
    };
    s.kv_proj = matrix(name("wkv.weight", "kv_proj.weight"), out, c_.hidden_size, DType::kBF16);
    s.gate_proj =
        matrix(name("wgate.weight", "gate_proj.weight"), out, c_.hidden_size, DType::kBF16);
    s.position_bias =
        add(name("ape", "position_bias"), {ratio, out},
            {.use = WeightUse::kVector, .rows = ratio, .cols = out, .released = DType::kF32});
    s.norm = norm(name("norm.weight", "kv_norm.weight"), width);
    constexpr int64_t kFp4Width = 128;  // the released width of index keys; others stay plain
    const RowFormat key{width == kFp4Width ? RowCoding::kMxFp4 : RowCoding::kPlain};
    const RowFormat released = rows == RowKind::kKeys ? key : released_row();
    s.entries = state({.layer = l,
                       .n_kv_heads = 1,
                       .head_dim = width,
                       .rows = rows,
                       .ratio = ratio,
                       .released = released});
    s.open = state({.layer = l, .fixed_elements = s.state_elements()});
    return s;
  }

  IndexerSpec indexer(int64_t l) {
    IndexerSpec s{
        .n_heads = c_.index_n_heads, .head_dim = c_.index_head_dim, .top_k = c_.index_topk};
    s.q_proj = matrix(
        layer_name(l, "attn.indexer.wq_b.weight", {"self_attn.compressor.indexer.q_b_proj.weight"}),
        s.n_heads * s.head_dim, c_.q_lora_rank);
    s.weights_proj = matrix(layer_name(l, "attn.indexer.weights_proj.weight",
                                       {"self_attn.compressor.indexer.weights_proj.weight",
                                        "self_attn.compressor.indexer.scorer.weights_proj.weight"}),
                            s.n_heads, c_.hidden_size, DType::kBF16);
    s.keys = compressor(l, "attn.indexer.compressor.", "self_attn.compressor.indexer.",
                        c_.sparse_ratio, s.head_dim, true, RowKind::kKeys);
    return s;
  }

  RopeSpec rope(const RopeFields& fields) const {
    RopeSpec spec = rope_spec(fields, c_.head_dim);
    spec.neighbours_at_end = true;
    return spec;
  }

  Block attention(int64_t l) {
    const LayerKind kind = c_.layers[static_cast<size_t>(l)].kind;
    const int64_t d = c_.hidden_size, heads = c_.num_attention_heads, k = c_.head_dim,
                  groups = c_.o_groups, rank = c_.o_lora_rank;
    const int64_t group_width = heads * k / groups;
    CompressedAttentionSpec s{
        .q_lora_rank = c_.q_lora_rank, .o_groups = groups, .o_lora_rank = rank};
    s.attention = {.n_heads = heads,
                   .n_kv_heads = 1,
                   .head_dim = k,
                   .window = c_.sliding_window,
                   .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(k))),
                   .rope = rope(kind == LayerKind::kWindow ? c_.main_rope : c_.compress_rope)};
    s.q_a_proj =
        matrix(layer_name(l, "attn.wq_a.weight", {"self_attn.q_a_proj.weight"}), c_.q_lora_rank, d);
    s.q_a_norm =
        norm(layer_name(l, "attn.q_norm.weight", {"self_attn.q_a_norm.weight"}), c_.q_lora_rank);
    s.attention.q_proj = matrix(layer_name(l, "attn.wq_b.weight", {"self_attn.q_b_proj.weight"}),
                                heads * k, c_.q_lora_rank);
    s.attention.q_norm = NormSpec{.eps = static_cast<float>(c_.rms_norm_eps)};
    s.attention.k_proj =
        matrix(layer_name(l, "attn.wkv.weight", {"self_attn.kv_proj.weight"}), k, d);
    s.attention.k_norm = norm(
        layer_name(l, "attn.kv_norm.weight", {"attn.norm.weight", "self_attn.kv_norm.weight"}), k);
    s.sinks = vector(layer_name(l, "attn.attn_sink", {"self_attn.sinks"}), heads);
    s.o_a_proj = add(layer_name(l, "attn.wo_a.weight", {"self_attn.o_a_proj.weight"}),
                     {groups * rank, group_width},
                     {.use = WeightUse::kMatrix,
                      .n_experts = groups,
                      .expert_stride = rank,
                      .rows = rank,
                      .cols = group_width,
                      .released = DType::kF8E4M3});
    s.attention.o_proj =
        matrix(layer_name(l, "attn.wo_b.weight", {"self_attn.o_b_proj.weight"}), d, groups * rank);
    s.attention.state = state({.layer = l,
                               .n_kv_heads = 1,
                               .head_dim = k,
                               .window = s.attention.window,
                               .rows = RowKind::kShared,
                               .released = released_row()});
    if (kind != LayerKind::kWindow) {
      const bool sparse = kind == LayerKind::kSparse;
      s.compressor =
          compressor(l, "attn.compressor.", "self_attn.compressor.",
                     sparse ? c_.sparse_ratio : c_.heavy_ratio, k, sparse, RowKind::kShared);
      if (sparse) s.indexer = indexer(l);
    }
    Block block{.layer = l};
    block.pre_norm = norm(layer_name(l, "attn_norm.weight", {"input_layernorm.weight"}), d);
    block.mixer = s;
    block.residual = residual(l, "hc_attn", "attn_hc");
    return block;
  }

  LinearRouterSpec router(int64_t l) {
    const int64_t e = c_.n_routed_experts;
    LinearRouterSpec s{.score = c_.score};
    s.proj = matrix(layer_name(l, "ffn.gate.weight", {"mlp.gate.weight"}), e, c_.hidden_size,
                    DType::kBF16);
    s.output_scale = static_cast<float>(c_.routed_scaling_factor);
    if (!c_.layers[static_cast<size_t>(l)].hash) {
      s.selection_bias =
          vector(layer_name(l, "ffn.gate.bias", {"mlp.gate.e_score_correction_bias"}), e);
      return s;
    }
    const int64_t k = c_.num_experts_per_tok;
    const Name table = layer_name(l, "ffn.gate.tid2eid", {"mlp.gate.tid2eid"});
    s.token_experts = a_.add_weight({.name = table.release,
                                     .shape = {c_.vocab_size, k},
                                     .is_buffer = true,
                                     .other_names = table.others},
                                    {.use = WeightUse::kIndex,
                                     .rows = c_.vocab_size,
                                     .cols = k,
                                     .limit = e,
                                     .released = DType::kI64});
    return s;
  }

  MoeSpec experts(int64_t l) {
    MoeSpec s{.n_experts = c_.n_routed_experts,
              .top_k = c_.num_experts_per_tok,
              .width = c_.moe_intermediate_size,
              .activation = ActivationKind::kSilu,
              .limit = static_cast<float>(c_.swiglu_limit)};
    s.router = router(l);
    add_expert_weights(a_, s, expert_layouts(l), shape_of_);
    for (WeightId id : {s.gate_proj, s.up_proj, s.down_proj})
      a_.weights[static_cast<size_t>(id)].released = DType::kF4;
    return s;
  }

  static std::vector<ExpertLayout> expert_layouts(int64_t l) {
    const std::string layer = "layers." + std::to_string(l) + ".", ffn = layer + "ffn.experts.",
                      mlp = layer + "mlp.experts.";
    return {one_by_one(ffn, "w1", "w3", "w2"),
            stacked(mlp),
            one_by_one(mlp, "w1", "w3", "w2"),
            one_by_one(mlp),
            stacked(ffn),
            stacked_apart(ffn)};
  }

  GatedMlpSpec shared_expert(int64_t l) {
    const int64_t d = c_.hidden_size, f = c_.moe_intermediate_size;
    const auto name = [&](const char* own, const char* other) {
      return layer_name(l, std::string("ffn.shared_experts.") + own,
                        {(std::string("mlp.shared_experts.") + other).c_str()});
    };
    return {.width = f,
            .activation = ActivationKind::kSilu,
            .limit = static_cast<float>(c_.swiglu_limit),
            .gate_proj = matrix(name("w1.weight", "gate_proj.weight"), f, d),
            .up_proj = matrix(name("w3.weight", "up_proj.weight"), f, d),
            .down_proj = matrix(name("w2.weight", "down_proj.weight"), d, f)};
  }

  Block feed_forward(int64_t l) {
    Block block{.layer = l};
    block.pre_norm =
        norm(layer_name(l, "ffn_norm.weight", {"post_attention_layernorm.weight"}), c_.hidden_size);
    block.mixer = ParallelSpec{{Branch{{}, {}, experts(l)}, Branch{{}, {}, shared_expert(l)}}};
    block.residual = residual(l, "hc_ffn", "ffn_hc");
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

Json first_of(const Json& list, int64_t n) {
  Json out{Json::Array{}};
  for (int64_t i = 0; i < n; ++i) out.push_back((*list.as_array())[static_cast<size_t>(i)]);
  return out;
}

// Keeps the first layers: the published schedules show every kind of layer early.
Result<Json> rewrite(const ConfigFile& config, int64_t n_layers, const std::string& dtype) {
  LH_TRY(const Config c, Reader(config).read());
  Json out = config.json;
  const auto total = static_cast<int64_t>(c.layers.size());
  const int64_t n = n_layers > 0 ? std::min(n_layers, total) : total;
  out.set("num_hidden_layers", n);
  for (const char* list : {"compress_ratios", "layer_types", "mlp_layer_types"}) {
    if (const Json* found = config.json.find(list);
        found != nullptr && found->as_array() != nullptr)
      out.set(list, first_of(*found, n));
  }
  out.set("dtype", dtype);
  return out;
}

// It reads index keys from the compressed rows, and those rows from other layers.
constexpr const char* kV41 =
    "DeepSeek V4.1 is another architecture than V4: rows shared across layers, selection in two "
    "stages, a memory of n-grams";

}  // namespace

const Family& deepseek_v4_family() {
  static const Family family{{"deepseek_v4"},
                             read,
                             rewrite,
                             read_presets({"deepseek-v4-flash", "deepseek-v4-pro"}),
                             false,
                             {{"deepseek_v41", kV41}, {"deepseek_v41_text", kV41}},
                             {deepseek_v4_gguf()}};
  return family;
}

}  // namespace longhaul
