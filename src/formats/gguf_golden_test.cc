// Files written by the reference's Python library (gguf 0.19.0), and what its reader says of them:
// tools/make_gguf_goldens.py, November 2026.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/gguf.h"

namespace longhaul {
namespace {

std::string golden(const std::string& name) {
  return std::string(LH_SOURCE_DIR) + "/tests/golden/gguf/" + name;
}

Json reference() {
  const auto text = read_file(golden("all_types.json"), 1 << 20);
  EXPECT_TRUE(text.ok()) << text.error().text();
  auto json = parse_json(*text, "all_types.json");
  EXPECT_TRUE(json.ok()) << json.error().text();
  return std::move(*json);
}

const std::string& text_of(const Json& object, const char* field) {
  return *object.find(field)->as_string();
}

int64_t int_of(const Json& object, const char* field) { return *object.find(field)->as_int(); }

const char* reference_name(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8: return "UINT8";
    case GgufValueType::kI8: return "INT8";
    case GgufValueType::kU16: return "UINT16";
    case GgufValueType::kI16: return "INT16";
    case GgufValueType::kU32: return "UINT32";
    case GgufValueType::kI32: return "INT32";
    case GgufValueType::kF32: return "FLOAT32";
    case GgufValueType::kBool: return "BOOL";
    case GgufValueType::kString: return "STRING";
    case GgufValueType::kU64: return "UINT64";
    case GgufValueType::kI64: return "INT64";
    case GgufValueType::kF64: return "FLOAT64";
  }
  return "";
}

// One value as the reference's text has it: a float by its bits.
std::string spelled(GgufValueType type, double value) {
  if (type == GgufValueType::kF32)
    return fmt::format("{:08x}", std::bit_cast<uint32_t>(static_cast<float>(value)));
  return fmt::format("{:016x}", std::bit_cast<uint64_t>(value));
}

std::vector<std::string> spelled(const GgufValue& value) {
  std::vector<std::string> texts;
  if (value.type() == GgufValueType::kString) {
    const auto all = value.is_array() ? *value.as_strings() : std::vector{*value.as_string()};
    texts.assign(all.begin(), all.end());
  } else if (value.type() == GgufValueType::kBool) {
    const auto all = value.is_array() ? *value.as_bools() : std::vector{*value.as_bool()};
    for (const bool b : all) texts.push_back(b ? "true" : "false");
  } else if (value.type() == GgufValueType::kF32 || value.type() == GgufValueType::kF64) {
    const auto all = value.is_array() ? *value.as_floats() : std::vector{*value.as_float()};
    for (const double x : all) texts.push_back(spelled(value.type(), x));
  } else {
    const auto all = value.is_array() ? *value.as_ints() : std::vector{*value.as_int()};
    for (const int64_t n : all) texts.push_back(std::to_string(n));
  }
  return texts;
}

TEST(GgufGolden, ReadsEveryValueThatTheReferenceWrites) {
  const auto source = open_gguf(golden("all_types.gguf"));
  ASSERT_TRUE(source.ok()) << source.error().text();
  const Json expected = reference();
  const Json::Array& values = *expected.find("values")->as_array();
  EXPECT_EQ(source->metadata().values.size(), values.size());
  for (const Json& entry : values) {
    const std::string& key = text_of(entry, "key");
    const GgufValue* value = source->metadata().find(key);
    ASSERT_NE(value, nullptr) << key;
    EXPECT_EQ(value->is_array(), *entry.find("is_array")->as_bool()) << key;
    EXPECT_EQ(reference_name(value->type()), text_of(entry, "type")) << key;
    std::vector<std::string> texts;
    for (const Json& text : *entry.find("values")->as_array()) texts.push_back(*text.as_string());
    EXPECT_EQ(spelled(*value), texts) << key;
  }
}

TEST(GgufGolden, FindsEveryTensorWhereTheReferenceFindsIt) {
  const auto source = open_gguf(golden("all_types.gguf"));
  ASSERT_TRUE(source.ok()) << source.error().text();
  const Json expected = reference();
  const Json::Array& tensors = *expected.find("tensors")->as_array();
  ASSERT_EQ(source->all().size(), tensors.size());
  ASSERT_EQ(gguf_types().size(), tensors.size()) << "a tensor of every type";
  for (size_t t = 0; t < tensors.size(); ++t) {
    const GgufTensor* tensor = source->find(text_of(tensors[t], "name"));
    ASSERT_NE(tensor, nullptr) << text_of(tensors[t], "name");
    EXPECT_EQ(info_of(tensor->type).name, text_of(tensors[t], "type"));
    std::vector<int64_t> shape;
    for (const Json& extent : *tensors[t].find("shape")->as_array())
      shape.push_back(*extent.as_int());
    EXPECT_EQ(std::vector(tensor->shape().begin(), tensor->shape().end()), shape);
    EXPECT_EQ(tensor->bytes.data() - tensor->file->bytes().data(), int_of(tensors[t], "offset"));
    ASSERT_EQ(std::ssize(tensor->bytes), int_of(tensors[t], "n_bytes")) << tensor->name;
    for (size_t i = 0; i < tensor->bytes.size(); ++i)
      ASSERT_EQ(std::to_integer<size_t>(tensor->bytes[i]), (i + 16 * t) % 256) << tensor->name;
  }
}

TEST(GgufGolden, PartsHoldWhatTheWholeFileHolds) {
  const auto whole = open_gguf(golden("all_types.gguf"));
  ASSERT_TRUE(whole.ok()) << whole.error().text();
  const auto parts = open_gguf(golden("split-00002-of-00003.gguf"));
  ASSERT_TRUE(parts.ok()) << parts.error().text();
  EXPECT_EQ(parts->files().size(), 3u);
  ASSERT_EQ(parts->all().size(), whole->all().size());
  for (const GgufTensor& tensor : whole->all()) {
    const GgufTensor* part = parts->find(tensor.name);
    ASSERT_NE(part, nullptr) << tensor.name;
    EXPECT_EQ(part->type, tensor.type);
    EXPECT_TRUE(std::ranges::equal(part->shape(), tensor.shape()));
    EXPECT_TRUE(std::ranges::equal(part->bytes, tensor.bytes)) << tensor.name;
  }
  for (const GgufKeyValue& entry : whole->metadata().values) {
    if (entry.key == "general.alignment") continue;
    const GgufValue* value = parts->metadata().find(entry.key);
    ASSERT_NE(value, nullptr) << entry.key;
    EXPECT_TRUE(*value == entry.value) << entry.key;
  }
}

}  // namespace
}  // namespace longhaul
