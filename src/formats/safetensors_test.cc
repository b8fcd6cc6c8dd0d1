#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "formats/formats_testing.h"
#include "formats/safetensors_index.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<SafetensorsHeader> parse(std::string_view file) { return parse_safetensors_header(std::as_bytes(std::span(file)), "m"); }

std::string refusal(std::string_view header, size_t data_bytes = 0) {
  const std::string file = safetensors_file(header, data_bytes);
  const auto parsed = parse(file);
  return parsed.ok() ? "accepted" : parsed.error().message;
}

TEST(Safetensors, ReadsTensorsByOffsetWithMetadata) {
  const std::string file = safetensors_file(R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},)"
                                            R"("a":{"shape":[],"dtype":"F32","data_offsets":[0,4]}}   )",
                                            8);
  const auto parsed = parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  ASSERT_EQ(parsed->tensors.size(), 2u);
  EXPECT_EQ(parsed->tensors[0].name, "a");
  EXPECT_TRUE(parsed->tensors[0].shape.empty());
  EXPECT_EQ(parsed->tensors[1].dtype, DType::kBF16);
  EXPECT_THAT(parsed->tensors[1].shape, ElementsAre(2));
  EXPECT_EQ(reinterpret_cast<const char*>(parsed->tensors[1].bytes.data()), file.data() + file.size() - 4);
  EXPECT_THAT(parsed->metadata, ElementsAre(std::pair<std::string, std::string>("format", "pt")));
}

TEST(Safetensors, AcceptsEmptyTensorsAndNoTensors) {
  EXPECT_EQ(refusal("{}"), "accepted");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},)"
                    R"("b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
                    1),
            "accepted");
}

TEST(Safetensors, TellsAMisalignedTensor) {
  const std::string file =
      safetensors_file(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})", 5);
  alignas(8) std::byte aligned[512];
  std::memcpy(aligned, file.data(), file.size());
  const auto parsed = parse_safetensors_header({aligned, file.size()}, "m");
  ASSERT_TRUE(parsed.ok());
  const auto& b = parsed->tensors[1];
  EXPECT_EQ(is_aligned(b), reinterpret_cast<uintptr_t>(b.bytes.data()) % 4 == 0);
  EXPECT_TRUE(is_aligned(parsed->tensors[0]));
}

TEST(Safetensors, CountsFourBitElementsInWholeBytes) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]}})", 3), "accepted");
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2), HasSubstr("does not fill its last byte"));
}

TEST(Safetensors, NamesTheTensorAndBytesOfATruncatedFile) {
  const std::string header = R"({"layers.7.w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";
  EXPECT_EQ(refusal(header, 15), fmt::format("m: tensor 'layers.7.w' ends at byte {}, file has {}; incomplete download?",
                                             8 + header.size() + 16, 8 + header.size() + 15));
}

TEST(Safetensors, RefusesWhateverItDoesNotKnow) {
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"scale":1}})"), HasSubstr("unknown field 'scale'"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"scale":[]}})"), HasSubstr("unknown field 'scale'"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"dtype":"U8","data_offsets":[0,0]}})"), HasSubstr("'dtype' stands twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0]}})"), HasSubstr("no field 'data_offsets'"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})"), HasSubstr("1 numbers, expected 2"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":0,"data_offsets":[0,0]}})"),
              HasSubstr("'shape' is an integer, expected an array of integers"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":["U8"],"shape":[0],"data_offsets":[0,0]}})"), HasSubstr("'dtype' is an array, expected a string"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})"), HasSubstr("'shape' is an array, expected integers"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[{}],"data_offsets":[0,0]}})"), HasSubstr("'shape' is an object"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1), HasSubstr("shape holds 1.0"));
  EXPECT_THAT(refusal(R"({"a":7})"), HasSubstr("'a' is an integer, expected an object"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"n":1}})"), HasSubstr("'n' is an integer, expected a string"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"n":{}}})"), HasSubstr("'n' is an object, expected a string"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"n":"","n":""}})"), HasSubstr("key 'n' stands twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1),
              HasSubstr("more than 16 numbers"));
}

TEST(Safetensors, EscapesHostileNamesInMessages) {
  EXPECT_THAT(refusal("{\"\\u001b[2J\":1}"), HasSubstr("'\\x1b[2J'"));
  EXPECT_THAT(refusal("{\"" + std::string(5000, 'n') + "\":1}"), HasSubstr("nnn... (5000 bytes)"));
}

class CheckpointFolder : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::string tensor_a_ = safetensors_file(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  std::string open_message() {
    const auto source = open_checkpoint(folder_.path());
    return source.ok() ? "accepted" : source.error().message;
  }
};

TEST_F(CheckpointFolder, OpensShardsInTheOrderOfTheirNames) {
  folder_.write("2.safetensors", tensor_a_);
  folder_.write("1.safetensors", safetensors_file(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  folder_.write(kSafetensorsIndex, R"({"metadata":{"total_size":3},"weight_map":{"a":"2.safetensors","b":"1.safetensors"}})");
  const auto source = open_checkpoint(folder_.path());
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ(source->total_bytes(), 3u);
  EXPECT_EQ(source->files().size(), 2u);
  ASSERT_EQ(source->all().size(), 2u);
  EXPECT_EQ(source->all()[0].name, "b");
  ASSERT_NE(source->find("a"), nullptr);
  EXPECT_EQ(source->find("a")->file, source->files()[1].get());
  EXPECT_EQ(source->find("c"), nullptr);
}

TEST_F(CheckpointFolder, TellsAnEmptyFolder) { EXPECT_THAT(open_message(), HasSubstr("neither model.safetensors nor")); }

TEST_F(CheckpointFolder, DoesNotGuessBetweenTwoLayouts) {
  folder_.write(kSafetensorsFile, tensor_a_);
  EXPECT_EQ(open_message(), "accepted");
  folder_.write(kSafetensorsIndex, "{}");
  EXPECT_THAT(open_message(), HasSubstr("holds both"));
}

TEST_F(CheckpointFolder, RefusesAShardThatLinksOutOfTheFolder) {
  TemporaryFolder elsewhere;
  elsewhere.write("secret", tensor_a_);
  std::filesystem::create_symlink(elsewhere.path() + "/secret", folder_.path() + "/s.safetensors");
  folder_.write(kSafetensorsIndex, R"({"weight_map":{"a":"s.safetensors"}})");
  EXPECT_THAT(open_message(), HasSubstr("outside the checkpoint's folder"));
}

TEST_F(CheckpointFolder, FollowsTheLinksOfAHuggingFaceCache) {
  namespace fs = std::filesystem;
  const fs::path repo(folder_.path()), snapshot = repo / "snapshots" / "c0ffee";
  fs::create_directories(snapshot);
  fs::create_directories(repo / "blobs");
  folder_.write("blobs/123", tensor_a_);
  fs::create_symlink("../../blobs/123", snapshot / "s.safetensors");
  folder_.write("snapshots/c0ffee/model.safetensors.index.json", R"({"weight_map":{"a":"s.safetensors"}})");
  const auto source = open_checkpoint(snapshot.string());
  EXPECT_TRUE(source.ok()) << source.error().message;
}

TEST(SafetensorsIndex, RefusesNamesThatLeaveTheFolder) {
  for (const char* name : {"", ".", "..", "/etc/passwd", "../x", "sub/x", "..\\\\x", "x\\u0000", "x\\n"}) {
    const auto shards = parse_safetensors_index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name), "i");
    ASSERT_FALSE(shards.ok()) << name;
    EXPECT_THAT(shards.error().message, HasSubstr("expected the plain name of a file")) << name;
  }
}

}  // namespace
}  // namespace longhaul
