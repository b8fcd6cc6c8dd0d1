// Matrices in the layouts of quantised safetensors, and what the packages that define the layouts
// dequantise them to: tools/make_quantised_goldens.py, November 2026.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "formats/quantised_matrix.h"
#include "formats/safetensors.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr std::string_view kHashes = ".hashes";

uint64_t fnv1a(std::span<const std::byte> bytes) {
  uint64_t value = 0xcbf29ce484222325;
  for (const std::byte b : bytes) value = (value ^ std::to_integer<uint64_t>(b)) * 0x100000001b3;
  return value;
}

// One case of the file.
struct Case {
  const TensorSource& source;
  std::string name;
  int64_t n_out, n_in, group;
  int bits;

  static Case of(const TensorSource& source, const std::string& name) {
    int64_t shape[4];
    std::memcpy(shape, source.find(name + ".shape")->bytes.data(), sizeof shape);
    return {source, name, shape[0], shape[1], shape[2], static_cast<int>(shape[3])};
  }
  bool begins(std::string_view prefix) const { return name.starts_with(prefix); }
  const TensorInfo* find(const char* field) const { return source.find(name + "." + field); }
  const std::byte* bytes(const char* field) const {
    const TensorInfo* tensor = find(field);
    return tensor == nullptr ? nullptr : tensor->bytes.data();
  }
  int64_t n_groups() const { return ceil_div(n_in, group); }
};

IntegerMatrix compressed_tensors(const Case& c) {
  const bool is_asymmetric = c.bytes("zeros") != nullptr;
  return {
      .n_inputs = c.n_in,
      .group_inputs = c.group,
      .codes = CodeStreams::in_rows(c.bytes("codes"), c.bits, c.n_in),
      .scales = GroupScales::by_output(c.bytes("scales"), c.find("scales")->dtype, c.n_groups()),
      .zeros = CodeStreams::in_columns(c.bytes("zeros"), c.bits, c.n_groups()),
      .zero = is_asymmetric ? 0 : 1 << (c.bits - 1)};
}

IntegerMatrix gptq(const Case& c) {
  return {.n_inputs = c.n_in,
          .group_inputs = c.group,
          .codes = CodeStreams::in_columns(c.bytes("codes"), c.bits, c.n_out),
          .scales = GroupScales::by_group(c.bytes("scales"), c.find("scales")->dtype, c.n_out),
          .zeros = CodeStreams::in_rows(c.bytes("zeros"), c.bits, c.n_out),
          .zero = c.begins("gptq_v1") ? 1 : 0};
}

IntegerMatrix awq(const Case& c) {
  return {.n_inputs = c.n_in,
          .group_inputs = c.group,
          .codes = CodeStreams::in_rows(c.bytes("codes"), c.bits, c.n_out, CodeOrder::kAwq),
          .streams_are_outputs = false,
          .scales = GroupScales::by_group(c.bytes("scales"), c.find("scales")->dtype, c.n_out),
          .zeros = CodeStreams::in_rows(c.bytes("zeros"), c.bits, c.n_out, CodeOrder::kAwq)};
}

IntegerMatrix mlx(const Case& c) {
  return {
      .n_inputs = c.n_in,
      .group_inputs = c.group,
      .codes = CodeStreams::in_rows(c.bytes("codes"), c.bits, c.n_in),
      .scales = GroupScales::by_output(c.bytes("scales"), c.find("scales")->dtype, c.n_groups()),
      .biases = GroupScales::by_output(c.bytes("biases"), c.find("biases")->dtype, c.n_groups())};
}

Fp4Matrix fp4(const Case& c) {
  const TensorInfo* factor = c.find("factor");
  return {.n_inputs = c.n_in,
          .group_inputs = c.group,
          .codes = c.bytes("codes"),
          .scales = c.bytes("scales"),
          .scale_type = c.group == 16 ? DType::kF8E4M3 : DType::kF8E8M0,
          .factor = factor == nullptr ? 1.0f : float_at(factor->bytes.data(), DType::kF32, 0),
          .divides = c.begins("ct_")};
}

void decode(const Case& c, int64_t first, int64_t n, float* out) {
  if (c.name.find("fp4") != std::string::npos) return decode_rows(fp4(c), first, n, out);
  if (c.begins("ct_")) return decode_rows(compressed_tensors(c), first, n, out);
  if (c.begins("gptq_")) return decode_rows(gptq(c), first, n, out);
  if (c.begins("awq")) return decode_rows(awq(c), first, n, out);
  if (c.begins("mlx_")) return decode_rows(mlx(c), first, n, out);
  FAIL() << c.name << " is of no known layout";
}

TEST(QuantisedMatrixGolden, DecodesToTheReferencesBits) {
  const auto source = open_safetensors(std::string(LH_SOURCE_DIR) +
                                       "/tests/golden/safetensors/quantised.safetensors");
  ASSERT_TRUE(source.ok()) << source.error().text();
  int n_cases = 0;
  for (const TensorInfo& tensor : source->all()) {
    if (!tensor.name.ends_with(kHashes)) continue;
    const Case c = Case::of(*source, tensor.name.substr(0, tensor.name.size() - kHashes.size()));
    std::vector<uint64_t> hashes(static_cast<size_t>(c.n_out));
    ASSERT_EQ(tensor.bytes.size(), 8 * hashes.size()) << c.name;
    std::memcpy(hashes.data(), tensor.bytes.data(), tensor.bytes.size());
    std::vector<float> whole(static_cast<size_t>(c.n_out * c.n_in)),
        row(static_cast<size_t>(c.n_in));
    decode(c, 0, c.n_out, whole.data());
    for (size_t r = 0; r < hashes.size(); ++r) {
      const auto of_whole = std::as_bytes(std::span(whole).subspan(r * row.size(), row.size()));
      ASSERT_EQ(fnv1a(of_whole), hashes[r]) << c.name << ", row " << r;
      decode(c, static_cast<int64_t>(r), 1, row.data());
      ASSERT_EQ(fnv1a(std::as_bytes(std::span(row))), hashes[r]) << c.name << ", row " << r;
    }
    ++n_cases;
  }
  EXPECT_EQ(n_cases, 34);
}

}  // namespace
}  // namespace longhaul
