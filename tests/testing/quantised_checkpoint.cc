#include "testing/quantised_checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "base/numbers.h"
#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"

namespace longhaul::testing {
namespace {

constexpr const char* kNames[] = {
    "ct_int4",  "ct_int4_zeros", "ct_int3",        "ct_act_order", "ct_int8_output", "ct_mixed",
    "ct_bytes", "ct_fp8",        "ct_fp8_output",  "ct_fp8_block", "ct_nvfp4",       "ct_mxfp4",
    "gptq",     "gptq_v2",       "gptq_act_order", "awq",          "auto_round",     "mlx",
    "mlx_6",    "mlx_mxfp4",     "mlx_mxfp8",      "mlx_nvfp4",    "modelopt_nvfp4", "modelopt_fp8",
    "gemma"};

bool is_ct(Container c) { return c <= Container::kCtMxfp4; }
bool is_gptq(Container c) {
  return c == Container::kGptq || c == Container::kGptqV2 || c == Container::kGptqActOrder ||
         c == Container::kAutoRound;
}
bool is_mlx(Container c) { return c >= Container::kMlx && c <= Container::kMlxNvfp4; }
bool is_fp4(Container c) {
  return c == Container::kCtNvfp4 || c == Container::kCtMxfp4 || c == Container::kMlxMxfp4 ||
         c == Container::kMlxNvfp4 || c == Container::kModelOptNvfp4;
}
bool is_fp8(Container c) {
  return (c >= Container::kCtFp8Tensor && c <= Container::kCtFp8Block) ||
         c == Container::kMlxMxfp8 || c == Container::kModelOptFp8;
}
bool is_act_order(Container c) {
  return c == Container::kCtActOrder || c == Container::kGptqActOrder;
}

bool is_odd_layer(const std::string& name) {
  const size_t at = name.find("layers.");
  return at != name.npos && (name[at + 7] - '0') % 2 == 1;
}

int bits_of(Container c, const std::string& module) {
  switch (c) {
    case Container::kCtInt3: return 3;
    case Container::kCtInt8Output:
    case Container::kCtBytes: return 8;
    case Container::kCtMixed: return is_odd_layer(module) ? 8 : 4;
    case Container::kMlx: return module.ends_with("o_proj") ? 8 : 4;
    case Container::kMlx6: return 6;
    case Container::kGemma: return module.ends_with("embed_tokens") ? 8 : 4;
    default: return 4;
  }
}

// Inputs of a scale; 0: all.
int64_t group_of(Container c) {
  switch (c) {
    case Container::kCtInt8Output:
    case Container::kCtBytes:
    case Container::kGemma:
    case Container::kCtFp8Tensor:
    case Container::kCtFp8Output:
    case Container::kModelOptFp8: return 0;
    case Container::kCtNvfp4:
    case Container::kMlxNvfp4:
    case Container::kModelOptNvfp4:
    case Container::kMlx6: return 16;
    case Container::kCtMxfp4:
    case Container::kMlxMxfp4:
    case Container::kMlxMxfp8: return 32;
    default: return 8;
  }
}

// Codes of a matrix [rows, cols] as a stream of bits for each row; `column` walks down the columns
// instead.
std::string packed(const std::vector<int>& codes, int64_t rows, int64_t cols, int bits,
                   bool by_column) {
  const int64_t n_streams = by_column ? cols : rows, n = by_column ? rows : cols;
  const int64_t n_words = (n * bits + 31) / 32;
  std::vector<uint32_t> words(static_cast<size_t>(n_streams * n_words));
  for (int64_t s = 0; s < n_streams; ++s) {
    for (int64_t i = 0; i < n; ++i) {
      const int code = codes[static_cast<size_t>(by_column ? i * cols + s : s * cols + i)];
      for (int b = 0; b < bits; ++b) {
        const int64_t bit = i * bits + b;
        const int64_t word = by_column ? bit / 32 * cols + s : s * n_words + bit / 32;
        words[static_cast<size_t>(word)] |= static_cast<uint32_t>(code >> b & 1) << (bit % 32);
      }
    }
  }
  return {reinterpret_cast<const char*>(words.data()), 4 * words.size()};
}

// Eight codes of 4 bits a word, in the order 0 2 4 6 1 3 5 7.
std::string packed_awq(const std::vector<int>& codes) {
  constexpr std::array kOrder = {0, 2, 4, 6, 1, 3, 5, 7};
  std::string bytes;
  for (size_t at = 0; at < codes.size(); at += 8) {
    uint32_t word = 0;
    for (size_t n = 0; n < 8; ++n)
      word |= static_cast<uint32_t>(codes[at + static_cast<size_t>(kOrder[n])]) << (4 * n);
    bytes += raw(word);
  }
  return bytes;
}

std::vector<int> transposed(const std::vector<int>& codes, int64_t rows, int64_t cols) {
  std::vector<int> out(codes.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c)
      out[static_cast<size_t>(c * rows + r)] = codes[static_cast<size_t>(r * cols + c)];
  }
  return out;
}

std::string bytes_of(const std::vector<int>& codes) { return {codes.begin(), codes.end()}; }

std::string floats_of(const std::vector<float>& values, DType dtype) {
  std::string bytes;
  for (const float v : values) bytes += dtype == DType::kBF16 ? raw(to_bf16(v).bits) : raw(v);
  return bytes;
}

// One matrix while it becomes codes: [rows, cols], scales of groups of inputs.
class MatrixPacker {
 public:
  MatrixPacker(Container c, const std::string& module, int64_t rows, int64_t cols)
      : c_(c),
        module_(module),
        rows_(rows),
        cols_(cols),
        bits_(bits_of(c, module)),
        group_(group_of(c) == 0 ? cols : group_of(c)),
        n_groups_(cols / group_),
        random_(std::hash<std::string>()(module)) {}

  // Whether the container holds a matrix like this. Stacks of packed integers do not say how many
  // inputs their last words hold.
  bool fits(bool is_stack) const {
    if (cols_ % group_ != 0) return false;
    if (is_stack && is_ct(c_) && !is_fp8(c_) && c_ != Container::kCtBytes)
      return cols_ * bits_ % 32 == 0;
    if (is_gptq(c_)) return cols_ * bits_ % 32 == 0 && rows_ * bits_ % 32 == 0;
    if (c_ == Container::kAwq) return rows_ % 8 == 0;
    if (is_mlx(c_)) return cols_ * bits_ % 32 == 0;
    if (c_ == Container::kGemma) return cols_ * bits_ % 32 == 0;
    return true;
  }

  // The parts by what stands behind their names, and the values.
  struct Made {
    std::map<std::string, HfTensor> parts;
    std::vector<float> values;
  };
  Made make() {
    Made made;
    made.values.resize(static_cast<size_t>(rows_ * cols_));
    if (is_fp4(c_)) {
      make_fp4(made);
    } else if (is_fp8(c_)) {
      make_fp8(made);
    } else {
      make_integers(made);
    }
    return made;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  // Of 16 bits, so that bf16 holds it.
  float scale() { return to_f32(to_bf16(0.01f + 0.0001f * static_cast<float>(below(200)))); }

  std::vector<int> codes_below(int n, int64_t count) {
    std::vector<int> codes(static_cast<size_t>(count));
    for (int& code : codes) code = below(n);
    return codes;
  }
  std::vector<float> scales(int64_t n, float divisor) {
    std::vector<float> all(static_cast<size_t>(n));
    for (float& s : all) s = to_f32(to_bf16(scale() / divisor));
    return all;
  }
  float& value(Made& made, int64_t r, int64_t c) const {
    return made.values[static_cast<size_t>(r * cols_ + c)];
  }

  void make_integers(Made& made) {
    const int middle = 1 << (bits_ - 1);
    const bool has_zeros = c_ == Container::kCtInt4Zeros || is_gptq(c_) || c_ == Container::kAwq;
    const std::vector<int> codes = codes_below(1 << bits_, rows_ * cols_);
    // Of GPTQ's first format no zero is 0: stored less one it would be all ones.
    std::vector<int> zeros = codes_below((1 << bits_) - 2, rows_ * n_groups_);
    for (int& zero : zeros) zero = has_zeros ? zero + 1 : middle;
    const std::vector<float> by_group =
        scales(rows_ * n_groups_, static_cast<float>(middle) / 4.0f);
    std::vector<float> biases = scales(rows_ * n_groups_, -0.5f);
    std::vector<int> order(static_cast<size_t>(cols_));
    for (int64_t i = 0; i < cols_; ++i)
      order[static_cast<size_t>(i)] = static_cast<int>(i / group_);
    if (is_act_order(c_)) std::shuffle(order.begin(), order.end(), random_);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) {
        const auto g = static_cast<size_t>(r * n_groups_ + order[static_cast<size_t>(c)]);
        const int code = codes[static_cast<size_t>(r * cols_ + c)];
        const volatile float product =
            by_group[g] * static_cast<float>(is_mlx(c_) ? code : code - zeros[g]);
        value(made, r, c) = is_mlx(c_) ? product + biases[g] : product;
      }
    }
    if (is_gptq(c_) || c_ == Container::kAwq)
      return add_transposed(made, codes, zeros, by_group, order);
    add_rows(made, codes, zeros, by_group, biases, order);
  }

  void add_rows(Made& made, const std::vector<int>& codes, const std::vector<int>& zeros,
                const std::vector<float>& by_group, const std::vector<float>& biases,
                const std::vector<int>& order) {
    const std::vector<int64_t> of_groups = {rows_, n_groups_};
    const int64_t n_words = (cols_ * bits_ + 31) / 32;
    const HfTensor scales{DType::kBF16, of_groups, floats_of(by_group, DType::kBF16)};
    if (is_mlx(c_)) {
      made.parts["M.weight"] = {
          DType::kU32, {rows_, n_words}, packed(codes, rows_, cols_, bits_, false)};
      made.parts["M.scales"] = scales;
      made.parts["M.biases"] = {DType::kBF16, of_groups, floats_of(biases, DType::kBF16)};
      return;
    }
    if (c_ == Container::kCtBytes || c_ == Container::kGemma) {
      const bool is_embedding =
          c_ == Container::kGemma && module_.find("embed_tokens") != std::string::npos;
      std::vector<int> with_sign = codes;
      for (int& code : with_sign) code -= 128;
      const std::string bytes =
          bits_ == 8 ? bytes_of(with_sign) : packed(codes, rows_, cols_, bits_, false);
      made.parts[is_embedding ? "M.embedding_quantized" : "L"] = {
          bits_ == 8 ? DType::kI8 : DType::kU8, {rows_, cols_ * bits_ / 8}, bytes};
      made.parts[is_embedding ? "M.embedding_scale" : "L_scale"] = {
          DType::kF32, of_groups, floats_of(by_group, DType::kF32)};
      return;
    }
    made.parts["L_packed"] = {
        DType::kI32, {rows_, n_words}, packed(codes, rows_, cols_, bits_, false)};
    made.parts["L_scale"] = scales;
    made.parts["L_shape"] = {DType::kI64, {2}, raw(rows_) + raw(cols_)};
    if (c_ == Container::kCtInt4Zeros)
      made.parts["L_zero_point"] = {DType::kI32,
                                    {(rows_ * bits_ + 31) / 32, n_groups_},
                                    packed(zeros, rows_, n_groups_, bits_, true)};
    if (is_act_order(c_)) made.parts["L_g_idx"] = list_of(order);
  }

  void add_transposed(Made& made, const std::vector<int>& codes, std::vector<int> zeros,
                      const std::vector<float>& by_group, const std::vector<int>& order) {
    const std::vector<int> down = transposed(codes, rows_, cols_);
    std::vector<float> scales(by_group.size());
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t g = 0; g < n_groups_; ++g)
        scales[static_cast<size_t>(g * rows_ + r)] =
            by_group[static_cast<size_t>(r * n_groups_ + g)];
    }
    const bool is_awq = c_ == Container::kAwq;
    const bool is_less_one = c_ != Container::kGptqV2 && !is_awq;
    for (int& zero : zeros) zero -= is_less_one ? 1 : 0;
    const std::vector<int> zeros_down = transposed(zeros, rows_, n_groups_);
    made.parts["M.scales"] = {DType::kBF16, {n_groups_, rows_}, floats_of(scales, DType::kBF16)};
    made.parts["M.qzeros"] = {
        DType::kI32,
        {n_groups_, rows_ * bits_ / 32},
        is_awq ? packed_awq(zeros_down) : packed(zeros_down, n_groups_, rows_, bits_, false)};
    if (is_awq) {
      made.parts["M.qweight"] = {DType::kI32, {cols_, rows_ / 8}, packed_awq(down)};
      return;
    }
    made.parts["M.qweight"] = {
        DType::kI32, {cols_ * bits_ / 32, rows_}, packed(down, cols_, rows_, bits_, true)};
    made.parts["M.g_idx"] = list_of(order);
  }

  static HfTensor list_of(const std::vector<int>& order) {
    std::string bytes;
    for (const int g : order) bytes += raw(static_cast<int32_t>(g));
    return {DType::kI32, {std::ssize(order)}, bytes};
  }

  void make_fp4(Made& made) {
    constexpr std::array<float, 8> kLevels = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    const bool is_nvfp4 = group_ == 16;
    const bool is_modelopt = c_ == Container::kModelOptNvfp4;
    const float factor = is_modelopt ? 0.0023f : is_mlx(c_) || !is_nvfp4 ? 1.0f : 431.5f;
    const std::vector<int> codes = codes_below(16, rows_ * cols_);
    std::vector<int> of_groups(static_cast<size_t>(rows_ * n_groups_));
    // 2^-7 to 2^-4; E4M3 from 1 on with a factor, small without.
    for (int& s : of_groups)
      s = is_nvfp4 ? (is_mlx(c_) ? 0x08 + below(16) : 0x38 + below(24)) : 120 + below(4);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) {
        const int code = codes[static_cast<size_t>(r * cols_ + c)];
        const auto byte =
            static_cast<uint8_t>(of_groups[static_cast<size_t>(r * n_groups_ + c / group_)]);
        const float scale = is_nvfp4 ? to_f32(e4m3{byte}) : to_f32(e8m0{byte});
        const float level = kLevels[static_cast<size_t>(code & 7)] * (code >= 8 ? -1.0f : 1.0f);
        value(made, r, c) = level * (is_modelopt ? scale * factor : scale / factor);
      }
    }
    const std::string nibbles = packed(codes, rows_, cols_, 4, false);
    const HfTensor bytes{DType::kU8, {rows_, cols_ / 2}, nibbles};
    const std::string scales = bytes_of(of_groups);
    if (is_mlx(c_)) {
      made.parts["M.weight"] = {DType::kU32, {rows_, cols_ / 8}, nibbles};
      made.parts["M.scales"] = {DType::kU8, {rows_, n_groups_}, scales};
      return;
    }
    made.parts[is_modelopt ? "L" : "L_packed"] = bytes;
    made.parts["L_scale"] = {is_nvfp4 ? DType::kF8E4M3 : DType::kU8, {rows_, n_groups_}, scales};
    if (is_nvfp4)
      made.parts[is_modelopt ? "L_scale_2" : "L_global_scale"] = {DType::kF32, {1}, raw(factor)};
  }

  void make_fp8(Made& made) {
    constexpr int64_t kRows = 16, kInputs = 8;
    const bool is_block = c_ == Container::kCtFp8Block,
               is_one = c_ == Container::kCtFp8Tensor || c_ == Container::kModelOptFp8;
    const bool is_mx = c_ == Container::kMlxMxfp8;
    const int64_t block_rows = is_block ? kRows : is_one ? rows_ : 1;
    const int64_t block_inputs = is_block ? kInputs : group_;
    const int64_t n_down = (rows_ + block_rows - 1) / block_rows, n_across = cols_ / block_inputs;
    const std::vector<float> floats = scales(n_down * n_across, 4.0f);
    std::vector<int> powers = codes_below(4, n_down * n_across), codes(made.values.size());
    for (int& p : powers) p += 118;
    for (int& code : codes) code = below(2) * 128 + below(0x50);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) {
        const auto b = static_cast<size_t>(r / block_rows * n_across + c / block_inputs);
        const auto code = static_cast<uint8_t>(codes[static_cast<size_t>(r * cols_ + c)]);
        const float scale = is_mx ? to_f32(e8m0{static_cast<uint8_t>(powers[b])}) : floats[b];
        value(made, r, c) = to_f32(e4m3{code}) * scale;
      }
    }
    if (is_mx) {
      made.parts["M.weight"] = {DType::kU32, {rows_, cols_ / 4}, bytes_of(codes)};
      made.parts["M.scales"] = {DType::kU8, {rows_, n_across}, bytes_of(powers)};
      return;
    }
    made.parts["L"] = {DType::kF8E4M3, {rows_, cols_}, bytes_of(codes)};
    made.parts["L_scale"] = {DType::kF32,
                             is_one ? std::vector<int64_t>{1} : std::vector{n_down, n_across},
                             floats_of(floats, DType::kF32)};
  }

  Container c_;
  std::string module_;
  int64_t rows_, cols_;
  int bits_;
  int64_t group_, n_groups_;
  std::mt19937 random_;
};

// --- configs -------------------------------------------------------------------------------------

Json parsed(const std::string& text) {
  auto json = parse_json(text, "a test's config");
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? std::move(*json) : Json();
}

std::string ct_group(const char* name, const char* target, const std::string& weights,
                     const char* inputs = "null") {
  return fmt::format(
      R"("{}": {{"targets": ["{}"], "weights": {{{}, "dynamic": false, "observer": "minmax",
        "observer_kwargs": {{}}}}, "input_activations": {}, "output_activations": null}})",
      name, target, weights, inputs);
}

Json ct_config(const char* format, const std::string& groups) {
  return parsed(fmt::format(
      R"({{"quant_method": "compressed-tensors", "format": "{}", "config_groups": {{{}}},
        "ignore": ["lm_head", "re:.*vision_tower.*"], "kv_cache_scheme": null,
        "quantization_status": "compressed", "global_compression_ratio": null,
        "sparsity_config": {{}}, "transform_config": {{}}, "version": "0.13.0"}})",
      format, groups));
}

std::string ct_integers(int bits, const char* strategy, const char* group, bool is_symmetric) {
  return fmt::format(
      R"("num_bits": {}, "type": "int", "symmetric": {}, "strategy": "{}", "group_size": {},
        "block_structure": null, "actorder": null)",
      bits, is_symmetric, strategy, group);
}

std::string ct_floats(int bits, const char* strategy, const char* group, const char* blocks) {
  return fmt::format(
      R"("num_bits": {}, "type": "float", "symmetric": true, "strategy": "{}", "group_size": {},
        "block_structure": {})",
      bits, strategy, group, blocks);
}

Json ct_config(Container c) {
  constexpr const char* kPack = "pack-quantized";
  constexpr const char* kInputs =
      R"({"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true})";
  const auto all = [](const std::string& weights, const char* inputs = "null") {
    return ct_group("group_0", "Linear", weights, inputs);
  };
  switch (c) {
    case Container::kCtInt4: return ct_config(kPack, all(ct_integers(4, "group", "8", true)));
    case Container::kCtInt4Zeros: return ct_config(kPack, all(ct_integers(4, "group", "8", false)));
    case Container::kCtInt3: return ct_config(kPack, all(ct_integers(3, "group", "8", true)));
    case Container::kCtActOrder: return ct_config(kPack, all(ct_integers(4, "group", "8", true)));
    case Container::kCtInt8Output:
      return ct_config(kPack, all(ct_integers(8, "channel", "null", true)));
    case Container::kCtMixed:
      return ct_config(kPack, ct_group("group_0", "Linear", ct_integers(4, "group", "8", true)) +
                                  ", " +
                                  ct_group("group_1", R"(re:model\\.layers\\.[13579]\\..*)",
                                           ct_integers(8, "group", "8", true)));
    case Container::kCtBytes:
      return ct_config("int-quantized", all(ct_integers(8, "channel", "null", true)));
    case Container::kCtFp8Tensor:
      return ct_config("float-quantized", all(ct_floats(8, "tensor", "null", "null"), kInputs));
    case Container::kCtFp8Output:
      return ct_config("float-quantized", all(ct_floats(8, "channel", "null", "null"), kInputs));
    case Container::kCtFp8Block:
      return ct_config("float-quantized", all(ct_floats(8, "block", "null", "[16, 8]")));
    case Container::kCtNvfp4:
      return ct_config("nvfp4-pack-quantized", all(ct_floats(4, "tensor_group", "16", "null")));
    default: return ct_config("mxfp4-pack-quantized", all(ct_floats(4, "group", "32", "null")));
  }
}

Json config_of(Container c) {
  if (is_ct(c)) return ct_config(c);
  switch (c) {
    case Container::kGptqV2:
      return parsed(R"({"quant_method": "gptq", "bits": 4, "group_size": 8, "sym": false,
                        "desc_act": false, "checkpoint_format": "gptq_v2", "pack_dtype": "int32",
                        "meta": {"quantizer": ["x:1"]}, "lm_head": false})");
    case Container::kGptq:
    case Container::kGptqActOrder:
      return parsed(R"({"quant_method": "gptq", "bits": 4, "group_size": 8, "sym": false,
                        "desc_act": true, "damp_percent": 0.01, "true_sequential": true})");
    case Container::kAwq:
      return parsed(R"({"quant_method": "awq", "bits": 4, "group_size": 8, "zero_point": true,
                        "version": "gemm", "modules_to_not_convert": ["lm_head"]})");
    case Container::kAutoRound:
      return parsed(R"({"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq",
                        "bits": 4, "group_size": 8, "sym": true, "iters": 200, "data_type": "int",
                        "extra_config": {"lm_head": {"bits": 16, "data_type": "fp"}}})");
    case Container::kModelOptNvfp4:
    case Container::kModelOptFp8:
      return parsed(fmt::format(
          R"({{"quant_method": "modelopt", "quant_algo": "{}", "kv_cache_quant_algo": "FP8",
              "exclude_modules": ["lm_head"], "producer": {{"name": "modelopt"}}}})",
          c == Container::kModelOptFp8 ? "FP8" : "NVFP4"));
    case Container::kGemma:
      return parsed(R"({"quant_method": "gemma", "num_bits": 4, "quantize_embeddings": true,
                        "module_quant_configs": {"embed_tokens$": {"num_bits": 8}},
                        "modules_to_not_convert": ["lm_head"]})");
    case Container::kMlxMxfp4: return parsed(R"({"group_size": 32, "bits": 4, "mode": "mxfp4"})");
    case Container::kMlxMxfp8: return parsed(R"({"group_size": 32, "bits": 8, "mode": "mxfp8"})");
    case Container::kMlxNvfp4: return parsed(R"({"group_size": 16, "bits": 4, "mode": "nvfp4"})");
    case Container::kMlx6: return parsed(R"({"group_size": 16, "bits": 6, "mode": "affine"})");
    default: return parsed(R"({"group_size": 8, "bits": 4})");
  }
}

// --- checkpoints ---------------------------------------------------------------------------------

constexpr std::string_view kWeight = ".weight";

// Matrices of modules, and stacks of experts.
bool may_be_coded(Container c, const std::string& name, const HfTensor& t) {
  if (t.dtype != DType::kF32 && t.dtype != DType::kBF16) return false;
  const bool is_embedding = name.find("embed_tokens") != name.npos;
  if (is_embedding && !is_mlx(c) && c != Container::kGemma) return false;
  if (name.find("lm_head") != name.npos || name.starts_with("head.") ||
      name.find("hc_") != name.npos || name.find("conv") != name.npos)
    return false;
  if (t.shape.size() == 2) return name.ends_with(kWeight);
  return t.shape.size() == 3 && name.find("experts.") != name.npos &&
         (is_ct(c) && !is_act_order(c) && c != Container::kGemma);
}

std::string module_of(const std::string& name) {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

// "L_scale" of 'a.weight' is 'a.weight_scale', "M.scales" is 'a.scales'.
std::string part_name(const std::string& part, const std::string& name) {
  return (part.front() == 'L' ? name : module_of(name)) + part.substr(1);
}

// Puts the parts of matrix after matrix into one.
void append(std::map<std::string, HfTensor>& stack, std::map<std::string, HfTensor> parts,
            bool is_stack) {
  for (auto& [name, part] : parts) {
    HfTensor& whole = stack[name];
    if (whole.bytes.empty()) {
      whole = std::move(part);
      if (is_stack) whole.shape.insert(whole.shape.begin(), 1);
      continue;
    }
    whole.bytes += part.bytes;
    ++whole.shape.front();
  }
}

}  // namespace

const char* name_of(Container container) { return kNames[static_cast<size_t>(container)]; }

QuantisedCheckpoint quantise_checkpoint(const HfCheckpoint& checkpoint, Container c) {
  QuantisedCheckpoint made{checkpoint, checkpoint};
  Json config = config_of(c);
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (!may_be_coded(c, name, tensor)) continue;
    const bool is_stack = tensor.shape.size() == 3;
    const int64_t n = is_stack ? tensor.shape[0] : 1;
    const int64_t rows = tensor.shape[tensor.shape.size() - 2], cols = tensor.shape.back();
    MatrixPacker packer(c, module_of(name), rows, cols);
    if (!packer.fits(is_stack)) continue;
    std::map<std::string, HfTensor> parts;
    std::string values;
    for (int64_t e = 0; e < n; ++e) {
      MatrixPacker::Made one = packer.make();
      append(parts, std::move(one.parts), is_stack);
      values += floats_of(one.values, DType::kF32);
    }
    if (is_stack && parts.contains("L_shape")) parts.erase("L_shape");
    made.coded.tensors.erase(name);
    for (auto& [part, t] : parts) made.coded.tensors[part_name(part, name)] = std::move(t);
    made.plain.tensors[name] = {DType::kF32, tensor.shape, std::move(values)};
    if (c == Container::kMlx && module_of(name).ends_with("o_proj"))
      config.set(module_of(name), parsed(R"({"group_size": 8, "bits": 8})"));
    ++made.n_modules;
  }
  made.coded.config.set(is_mlx(c) ? "quantization" : "quantization_config", std::move(config));
  return made;
}

}  // namespace longhaul::testing
