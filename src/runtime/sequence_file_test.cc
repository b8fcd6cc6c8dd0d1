// Saved states that were damaged, or made to hurt: their checksum is no secret.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstring>
#include <functional>

#include "base/mapped_file.h"
#include "formats/formats_testing.h"
#include "models/registry.h"
#include "runtime/sequence.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

class SequenceFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto config = parse_json(
        R"({"model_type": "gemma3_text", "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": 2, "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"]})",
        "config");
    auto arch = read_architecture(*config, "config");
    ASSERT_TRUE(arch.ok()) << arch.error().text();
    arch_ = std::move(*arch);
    const TemporaryFolder folder;
    const auto sequence = Sequence::create(arch_, DType::kBF16, 300);
    ASSERT_TRUE(sequence.ok() && sequence->save(folder.path() + "/state").ok());
    const auto text = read_file(folder.path() + "/state", size_t{1} << 20);
    ASSERT_TRUE(text.ok());
    file_ = *text;
  }

  // The file with a number of its header replaced (max_tokens stands at 24, length at 32) and the
  // checksum put right.
  std::string changed(size_t at, int64_t value) const {
    std::string file = file_;
    std::memcpy(file.data() + at, &value, sizeof value);
    const uint64_t sum = XXH3_64bits(file.data(), file.size() - sizeof sum);
    std::memcpy(file.data() + file.size() - sizeof sum, &sum, sizeof sum);
    return file;
  }
  Result<Sequence> parse(const std::string& file, int64_t max_tokens = 300) const {
    return Sequence::parse(arch_, std::as_bytes(std::span(file)), "state", max_tokens);
  }
  std::string problem(const std::string& file) const {
    const auto sequence = parse(file);
    return sequence.ok() ? "parsed" : sequence.error().text();
  }

  Architecture arch_;
  std::string file_;
};

TEST_F(SequenceFile, GrowsNoFurtherThanTheContextOrThanItsRingsAllow) {
  EXPECT_EQ(parse(file_)->max_tokens(), 300);
  EXPECT_EQ(parse(file_, 100)->max_tokens(), 100) << "what the model was planned for";
  EXPECT_EQ(parse(file_, 1000)->max_tokens(), 300) << "its rings may be shorter than the window";
}

TEST_F(SequenceFile, ImpossibleLengthsAreRefusedBeforeAnythingIsAllocated) {
  EXPECT_THAT(problem(changed(24, 0)), HasSubstr("length 0 of at most 0 tokens is impossible"));
  EXPECT_THAT(problem(changed(24, -1)), HasSubstr("is impossible"));
  EXPECT_THAT(problem(changed(32, -1)), HasSubstr("is impossible"));
  EXPECT_THAT(problem(changed(32, 301)), HasSubstr("is impossible"));
  EXPECT_THAT(problem(changed(32, 300)), HasSubstr("1024 bytes of state, expected 33792"));
}

// Only rings depend on it, and they end at the window.
TEST_F(SequenceFile, AHugeContextCostsNoMemory) {
  for (int64_t huge : {int64_t{1} << 40, INT64_MAX}) {
    const auto sequence = parse(changed(24, huge));
    ASSERT_TRUE(sequence.ok()) << sequence.error().text();
    EXPECT_EQ(sequence->max_tokens(), 300);
    EXPECT_EQ(sequence->allocated_bytes(), 1024u);
  }
}

TEST_F(SequenceFile, EveryTruncationIsRefused) {
  for (size_t size = 0; size < file_.size(); size += size < 64 ? 1 : 37)
    EXPECT_NE(problem(file_.substr(0, size)), "parsed") << size;
}

TEST_F(SequenceFile, DamageIsNoticed) {
  std::string file = file_;
  file[500] = static_cast<char>(file[500] ^ 1);
  EXPECT_THAT(problem(file), HasSubstr("checksum does not match"));
  EXPECT_THAT(problem("LHSTATE1" + file_.substr(8)),
              HasSubstr("not a saved state of this version"));
  EXPECT_THAT(problem(changed(8, 1)), HasSubstr("the state of another model"));
}

}  // namespace
}  // namespace longhaul
