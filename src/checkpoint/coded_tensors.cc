#include "checkpoint/coded_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "base/checked_math.h"
#include "base/notice.h"
#include "base/printable.h"
#include "formats/coded_tensor.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr std::string_view kWeight = ".weight";

// --- parts ---------------------------------------------------------------------------------------

// What a tensor beside the codes has to be.
struct Expected {
  std::vector<DType> dtypes;
  std::vector<int64_t> shape;
};

std::string names_of(std::span<const DType> dtypes) {
  std::vector<const char*> names;
  for (const DType dtype : dtypes) names.push_back(to_string(dtype));
  return fmt::format("{}", fmt::join(names, " or "));
}

// Extents of 1 at the end say nothing: [E] and [E, 1] are one.
std::vector<int64_t> without_last_ones(std::vector<int64_t> shape) {
  while (!shape.empty() && shape.back() == 1) shape.pop_back();
  return shape;
}

Status check(const TensorInfo& t, const Expected& expected) {
  const bool has_type =
      std::find(expected.dtypes.begin(), expected.dtypes.end(), t.dtype) != expected.dtypes.end();
  if (has_type && without_last_ones(t.shape) == without_last_ones(expected.shape)) return {};
  return corrupt("{}: tensor '{}' is {} {}, expected {} {}; download the checkpoint again",
                 t.where(), printable(t.name), to_string(t.dtype), shape_text(t.shape),
                 names_of(expected.dtypes), shape_text(expected.shape));
}

const std::vector<DType> kFloats = {DType::kF32, DType::kF16, DType::kBF16};

// A module's tensors while they become one.
class Parts {
 public:
  Parts(const TensorSource& tensors, const TensorInfo& codes) : tensors_(tensors), codes_(codes) {
    taken_.push_back(codes);
  }

  const TensorInfo& codes() const { return codes_; }
  // Null where there is none.
  const TensorInfo* find(const std::string& name) {
    const TensorInfo* t = tensors_.find(name);
    if (t != nullptr) taken_.push_back(*t);
    return t;
  }
  Result<const TensorInfo*> need(const std::string& name, const Expected& expected) {
    const TensorInfo* t = find(name);
    if (t == nullptr)
      return corrupt(
          "{}: no tensor '{}' beside '{}', which holds codes; download the checkpoint "
          "again",
          codes_.where(), printable(name), printable(codes_.name));
    LH_RETURN_IF_ERROR(check(*t, expected));
    return t;
  }
  std::vector<TensorInfo> take() { return std::move(taken_); }

  Error contradiction(const std::string& what) const {
    return corrupt(
        "{}: tensor '{}' {} {} {}; check that config.json and the weights are of one "
        "model",
        codes_.where(), printable(codes_.name), to_string(codes_.dtype), shape_text(codes_.shape),
        what);
  }

 private:
  const TensorSource& tensors_;
  const TensorInfo& codes_;
  std::vector<TensorInfo> taken_;
};

// A stack of matrices of codes: [out, x], or [E, out, x].
struct Stack {
  int64_t n = 1, rows = 0, cols = 0;  // columns as stored
  bool is_stack = false;

  std::vector<int64_t> shape(std::vector<int64_t> of_one) const {
    if (is_stack) of_one.insert(of_one.begin(), n);
    return of_one;
  }
};

Result<Stack> stack_of(const Parts& parts) {
  const std::vector<int64_t>& shape = parts.codes().shape;
  const bool is_empty = std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n < 1; });
  if (is_empty || shape.size() < 2 || shape.size() > 3)
    return parts.contradiction("is no matrix of codes, and no stack of such");
  Stack s{.rows = shape[shape.size() - 2], .cols = shape.back(), .is_stack = shape.size() == 3};
  if (s.is_stack) s.n = shape.front();
  return s;
}

// Matrix e of what a tensor holds of all.
const std::byte* bytes_of(const TensorInfo& t, const Stack& s, int64_t e) {
  return t.bytes.data() + t.bytes.size() / static_cast<uint64_t>(s.n) * static_cast<uint64_t>(e);
}

// A whole tensor, from the matrices and what was read to make them.
TensorInfo whole_of(Parts& parts, std::string name, const Stack& s, CodedTensor::Content content) {
  content.parts = parts.take();
  const TensorInfo& codes = content.parts.front();
  TensorInfo whole{.name = std::move(name),
                   .dtype = codes.dtype,
                   .shape = s.shape({content.rows, content.cols}),
                   .bytes = codes.bytes,
                   .file = codes.file,
                   .is_listed = codes.is_listed};
  whole.coded = std::make_shared<const CodedTensor>(std::move(content));
  return whole;
}

std::string kind_of(const QuantScheme& s, QuantMethod method) {
  if (s.is_float && s.bits == 8) return fmt::format("FP8 of {}", to_string(method));
  if (s.is_float)
    return fmt::format("{} of {}", s.group_inputs == 16 ? "NVFP4" : "MXFP4", to_string(method));
  return fmt::format("{}-bit integers of {}", s.bits, to_string(method));
}

// Of a group of inputs each; one where all share it.
Result<int64_t> groups_of(const Parts& parts, const QuantScheme& s, int64_t n_inputs) {
  if (s.spread != ScaleSpread::kGroup) return 1;
  if (n_inputs % s.group_inputs == 0) return n_inputs / s.group_inputs;
  return parts.contradiction(fmt::format("has {} inputs, which are no multiple of the group of {}",
                                         n_inputs, s.group_inputs));
}

int64_t group_inputs(const QuantScheme& s, int64_t n_inputs) {
  return s.spread == ScaleSpread::kGroup ? s.group_inputs : n_inputs;
}

// Where the groups of inputs are listed: null where they follow one another, or nothing is listed.
Result<const std::byte*> group_list(const TensorInfo* list, int64_t n_inputs, int64_t group,
                                    int64_t n_groups) {
  if (list == nullptr) return static_cast<const std::byte*>(nullptr);
  LH_RETURN_IF_ERROR(check(*list, {{DType::kI32}, {n_inputs}}));
  bool is_in_order = true, is_unset = true;
  for (int64_t i = 0; i < n_inputs; ++i) {
    int32_t g;
    std::memcpy(&g, list->bytes.data() + 4 * i, sizeof g);
    is_in_order = is_in_order && g == i / group;
    is_unset = is_unset && g == -1;
    if (!is_unset && (g < 0 || g >= n_groups))
      return corrupt(
          "{}: tensor '{}' sends input {} to group {}, expected 0 to {}; download the "
          "checkpoint again",
          list->where(), printable(list->name), i, g, n_groups - 1);
  }
  return is_in_order || is_unset ? nullptr : list->bytes.data();
}

// --- compressed-tensors --------------------------------------------------------------------------

// [out, in] as a tensor states it; the codes must have room for as many.
Result<int64_t> stated_inputs(Parts& parts, const std::string& name, const Stack& s, int bits) {
  const int64_t most = s.cols * 32 / bits;
  const TensorInfo* t = parts.find(name);
  if (t == nullptr) return most;
  const bool is_pair = t->dtype == DType::kI64 &&
                       (t->shape == std::vector<int64_t>{2} || t->shape == std::vector<int64_t>{3});
  std::array<int64_t, 2> stated{};
  if (is_pair) std::memcpy(stated.data(), t->bytes.data() + t->bytes.size() - 16, 16);
  if (!is_pair || stated[0] != s.rows || stated[1] < 1 || stated[1] > most)
    return corrupt(
        "{}: tensor '{}' states {}, expected I64 [out, in] that fit the codes {}; "
        "download the checkpoint again",
        t->where(), printable(t->name), is_pair ? shape_text(stated) : to_string(t->dtype),
        shape_text(parts.codes().shape));
  return stated[1];
}

Result<CodeOrder> order_of(const Parts& parts, int64_t n_words, int64_t n_inputs, int bits) {
  for (const CodeOrder order : {CodeOrder::kDense, CodeOrder::kWholeWords}) {
    if (words_of_codes(n_inputs, bits, order) == n_words) return order;
  }
  return parts.contradiction(fmt::format("has no words for {} inputs of {} bits", n_inputs, bits));
}

Result<TensorInfo> packed_integers(Parts& parts, const std::string& name, const QuantScheme& scheme,
                                   QuantMethod method) {
  LH_RETURN_IF_ERROR(check(parts.codes(), {{DType::kI32}, parts.codes().shape}));
  LH_TRY(const Stack s, stack_of(parts));
  const int bits = scheme.bits;
  LH_TRY(const int64_t n_inputs, stated_inputs(parts, name + "_shape", s, bits));
  LH_TRY(const CodeOrder order, order_of(parts, s.cols, n_inputs, bits));
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, n_inputs));
  if (scheme.spread == ScaleSpread::kTensor || scheme.spread == ScaleSpread::kBlock)
    return parts.contradiction("has scales of the tensor or of blocks, which packed integers lack");
  LH_TRY(const TensorInfo* scales,
         parts.need(name + "_scale", {kFloats, s.shape({s.rows, n_groups})}));
  const TensorInfo* zeros = nullptr;
  if (!scheme.is_symmetric) {
    LH_TRY(zeros, parts.need(name + "_zero_point",
                             {{DType::kI32}, s.shape({words_of_codes(s.rows, bits), n_groups})}));
  }
  const int64_t group = group_inputs(scheme, n_inputs);
  const TensorInfo* list = s.is_stack ? nullptr : parts.find(name + "_g_idx");
  LH_TRY(const std::byte* groups, group_list(list, n_inputs, group, n_groups));
  CodedTensor::Content content{kind_of(scheme, method), s.rows, n_inputs, {}, {}, {}, true};
  for (int64_t e = 0; e < s.n; ++e) {
    IntegerMatrix m{
        .n_inputs = n_inputs,
        .group_inputs = group,
        .groups = groups,
        .codes = CodeStreams::in_rows(bytes_of(parts.codes(), s, e), bits, n_inputs, order),
        .scales = GroupScales::by_output(bytes_of(*scales, s, e), scales->dtype, n_groups),
        .zero = scheme.is_symmetric ? 1 << (bits - 1) : 0};
    if (zeros != nullptr) m.zeros = CodeStreams::in_columns(bytes_of(*zeros, s, e), bits, n_groups);
    content.matrices.emplace_back(m);
  }
  return whole_of(parts, name, s, std::move(content));
}

Result<TensorInfo> fp4(Parts& parts, const std::string& name, const QuantScheme& scheme,
                       QuantMethod method) {
  LH_RETURN_IF_ERROR(check(parts.codes(), {{DType::kU8}, parts.codes().shape}));
  LH_TRY(const Stack s, stack_of(parts));
  const bool is_nvfp4 = scheme.group_inputs == 16;
  if (!is_nvfp4 && scheme.group_inputs != 32)
    return parts.contradiction("has 4-bit floats, whose groups are of 16 or 32");
  const int64_t n_inputs = 2 * s.cols;
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, n_inputs));
  const std::vector<DType> types =
      is_nvfp4 ? std::vector{DType::kF8E4M3} : std::vector{DType::kU8, DType::kF8E8M0};
  LH_TRY(const TensorInfo* scales,
         parts.need(name + "_scale", {types, s.shape({s.rows, n_groups})}));
  const TensorInfo* factor = nullptr;
  const bool is_modelopt = method == QuantMethod::kModelOpt;
  if (is_nvfp4) {
    LH_TRY(factor, parts.need(name + (is_modelopt ? "_scale_2" : "_global_scale"),
                              {{DType::kF32}, s.shape({1})}));
  }
  CodedTensor::Content content{kind_of(scheme, method), s.rows, n_inputs, {}, {}, {}, true};
  for (int64_t e = 0; e < s.n; ++e) {
    content.matrices.emplace_back(Fp4Matrix{
        .n_inputs = n_inputs,
        .group_inputs = scheme.group_inputs,
        .codes = bytes_of(parts.codes(), s, e),
        .scales = bytes_of(*scales, s, e),
        .scale_type = is_nvfp4 ? DType::kF8E4M3 : DType::kF8E8M0,
        .factor = factor == nullptr ? 1.0f : float_at(factor->bytes.data(), DType::kF32, e),
        .divides = !is_modelopt});
  }
  return whole_of(parts, name, s, std::move(content));
}

struct ScaleBlocks {
  int64_t rows, inputs;        // that share a scale
  std::vector<int64_t> shape;  // of the scales of a matrix
};
ScaleBlocks blocks_of(const QuantScheme& scheme, const Stack& s) {
  switch (scheme.spread) {
    case ScaleSpread::kTensor: return {s.rows, s.cols, {1}};
    case ScaleSpread::kOutput: return {1, s.cols, {s.rows, 1}};
    default: break;
  }
  const int64_t rows = scheme.spread == ScaleSpread::kBlock ? scheme.block_rows : 1;
  return {
      rows, scheme.group_inputs, {ceil_div(s.rows, rows), ceil_div(s.cols, scheme.group_inputs)}};
}

// Bytes of E4M3.
Result<TensorInfo> fp8(Parts& parts, const std::string& name, const QuantScheme& scheme,
                       QuantMethod method) {
  LH_RETURN_IF_ERROR(check(parts.codes(), {{DType::kF8E4M3}, parts.codes().shape}));
  LH_TRY(const Stack s, stack_of(parts));
  if (scheme.spread == ScaleSpread::kGroup) LH_RETURN_IF_ERROR(groups_of(parts, scheme, s.cols));
  const ScaleBlocks blocks = blocks_of(scheme, s);
  std::vector<DType> types = kFloats;
  types.insert(types.end(), {DType::kF8E8M0, DType::kU8});
  LH_TRY(const TensorInfo* scales, parts.need(name + "_scale", {types, s.shape(blocks.shape)}));
  CodedTensor::Content content{kind_of(scheme, method), s.rows, s.cols, {}, {}, {}, true};
  for (int64_t e = 0; e < s.n; ++e) {
    content.matrices.emplace_back(
        Fp8Matrix{.n_inputs = s.cols,
                  .block_rows = blocks.rows,
                  .block_inputs = blocks.inputs,
                  .codes = bytes_of(parts.codes(), s, e),
                  .scales = bytes_of(*scales, s, e),
                  .scale_type = scales->dtype == DType::kU8 ? DType::kF8E8M0 : scales->dtype});
  }
  return whole_of(parts, name, s, std::move(content));
}

// Integers in bytes, the low bits first; 8 bits with a sign. Scales of the tensor, or of each row's
// groups.
//   scale_name, n_groups  what stands beside the codes
Result<TensorInfo> byte_integers(Parts& parts, const std::string& name,
                                 const std::string& scale_name, const QuantScheme& scheme,
                                 int64_t n_groups, QuantMethod method) {
  LH_RETURN_IF_ERROR(
      check(parts.codes(), {{scheme.bits == 8 ? DType::kI8 : DType::kU8}, parts.codes().shape}));
  LH_TRY(const Stack s, stack_of(parts));
  const int64_t n_inputs = s.cols * 8 / scheme.bits;
  const bool has_whole_words = scheme.bits != 2 || s.cols % 4 == 0;  // read by them
  if (n_inputs % n_groups != 0 || !has_whole_words)
    return parts.contradiction("has rows that end within a group, or within a word of 32 bits");
  const bool is_one = scheme.spread == ScaleSpread::kTensor;
  LH_TRY(const TensorInfo* scales,
         parts.need(scale_name, {kFloats, s.shape(is_one ? std::vector<int64_t>{1}
                                                         : std::vector{s.rows, n_groups})}));
  CodedTensor::Content content{kind_of(scheme, method), s.rows, n_inputs, {}, {}, {}, true};
  for (int64_t e = 0; e < s.n; ++e) {
    IntegerMatrix m{
        .n_inputs = n_inputs,
        .group_inputs = n_inputs / n_groups,
        .codes = CodeStreams::in_rows(bytes_of(parts.codes(), s, e), scheme.bits, n_inputs),
        .row_codes = n_inputs,
        .is_signed = scheme.bits == 8,
        .scales = GroupScales::by_output(bytes_of(*scales, s, e), scales->dtype, n_groups),
        .zero = 1 << (scheme.bits - 1)};
    if (is_one) m.scales.output_stride = 0;
    content.matrices.emplace_back(m);
  }
  return whole_of(parts, name, s, std::move(content));
}

Result<TensorInfo> compressed(Parts& parts, const std::string& name, const QuantScheme& scheme) {
  constexpr QuantMethod kMethod = QuantMethod::kCompressedTensors;
  const DType dtype = parts.codes().dtype;
  const bool is_packed = parts.codes().name != name;
  if (is_packed && scheme.is_float && scheme.bits == 4) return fp4(parts, name, scheme, kMethod);
  if (is_packed && !scheme.is_float) return packed_integers(parts, name, scheme, kMethod);
  if (dtype == DType::kF8E4M3 && scheme.is_float && scheme.bits == 8)
    return fp8(parts, name, scheme, kMethod);
  if (dtype != DType::kI8 || is_packed || scheme.is_float || scheme.bits != 8)
    return parts.contradiction(fmt::format("is not stored as the config says: {} bits of {}",
                                           scheme.bits, scheme.is_float ? "floats" : "integers"));
  if (!scheme.is_symmetric || scheme.spread == ScaleSpread::kBlock)
    return parts.contradiction("has integers in bytes with zeros or blocks, which are not read");
  LH_TRY(const Stack s, stack_of(parts));
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, s.cols));
  return byte_integers(parts, name, name + "_scale", scheme, n_groups, kMethod);
}

// --- GPTQ and AWQ --------------------------------------------------------------------------------

// Columns of words: a stream an output, whose codes follow one another over rows.
Result<TensorInfo> gptq(Parts& parts, const std::string& module, const QuantScheme& scheme,
                        bool stores_zeros_less_one) {
  LH_RETURN_IF_ERROR(check(parts.codes(), {{DType::kI32}, parts.codes().shape}));
  LH_TRY(const Stack stored, stack_of(parts));
  if (stored.is_stack) return parts.contradiction("is a stack, which GPTQ has not");
  const int bits = scheme.bits;
  const int64_t n_inputs = stored.rows * 32 / bits, n_outputs = stored.cols;
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, n_inputs));
  LH_TRY(const TensorInfo* scales,
         parts.need(module + ".scales", {kFloats, {n_groups, n_outputs}}));
  LH_TRY(
      const TensorInfo* zeros,
      parts.need(module + ".qzeros", {{DType::kI32}, {n_groups, words_of_codes(n_outputs, bits)}}));
  const int64_t group = group_inputs(scheme, n_inputs);
  LH_TRY(const std::byte* groups,
         group_list(parts.find(module + ".g_idx"), n_inputs, group, n_groups));
  const auto in_groups = CodeStreams::in_rows(zeros->bytes.data(), bits, n_outputs);
  if (stores_zeros_less_one && has_all_ones(in_groups, n_groups, n_outputs))
    return corrupt(
        "{}: tensor '{}' holds zeros of -1, which readers of GPTQ's first format take for two "
        "different numbers; get the checkpoint in gptq_v2",
        zeros->where(), printable(zeros->name));
  CodedTensor::Content content{
      kind_of(scheme, QuantMethod::kGptq), n_outputs, n_inputs, {}, {}, {}, false};
  content.matrices.emplace_back(
      IntegerMatrix{.n_inputs = n_inputs,
                    .group_inputs = group,
                    .groups = groups,
                    .codes = CodeStreams::in_columns(parts.codes().bytes.data(), bits, n_outputs),
                    .scales = GroupScales::by_group(scales->bytes.data(), scales->dtype, n_outputs),
                    .zeros = in_groups,
                    .zero = stores_zeros_less_one ? 1 : 0});
  return whole_of(parts, module + std::string(kWeight), {}, std::move(content));
}

Result<TensorInfo> awq(Parts& parts, const std::string& module, const QuantScheme& scheme) {
  LH_RETURN_IF_ERROR(check(parts.codes(), {{DType::kI32}, parts.codes().shape}));
  LH_TRY(const Stack stored, stack_of(parts));
  if (stored.is_stack) return parts.contradiction("is a stack, which AWQ has not");
  constexpr int64_t kPerWord = 8;
  const int64_t n_inputs = stored.rows, n_outputs = stored.cols * kPerWord;
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, n_inputs));
  LH_TRY(const TensorInfo* scales,
         parts.need(module + ".scales", {kFloats, {n_groups, n_outputs}}));
  LH_TRY(const TensorInfo* zeros,
         parts.need(module + ".qzeros", {{DType::kI32}, {n_groups, stored.cols}}));
  const auto in_rows = [&](const TensorInfo& t) {
    return CodeStreams::in_rows(t.bytes.data(), 4, n_outputs, CodeOrder::kAwq);
  };
  CodedTensor::Content content{
      kind_of(scheme, QuantMethod::kAwq), n_outputs, n_inputs, {}, {}, {}, false};
  content.matrices.emplace_back(
      IntegerMatrix{.n_inputs = n_inputs,
                    .group_inputs = group_inputs(scheme, n_inputs),
                    .codes = in_rows(parts.codes()),
                    .streams_are_outputs = false,
                    .scales = GroupScales::by_group(scales->bytes.data(), scales->dtype, n_outputs),
                    .zeros = in_rows(*zeros)});
  return whole_of(parts, module + std::string(kWeight), {}, std::move(content));
}

// --- MLX -----------------------------------------------------------------------------------------

Result<TensorInfo> mlx_affine(Parts& parts, const std::string& module, const QuantScheme& scheme) {
  LH_TRY(const Stack s, stack_of(parts));
  if (s.cols * 32 % scheme.bits != 0)
    return parts.contradiction(fmt::format("has rows that end within {} bits", scheme.bits));
  const int64_t n_inputs = s.cols * 32 / scheme.bits;
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, n_inputs));
  const Expected beside{kFloats, s.shape({s.rows, n_groups})};
  LH_TRY(const TensorInfo* scales, parts.need(module + ".scales", beside));
  LH_TRY(const TensorInfo* biases, parts.need(module + ".biases", beside));
  CodedTensor::Content content{
      kind_of(scheme, QuantMethod::kMlx), s.rows, n_inputs, {}, {}, {}, true};
  for (int64_t e = 0; e < s.n; ++e) {
    content.matrices.emplace_back(IntegerMatrix{
        .n_inputs = n_inputs,
        .group_inputs = scheme.group_inputs,
        .codes = CodeStreams::in_rows(bytes_of(parts.codes(), s, e), scheme.bits, n_inputs),
        .scales = GroupScales::by_output(bytes_of(*scales, s, e), scales->dtype, n_groups),
        .biases = GroupScales::by_output(bytes_of(*biases, s, e), biases->dtype, n_groups)});
  }
  return whole_of(parts, module + std::string(kWeight), s, std::move(content));
}

Result<TensorInfo> mlx_floats(Parts& parts, const std::string& module, const QuantScheme& scheme) {
  LH_TRY(Stack s, stack_of(parts));
  const int64_t n_inputs = s.cols * 32 / scheme.bits;
  LH_TRY(const int64_t n_groups, groups_of(parts, scheme, n_inputs));
  LH_TRY(const TensorInfo* scales,
         parts.need(module + ".scales", {{DType::kU8}, s.shape({s.rows, n_groups})}));
  if (parts.find(module + ".biases") != nullptr)
    return parts.contradiction("has biases, which 4- and 8-bit floats have not");
  CodedTensor::Content content{
      kind_of(scheme, QuantMethod::kMlx), s.rows, n_inputs, {}, {}, {}, true};
  for (int64_t e = 0; e < s.n; ++e) {
    const std::byte *codes = bytes_of(parts.codes(), s, e), *of_groups = bytes_of(*scales, s, e);
    if (scheme.bits == 8) {
      content.matrices.emplace_back(Fp8Matrix{.n_inputs = n_inputs,
                                              .block_inputs = scheme.group_inputs,
                                              .codes = codes,
                                              .scales = of_groups,
                                              .scale_type = DType::kF8E8M0});
    } else {
      const bool is_nvfp4 = scheme.group_inputs == 16;
      content.matrices.emplace_back(
          Fp4Matrix{.n_inputs = n_inputs,
                    .group_inputs = scheme.group_inputs,
                    .codes = codes,
                    .scales = of_groups,
                    .scale_type = is_nvfp4 ? DType::kF8E4M3 : DType::kF8E8M0});
    }
  }
  return whole_of(parts, module + std::string(kWeight), s, std::move(content));
}

// --- ModelOpt ------------------------------------------------------------------------------------

// FP8 with one scale, or one an output; NVFP4 in bytes.
Result<TensorInfo> modelopt(Parts& parts, const std::string& name, const TensorInfo& scales) {
  constexpr QuantMethod kMethod = QuantMethod::kModelOpt;
  QuantScheme scheme{.bits = 4, .is_float = true, .group_inputs = 16};
  if (parts.codes().dtype == DType::kU8) return fp4(parts, name, scheme, kMethod);
  scheme = {.bits = 8, .is_float = true, .spread = ScaleSpread::kOutput};
  if (scales.bytes.size() == bytes_per_element(scales.dtype)) scheme.spread = ScaleSpread::kTensor;
  return fp8(parts, name, scheme, kMethod);
}

// --- all of them ---------------------------------------------------------------------------------

// Of inputs, outputs and the KV cache: a module's tensors by the last part of their names.
constexpr std::array<std::string_view, 15> kNotOfWeights = {"input_activation_scale",
                                                            "input_global_scale",
                                                            "input_scale",
                                                            "input_zero_point",
                                                            "k_cache_scale",
                                                            "k_scale",
                                                            "k_zero_point",
                                                            "output_activation_scale",
                                                            "output_global_scale",
                                                            "output_scale",
                                                            "output_zero_point",
                                                            "q_scale",
                                                            "v_cache_scale",
                                                            "v_scale",
                                                            "v_zero_point"};

bool is_not_of_weights(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return std::find(kNotOfWeights.begin(), kNotOfWeights.end(), last) != kNotOfWeights.end();
}

std::string without(std::string_view name, std::string_view end) {
  return std::string(name.substr(0, name.size() - end.size()));
}
std::string module_of(const std::string& weight) {
  return weight.ends_with(kWeight) ? without(weight, kWeight) : weight;
}

class Joiner {
 public:
  Joiner(TensorSource& tensors, const Quantisation& q, const std::string& where)
      : tensors_(tensors), q_(q), where_(where) {}

  Status join() {
    for (const TensorInfo& t : tensors_.all()) {
      if (is_not_of_weights(t.name)) {
        gone_.insert(t.name);
        ++n_left_out_;
        continue;
      }
      const std::optional<Found> found = find(t);
      if (!found) continue;
      LH_TRY(TensorInfo whole, make(t, *found));
      for (const TensorInfo& part : whole.coded->parts()) gone_.insert(part.name);
      made_.push_back(std::move(whole));
    }
    if (n_left_out_ > 0)
      notice("{}: {} tensors are left out: scales of inputs, of outputs and of the KV cache",
             where_, n_left_out_);
    return tensors_.replace(gone_, std::move(made_));
  }

 private:
  // A tensor of codes: the weight that it stands for, and its module.
  struct Found {
    std::string weight, module;
    static Found of_weight(const std::string& name) { return {name, module_of(name)}; }
    static Found of_module(std::string name) { return {name + std::string(kWeight), name}; }
  };

  std::optional<Found> find(const TensorInfo& t) const {
    constexpr std::string_view kPacked = "_packed", kQWeight = ".qweight",
                               kEmbedding = ".embedding_quantized";
    const bool is_byte = t.dtype == DType::kI8 || t.dtype == DType::kU8;
    const bool has_scales = tensors_.find(t.name + "_scale") != nullptr;
    switch (q_.method) {
      case QuantMethod::kPlain: return std::nullopt;
      case QuantMethod::kCompressedTensors:
        if (t.name.ends_with(kPacked)) return Found::of_weight(without(t.name, kPacked));
        if (has_scales && (is_byte || t.dtype == DType::kF8E4M3)) return Found::of_weight(t.name);
        return std::nullopt;
      case QuantMethod::kGptq:
      case QuantMethod::kAwq:
        if (t.name.ends_with(kQWeight)) return Found::of_module(without(t.name, kQWeight));
        return std::nullopt;
      case QuantMethod::kMlx:
        if (t.dtype == DType::kU32 && t.name.ends_with(kWeight)) return Found::of_weight(t.name);
        return std::nullopt;
      case QuantMethod::kModelOpt:
        if (has_scales && (is_byte || t.dtype == DType::kF8E4M3)) return Found::of_weight(t.name);
        return std::nullopt;
      case QuantMethod::kMobile:
        if (t.name.ends_with(kEmbedding)) return Found::of_module(without(t.name, kEmbedding));
        if (has_scales && is_byte) return Found::of_weight(t.name);
        return std::nullopt;
    }
    return std::nullopt;
  }

  Result<TensorInfo> make(const TensorInfo& t, const Found& found) const {
    if (q_.method == QuantMethod::kModelOpt) {
      Parts parts(tensors_, t);
      return modelopt(parts, found.weight, *tensors_.find(t.name + "_scale"));
    }
    LH_TRY(const Quantisation::Verdict verdict, q_.scheme_of(ModuleName(found.module)));
    if (verdict.scheme != nullptr) return make(t, found, *verdict.scheme);
    if (verdict.is_named)
      return Parts(tensors_, t).contradiction("holds codes, and the config leaves it unquantised");
    return make_by_shape(t, found);
  }

  // The one scheme that fits, where the config names no module like this.
  Result<TensorInfo> make_by_shape(const TensorInfo& t, const Found& found) const {
    std::optional<TensorInfo> made;
    std::optional<QuantScheme> by;
    for (const QuantRule& rule : q_.rules) {
      if (!rule.scheme || rule.scheme == by) continue;
      Result<TensorInfo> tried = make(t, found, *rule.scheme);
      if (!tried.ok()) continue;
      if (made)
        return Parts(tensors_, t)
            .contradiction("is named by no group of the config, and several of them fit it");
      made = std::move(*tried);
      by = rule.scheme;
    }
    if (made) return std::move(*made);
    return Parts(tensors_, t)
        .contradiction("is named by no group of the config, and none of them fits it");
  }

  Result<TensorInfo> make(const TensorInfo& t, const Found& found,
                          const QuantScheme& scheme) const {
    Parts parts(tensors_, t);
    switch (q_.method) {
      case QuantMethod::kCompressedTensors: return compressed(parts, found.weight, scheme);
      case QuantMethod::kGptq: return gptq(parts, found.module, scheme, q_.stores_zeros_less_one);
      case QuantMethod::kAwq: return awq(parts, found.module, scheme);
      case QuantMethod::kMlx:
        return scheme.is_float ? mlx_floats(parts, found.module, scheme)
                               : mlx_affine(parts, found.module, scheme);
      default: return mobile(parts, found, scheme);
    }
  }

  // Embeddings have scales of blocks of a row, as many as there are.
  Result<TensorInfo> mobile(Parts& parts, const Found& found, QuantScheme scheme) const {
    const bool is_embedding = parts.codes().name != found.weight;
    const std::string scale =
        is_embedding ? found.module + ".embedding_scale" : found.weight + "_scale";
    const TensorInfo* scales = tensors_.find(scale);
    const bool is_matrix = scales != nullptr && scales->shape.size() == 2;
    if (parts.codes().dtype == DType::kI8) scheme.bits = 8;
    const int64_t n_groups = is_matrix && scales->shape[1] > 0 ? scales->shape[1] : 1;
    return byte_integers(parts, found.weight, scale, scheme, n_groups, QuantMethod::kMobile);
  }

  TensorSource& tensors_;
  const Quantisation& q_;
  const std::string& where_;
  std::set<std::string, std::less<>> gone_;
  std::vector<TensorInfo> made_;
  int64_t n_left_out_ = 0;
};

}  // namespace

Status join_coded_tensors(TensorSource& tensors, const Quantisation& quantisation,
                          const std::string& where) {
  if (quantisation.method == QuantMethod::kPlain) return {};
  return Joiner(tensors, quantisation, where).join();
}

}  // namespace longhaul
