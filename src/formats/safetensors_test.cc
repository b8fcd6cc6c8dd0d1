#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/numbers.h"
#include "formats/formats_testing.h"
#include "formats/safetensors_index.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<SafetensorsHeader> parse(std::string_view file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), "m");
}

std::string refusal(std::string_view header, size_t data_bytes = 0) {
  const std::string file = safetensors_file(header, data_bytes);
  const auto parsed = parse(file);
  return parsed.ok() ? "accepted" : parsed.error().text();
}

TEST(Safetensors, ReadsTensorsByOffsetWithMetadata) {
  const std::string file = safetensors_file(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},)"
      R"("a":{"shape":[],"dtype":"F32","data_offsets":[0,4]}}   )",
      8);
  const auto parsed = parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.error().text();
  ASSERT_EQ(parsed->tensors.size(), 2u);
  EXPECT_EQ(parsed->tensors[0].name, "a");
  EXPECT_TRUE(parsed->tensors[0].shape.empty());
  EXPECT_EQ(parsed->tensors[1].dtype, DType::kBF16);
  EXPECT_THAT(parsed->tensors[1].shape, ElementsAre(2));
  EXPECT_EQ(reinterpret_cast<const char*>(parsed->tensors[1].bytes.data()),
            file.data() + file.size() - 4);
  EXPECT_THAT(parsed->metadata, ElementsAre(std::pair<std::string, std::string>("format", "pt")));
}

TEST(Safetensors, AcceptsEmptyTensorsAndNoTensors) {
  EXPECT_EQ(refusal("{}"), "accepted");
  EXPECT_EQ(
      refusal(
          R"({"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},)"
          R"("b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
          1),
      "accepted");
}

TEST(Safetensors, TellsAMisalignedTensor) {
  const std::string file = safetensors_file(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
      5);
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
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2),
              HasSubstr("does not fill its last byte"));
}

TEST(Safetensors, NamesTheTensorAndBytesOfATruncatedFile) {
  const std::string header = R"({"layers.7.w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";
  EXPECT_EQ(refusal(header, 15), fmt::format("m: tensor 'layers.7.w' ends at byte {}, file has {}; "
                                             "incomplete download? fetch it again",
                                             8 + header.size() + 16, 8 + header.size() + 15));
}

TEST(Safetensors, RefusesWhateverItDoesNotKnow) {
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"scale":1}})"),
              HasSubstr("unknown field 'scale'"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"scale":[]}})"),
              HasSubstr("unknown field 'scale'"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"dtype":"U8","data_offsets":[0,0]}})"),
              HasSubstr("'dtype' stands twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0]}})"), HasSubstr("no field 'data_offsets'"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})"),
              HasSubstr("1 numbers, expected 2"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":0,"data_offsets":[0,0]}})"),
              HasSubstr("'shape' is an integer, expected an array of integers"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":["U8"],"shape":[0],"data_offsets":[0,0]}})"),
              HasSubstr("'dtype' is an array, expected a string"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})"),
              HasSubstr("'shape' is an array, expected integers"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[{}],"data_offsets":[0,0]}})"),
              HasSubstr("'shape' is an object"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1),
              HasSubstr("shape holds 1.0"));
  EXPECT_THAT(refusal(R"({"a":7})"), HasSubstr("'a' is an integer, expected an object"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"n":1}})"),
              HasSubstr("'n' is an integer, expected a string"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"n":{}}})"),
              HasSubstr("'n' is an object, expected a string"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"n":"","n":""}})"), HasSubstr("key 'n' stands twice"));
  EXPECT_THAT(
      refusal(
          R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})",
          1),
      HasSubstr("more than 16 numbers"));
}

TEST(Safetensors, EscapesHostileNamesInMessages) {
  EXPECT_THAT(refusal("{\"\\u001b[2J\":1}"), HasSubstr("'\\x1b[2J'"));
  EXPECT_THAT(refusal("{\"" + std::string(5000, 'n') + "\":1}"), HasSubstr("nnn... (5000 bytes)"));
}

// A file of tensors of one byte each: "a7" is tensor a of value 7.
std::string file_of(std::initializer_list<std::string_view> tensors) {
  std::string header, data;
  for (std::string_view t : tensors) {
    header += fmt::format(R"({}"{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          header.empty() ? "" : ",", t.substr(0, t.size() - 1), data.size(),
                          data.size() + 1);
    data += t.back();
  }
  std::string file = safetensors_file("{" + header + "}", 0);
  return file + data;
}

class CheckpointFolder : public ::testing::Test {
 protected:
  // What the folder gives: "a7 b8", a tensor that the index leaves out in brackets; or the error.
  std::string opened() {
    const auto source = open_checkpoint(folder_.path());
    if (!source.ok()) return source.error().text();
    EXPECT_TRUE(has_checkpoint(folder_.path()));
    std::vector<std::string> tensors;
    for (const TensorInfo& t : source->all()) {
      const std::string text =
          t.name + std::string(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size());
      tensors.push_back(t.is_listed ? text : "(" + text + ")");
      EXPECT_EQ(source->find(t.name), &t);
    }
    std::sort(tensors.begin(), tensors.end());
    return fmt::format("{}", fmt::join(tensors, " "));
  }
  void write_index(std::initializer_list<std::pair<const char*, const char*>> tensors,
                   const char* metadata = "{}") {
    std::string map;
    for (const auto& [name, file] : tensors)
      map += fmt::format(R"({}"{}":"{}")", map.empty() ? "" : ",", name, file);
    folder_.write(kSafetensorsIndex,
                  fmt::format(R"({{"metadata":{},"weight_map":{{{}}}}})", metadata, map));
  }

  TemporaryFolder folder_;
  Notices notices_;
};

TEST_F(CheckpointFolder, OpensShardsInTheOrderOfTheirNames) {
  folder_.write("2.safetensors", file_of({"a7"}));
  folder_.write("1.safetensors", file_of({"b8", "c9"}));
  write_index({{"a", "2.safetensors"}, {"b", "1.safetensors"}, {"c", "1.safetensors"}},
              R"({"total_size":3})");
  const auto source = open_checkpoint(folder_.path());
  ASSERT_TRUE(source.ok()) << source.error().text();
  EXPECT_EQ(source->total_bytes(), 3u);
  EXPECT_EQ(source->files().size(), 2u);
  ASSERT_EQ(source->all().size(), 3u);
  EXPECT_EQ(source->all()[0].name, "b");
  EXPECT_EQ(source->find("a")->file, source->files()[1].get());
  EXPECT_EQ(source->find("d"), nullptr);
  EXPECT_THAT(notices_.lines, ::testing::IsEmpty());
}

TEST_F(CheckpointFolder, TellsAnEmptyFolder) {
  EXPECT_FALSE(has_checkpoint(folder_.path()));
  EXPECT_THAT(
      opened(),
      HasSubstr("neither model.safetensors nor model.safetensors.index.json there; download"));
}

// vllm-project/vllm #30537, huggingface/transformers' save of one shard.
TEST_F(CheckpointFolder, AnIndexMayNameOneFileAlone) {
  folder_.write(kSafetensorsFile, file_of({"a7", "b8"}));
  write_index({{"a", kSafetensorsFile}, {"b", kSafetensorsFile}});
  EXPECT_EQ(opened(), "a7 b8");
  EXPECT_THAT(notices_.lines, ::testing::IsEmpty());
}

// JustVugg/colibri #1479: an overlay supersedes tensors that stay in the shards below it.
TEST_F(CheckpointFolder, TheIndexDecidesBetweenCopies) {
  folder_.write("model-00001-of-00002.safetensors", file_of({"a1", "b2"}));
  folder_.write("model-00002-of-00002.safetensors", file_of({"c3", "a4"}));
  folder_.write("model-overlay.safetensors", file_of({"b9"}));
  write_index({{"a", "model-00001-of-00002.safetensors"},
               {"b", "model-overlay.safetensors"},
               {"c", "model-00002-of-00002.safetensors"}});
  EXPECT_EQ(opened(), "a1 b9 c3");
}

// The same with the overlay called as a single file is.
TEST_F(CheckpointFolder, AnOverlayMayBeCalledModel) {
  folder_.write("model-00001-of-00001.safetensors", file_of({"a1", "b2"}));
  folder_.write(kSafetensorsFile, file_of({"b9"}));
  write_index({{"a", "model-00001-of-00001.safetensors"}, {"b", kSafetensorsFile}});
  EXPECT_EQ(opened(), "a1 b9");
}

// vllm-project/vllm #54230: shards that are used again hold more than the index takes from them.
TEST_F(CheckpointFolder, TensorsThatTheIndexLeavesOutAreMarked) {
  folder_.write("1.safetensors", file_of({"a1", "x5"}));
  folder_.write("2.safetensors", file_of({"b2", "x5"}));
  write_index({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
  EXPECT_EQ(opened(), "(x5) a1 b2");
  folder_.write("2.safetensors", file_of({"b2", "x6"}));
  EXPECT_THAT(opened(), HasSubstr("2.safetensors: tensor 'x' is in " + folder_.path() +
                                  "/1.safetensors too, and they differ"));
}

// Blaizzy/mlx-vlm #1464: a file of another kind beside the shards.
TEST_F(CheckpointFolder, AFileThatTheIndexDoesNotNameIsNotRead) {
  folder_.write("1.safetensors", file_of({"a1"}));
  folder_.write(kSafetensorsFile, file_of({"a9"}));
  folder_.write("consolidated.safetensors", file_of({"a8"}));
  write_index({{"a", "1.safetensors"}});
  EXPECT_EQ(opened(), "a1");
  ASSERT_EQ(notices_.lines.size(), 1u);
  EXPECT_THAT(
      notices_.lines.front(),
      HasSubstr(
          "/model.safetensors: not named by model.safetensors.index.json, so it is not read"));
}

// ddalcu/mlx-serve #465, Neph0s/CoSER #3, and a folder that was saved to again.
TEST_F(CheckpointFolder, AnIndexOfFilesThatAreAllGoneIsNotFollowed) {
  write_index(
      {{"a", "model-00001-of-00005.safetensors"}, {"b", "model-00002-of-00005.safetensors"}});
  EXPECT_THAT(
      opened(),
      HasSubstr("are missing: model-00001-of-00005.safetensors (1 tensors), model-00002-of-00005"));
  folder_.write("model-00001-of-00002.safetensors", file_of({"a1"}));
  EXPECT_THAT(opened(), HasSubstr("1 of 2 shards are there, missing are "
                                  "model-00002-of-00002.safetensors; incomplete download?"));
  folder_.write("model-00002-of-00002.safetensors", file_of({"b2"}));
  EXPECT_EQ(opened(), "a1 b2");
  folder_.write(kSafetensorsFile, file_of({"a7", "b8"}));
  notices_.lines.clear();
  EXPECT_EQ(opened(), "a7 b8");
  ASSERT_EQ(notices_.lines.size(), 2u);
  EXPECT_THAT(
      notices_.lines[0],
      HasSubstr("index.json: none of the files that it names is there, so it is not followed"));
  EXPECT_THAT(notices_.lines[1], HasSubstr("read alone, not the numbered shards beside it"));
}

// sgl-project/sglang #32279: some are there, so the download broke off.
TEST_F(CheckpointFolder, AnIndexOfWhichSomeFilesAreGoneIsAnError) {
  write_index(
      {{"a", "model-00001-of-00002.safetensors"}, {"b", "model-00002-of-00002.safetensors"}});
  folder_.write("model-00001-of-00002.safetensors", file_of({"a1"}));
  folder_.write(kSafetensorsFile, file_of({"a7", "b8"}));
  EXPECT_THAT(opened(), HasSubstr("are missing: model-00002-of-00002.safetensors (1 tensors); "
                                  "incomplete download? fetch the rest"));
}

TEST_F(CheckpointFolder, AnIndexThatNamesWhatAFileLacksIsAnError) {
  write_index({{"a", "1.safetensors"}, {"b", "2.safetensors"}, {"c", "2.safetensors"}});
  folder_.write("1.safetensors", file_of({"a1", "b2"}));
  folder_.write("2.safetensors", file_of({"d4"}));
  EXPECT_THAT(opened(), HasSubstr("2.safetensors: no tensor 'b', though "
                                  "model.safetensors.index.json names it there (2 missing)"));
}

// Metadata is wrong in many a converted checkpoint, and missing in others.
TEST_F(CheckpointFolder, MetadataOfAnIndexIsNotLookedAt) {
  folder_.write("1.safetensors", file_of({"a1"}));
  for (const char* metadata :
       {"null", "{}", R"({"total_size":-1})", R"({"total_size":"large"})", "[1]"}) {
    write_index({{"a", "1.safetensors"}}, metadata);
    EXPECT_EQ(opened(), "a1") << metadata;
  }
  folder_.write(kSafetensorsIndex, R"({"weight_map":{"a":"1.safetensors"}})");
  EXPECT_EQ(opened(), "a1");
}

// shamantechnology/xotorch #11, raven-ml/raven #136.
TEST_F(CheckpointFolder, NumberedShardsNeedNoIndex) {
  for (const char* stem : {"model", "pytorch_model", "model.safetensors", "weights-v2"}) {
    const TemporaryFolder folder;
    for (int i = 1; i <= 3; ++i)
      folder.write(fmt::format("{}-{:05}-of-00003.safetensors", stem, i),
                   file_of({fmt::format("t{}{}", i, i)}));
    const auto source = open_checkpoint(folder.path());
    ASSERT_TRUE(source.ok()) << source.error().text();
    EXPECT_EQ(source->all().size(), 3u) << stem;
  }
  // Counted from 0, and with a copy that is equal.
  folder_.write("model-00000-of-00002.safetensors", file_of({"a1", "b2"}));
  folder_.write("model-00001-of-00002.safetensors", file_of({"c3", "a1"}));
  EXPECT_EQ(opened(), "a1 b2 c3");
  folder_.write("model-00001-of-00002.safetensors", file_of({"c3", "a9"}));
  EXPECT_THAT(opened(), HasSubstr("tensor 'a' is in " + folder_.path() +
                                  "/model-00000-of-00002.safetensors too, and they differ"));
}

TEST_F(CheckpointFolder, NumberedShardsMustBeWhole) {
  folder_.write("model-00002-of-00004.safetensors", file_of({"a1"}));
  folder_.write("model-00004-of-00004.safetensors", file_of({"b1"}));
  EXPECT_THAT(opened(),
              HasSubstr("2 of 4 shards are there, missing are model-00001-of-00004.safetensors, "
                        "model-00003-of-00004.safetensors;"));
  const TemporaryFolder many;
  many.write("model-1-of-99999999999.safetensors", file_of({"a1"}));
  const auto opened_many = open_checkpoint(many.path());
  ASSERT_FALSE(opened_many.ok());
  EXPECT_THAT(opened_many.error().text(),
              HasSubstr("1 of 99999999999 shards are there, missing are"));
  EXPECT_THAT(opened_many.error().text(), HasSubstr(" and others; incomplete download?"));
  const TemporaryFolder twice;
  twice.write("model-1-of-1.safetensors", file_of({"a1"}));
  twice.write("model-00001-of-00001.safetensors", file_of({"a1"}));
  const auto opened_twice = open_checkpoint(twice.path());
  ASSERT_FALSE(opened_twice.ok());
  EXPECT_THAT(opened_twice.error().text(), HasSubstr("2 shards are named 'model-...-of-1'"));
}

// sgl-project/sglang #35107: two ways to split, side by side.
TEST_F(CheckpointFolder, OfTwoSetsOfShardsNoneIsGuessed) {
  folder_.write("model-00001-of-00001.safetensors", file_of({"a1"}));
  folder_.write("model-00001-of-00002.safetensors", file_of({"a1"}));
  folder_.write("model-00002-of-00002.safetensors", file_of({"b1"}));
  EXPECT_THAT(opened(),
              HasSubstr("no model.safetensors.index.json says which of these are the model: "
                        "model-00001-of-00001.safetensors, model-00001-of-00002.safetensors; move "
                        "the others away"));
}

// ggml-org/llama.cpp #17286: Mistral's own files beside the reference's.
TEST_F(CheckpointFolder, ShardsOfTheModelGoBeforeOthers) {
  folder_.write("model-00001-of-00001.safetensors", file_of({"a1"}));
  folder_.write("consolidated-00001-of-00001.safetensors", file_of({"a2"}));
  folder_.write("consolidated.safetensors", file_of({"a3"}));
  EXPECT_EQ(opened(), "a1");
}

TEST_F(CheckpointFolder, TheOnlyFileIsReadWhateverItsName) {
  folder_.write("model.fp16.safetensors", file_of({"a1"}));
  EXPECT_EQ(opened(), "a1");
  folder_.write("model.bf16.safetensors", file_of({"a1"}));
  EXPECT_THAT(
      opened(),
      HasSubstr("which of these are the model: model.bf16.safetensors, model.fp16.safetensors"));
}

// unslothai/unsloth #1061, huggingface/transformers #28688.
TEST_F(CheckpointFolder, AdaptersAreNoModel) {
  folder_.write("adapter_model.safetensors", file_of({"lora1"}));
  EXPECT_FALSE(has_checkpoint(folder_.path()));
  EXPECT_THAT(opened(), HasSubstr("'adapter_model.safetensors' is a LoRA adapter, which changes "
                                  "another model: give that one, and this folder with --lora"));
  folder_.write(kSafetensorsFile, file_of({"a1"}));
  EXPECT_EQ(opened(), "a1");
  ASSERT_EQ(notices_.lines.size(), 1u);
  EXPECT_THAT(notices_.lines.front(),
              HasSubstr("adapter_model.safetensors: a LoRA adapter, which is not applied"));
}

TEST_F(CheckpointFolder, SaysWhatOtherFormatsNeed) {
  const std::pair<const char*, const char*> files[] = {
      {"gemma-Q4_K_M.gguf", "GGUF, which holds a whole model: give the file itself"},
      {"pytorch_model.bin", "runs code when it is read"},
      {"pytorch_model-00001-of-00002.bin", "save_pretrained() it as safetensors"},
      {"consolidated.00.pth", "runs code when it is read"},
      {"tf_model.h5", "get the model as safetensors"},
      {"flax_model.msgpack", "get the model as safetensors"}};
  for (const auto& [name, remedy] : files) {
    const TemporaryFolder folder;
    folder.write("training_args.bin", "x");
    folder.write(name, "x");
    const auto source = open_checkpoint(folder.path());
    ASSERT_FALSE(source.ok()) << name;
    EXPECT_EQ(source.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(source.error().text(),
                AllOf(HasSubstr(std::string("'") + name + "' is "), HasSubstr(remedy)));
  }
}

// microsoft/OmniParser #34, deepseek-ai/DeepSeek-V3 #557: a clone without git-lfs.
TEST_F(CheckpointFolder, TellsAGitLfsPointer) {
  constexpr const char* kPointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4976698672\n";
  folder_.write(kSafetensorsFile, kPointer);
  EXPECT_THAT(
      opened(),
      HasSubstr("/model.safetensors: a git-lfs pointer, not the file itself; run 'git lfs pull'"));
  folder_.write(kSafetensorsIndex, kPointer);
  EXPECT_THAT(opened(), HasSubstr("/model.safetensors.index.json: a git-lfs pointer"));
}

TEST_F(CheckpointFolder, TellsAShardWithoutBytes) {
  folder_.write("model-00001-of-00001.safetensors", "");
  EXPECT_THAT(opened(), HasSubstr("model-00001-of-00001.safetensors: 0 bytes, too short for a "
                                  "safetensors file; incomplete download?"));
}

// huggingface/transformers #28041, karpathy/nanoGPT #325: what training wraps around a model.
TEST_F(CheckpointFolder, WrappersOfAllNamesAreTakenOff) {
  folder_.write(kSafetensorsFile, file_of({"module.a1", "module.b2"}));
  EXPECT_EQ(opened(), "a1 b2");
  folder_.write(kSafetensorsFile, file_of({"module._orig_mod.base_model.model.model.a1",
                                           "module._orig_mod.base_model.model.b2"}));
  EXPECT_EQ(opened(), "b2 model.a1");
  folder_.write(kSafetensorsFile, file_of({"_orig_mod.a1", "b2"}));
  EXPECT_EQ(opened(), "_orig_mod.a1 b2");
}

TEST_F(CheckpointFolder, RefusesAShardThatLinksOutOfTheFolder) {
  TemporaryFolder elsewhere;
  elsewhere.write("secret", file_of({"a1"}));
  std::filesystem::create_symlink(elsewhere.path() + "/secret",
                                  folder_.path() + "/model-1-of-1.safetensors");
  EXPECT_THAT(opened(), HasSubstr("outside the checkpoint's folder"));
  write_index({{"a", "model-1-of-1.safetensors"}});
  EXPECT_THAT(opened(), HasSubstr("outside the checkpoint's folder"));
}

TEST_F(CheckpointFolder, FollowsTheLinksOfAHuggingFaceCache) {
  namespace fs = std::filesystem;
  const fs::path repo(folder_.path()), snapshot = repo / "snapshots" / "c0ffee";
  fs::create_directories(snapshot);
  fs::create_directories(repo / "blobs");
  folder_.write("blobs/123", file_of({"a1"}));
  fs::create_symlink("../../blobs/123", snapshot / "model-1-of-1.safetensors");
  EXPECT_TRUE(open_checkpoint(snapshot.string()).ok());
  folder_.write("snapshots/c0ffee/model.safetensors.index.json",
                R"({"weight_map":{"a":"model-1-of-1.safetensors"}})");
  const auto source = open_checkpoint(snapshot.string());
  EXPECT_TRUE(source.ok()) << source.error().text();
}

TEST(SameValues, AreComparedAsTheTypesAllow) {
  const auto floats = [](std::initializer_list<float> values) {
    std::vector<std::byte> bytes(values.size() * 4);
    std::memcpy(bytes.data(), std::data(values), bytes.size());
    return bytes;
  };
  const auto halves = [](std::initializer_list<float> values) {
    std::vector<std::byte> bytes;
    for (float v : values) {
      const uint16_t bits = to_bf16(v).bits;
      bytes.push_back(static_cast<std::byte>(bits & 255u));
      bytes.push_back(static_cast<std::byte>(bits >> 8));
    }
    return bytes;
  };
  const auto a = floats({1, -2.5f, 3}), b = floats({1, -2.5f, 4}), c = halves({1, -2.5f, 3}),
             d = floats({1, -2.5f, 3.0001f});
  const auto tensor = [](const std::vector<std::byte>& bytes, DType dtype,
                         std::vector<int64_t> shape) {
    return TensorInfo{.name = "t", .dtype = dtype, .shape = std::move(shape), .bytes = bytes};
  };
  const TensorInfo t = tensor(a, DType::kF32, {3});
  EXPECT_TRUE(same_values(t, t));
  EXPECT_FALSE(same_values(t, tensor(b, DType::kF32, {3})));
  EXPECT_FALSE(same_values(t, tensor(a, DType::kF32, {3, 1})));
  EXPECT_FALSE(same_values(t, tensor(a, DType::kI32, {3})));
  EXPECT_TRUE(same_values(t, tensor(c, DType::kBF16, {3})));
  EXPECT_FALSE(same_values(tensor(d, DType::kF32, {3}), tensor(c, DType::kBF16, {3})));
}

TEST(SafetensorsIndex, RefusesNamesThatLeaveTheFolder) {
  for (const char* name :
       {"", ".", "..", "/etc/passwd", "../x", "sub/x", "..\\\\x", "x\\u0000", "x\\n"}) {
    const auto shards =
        parse_safetensors_index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name), "i");
    ASSERT_FALSE(shards.ok()) << name;
    EXPECT_THAT(shards.error().text(), HasSubstr("expected the plain name of a file")) << name;
  }
}

}  // namespace
}  // namespace longhaul
