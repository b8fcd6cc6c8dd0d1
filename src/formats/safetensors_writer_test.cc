#include "formats/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/formats_testing.h"
#include "formats/safetensors.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(const TensorInfo& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()};
}

TEST(SafetensorsWriter, WritesPiecesThatReadBackEqual) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/x.safetensors";
  auto writer = SafetensorsWriter::create(path, {{"w \"q\"\n", DType::kF32, {1, 2}},
                                                 {"empty", DType::kF32, {0}},
                                                 {"scalar", DType::kU8, {}},
                                                 {"f4", DType::kF4, {2}}});
  ASSERT_TRUE(writer.ok()) << writer.error().text();
  ASSERT_TRUE(writer->write("w \"q\"\n", bytes_of("abc")).ok());
  ASSERT_TRUE(writer->write("w \"q\"\n", bytes_of("defgh")).ok());
  ASSERT_TRUE(writer->write("empty", {}).ok());
  ASSERT_TRUE(writer->write("scalar", bytes_of("i")).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(writer->write("f4", bytes_of("j")).ok());
  ASSERT_TRUE(writer->finish().ok());

  const auto source = open_safetensors(path);
  ASSERT_TRUE(source.ok()) << source.error().text();
  EXPECT_EQ(text_of(*source->find("w \"q\"\n")), "abcdefgh");
  EXPECT_EQ(source->find("w \"q\"\n")->shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(text_of(*source->find("scalar")), "i");
  EXPECT_EQ(text_of(*source->find("f4")), "j");
  EXPECT_EQ(source->find("empty")->bytes.size(), 0u);
  EXPECT_TRUE(is_aligned(*source->find("w \"q\"\n")));
}

TEST(SafetensorsWriter, RefusesBytesThatWereNotDeclared) {
  TemporaryFolder folder;
  auto writer = SafetensorsWriter::create(folder.path() + "/x",
                                          {{"a", DType::kU8, {2}}, {"b", DType::kU8, {1}}});
  ASSERT_TRUE(writer.ok());
  EXPECT_THAT(writer->write("b", bytes_of("x")).error().text(),
              HasSubstr("out of the declared order, expected 'a'"));
  EXPECT_THAT(writer->write("a", bytes_of("xyz")).error().text(), HasSubstr("3 bytes with 2 left"));
  EXPECT_THAT(writer->finish().error().text(), HasSubstr("tensor 'a' lacks 2 bytes"));
  ASSERT_TRUE(writer->write("a", bytes_of("xy")).ok());
  ASSERT_TRUE(writer->write("b", bytes_of("z")).ok());
  EXPECT_THAT(writer->write("b", bytes_of("z")).error().text(),
              HasSubstr("expected 'no more data'"));
}

TEST(SafetensorsWriter, RefusesBadDeclarations) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/x";
  EXPECT_FALSE(
      SafetensorsWriter::create(path, {{"a", DType::kU8, {}}, {"a", DType::kU8, {}}}).ok());
  EXPECT_FALSE(SafetensorsWriter::create(path, {{"__metadata__", DType::kU8, {}}}).ok());
  EXPECT_FALSE(SafetensorsWriter::create(path, {{"a", DType::kU8, {-1}}}).ok());
  EXPECT_FALSE(SafetensorsWriter::create(path, {{"a", DType::kF4, {3}}}).ok());
  EXPECT_FALSE(SafetensorsWriter::create(path, {{"a", DType::kU8, {INT64_MAX}},
                                                {"b", DType::kU8, {INT64_MAX}},
                                                {"c", DType::kU8, {2}}})
                   .ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SafetensorsWriter, LeavesNothingBehindWhenAbandoned) {
  TemporaryFolder folder;
  {
    auto writer = SafetensorsWriter::create(folder.path() + "/x", {{"a", DType::kU8, {2}}});
    ASSERT_TRUE(writer.ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(CheckpointWriter, ShardsByDeclaredBytes) {
  TemporaryFolder folder;
  auto writer = CheckpointWriter::create(folder.path() + "/new",
                                         {{"a", DType::kU8, {3}},
                                          {"b", DType::kU8, {2}},
                                          {"large", DType::kU8, {9}},
                                          {"c", DType::kU8, {0}}},
                                         5);
  ASSERT_TRUE(writer.ok()) << writer.error().text();
  ASSERT_TRUE(writer->write("a", bytes_of("aaa")).ok());
  ASSERT_TRUE(writer->write("b", bytes_of("bb")).ok());
  ASSERT_TRUE(writer->write("large", bytes_of("123456789")).ok());
  ASSERT_TRUE(writer->finish().ok());
  for (const char* name : {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                           "model-00003-of-00003.safetensors"}) {
    EXPECT_TRUE(std::filesystem::exists(folder.path() + "/new/" + name)) << name;
  }
  const auto source = open_checkpoint(folder.path() + "/new");
  ASSERT_TRUE(source.ok()) << source.error().text();
  EXPECT_EQ(source->total_bytes(), 14u);
  EXPECT_EQ(text_of(*source->find("b")), "bb");
  EXPECT_EQ(text_of(*source->find("large")), "123456789");
}

TEST(CheckpointWriter, KeepsASmallModelInOneFile) {
  TemporaryFolder folder;
  auto writer = CheckpointWriter::create(folder.path(), {{"a", DType::kU8, {1}}});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->write("a", bytes_of("a")).ok());
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_TRUE(open_safetensors(folder.path() + "/model.safetensors").ok());
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/model.safetensors.index.json"));
  EXPECT_THAT(CheckpointWriter::create(folder.path(), {}).error().text(),
              HasSubstr("holds a model.safetensors already"));
}

TEST(CheckpointWriter, WritesNoIndexBeforeAllTensorsAreThere) {
  TemporaryFolder folder;
  auto writer =
      CheckpointWriter::create(folder.path(), {{"a", DType::kU8, {1}}, {"b", DType::kU8, {1}}}, 1);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->write("a", bytes_of("a")).ok());
  EXPECT_THAT(writer->write("c", bytes_of("b")).error().text(), HasSubstr("expected 'b'"));
  EXPECT_THAT(writer->finish().error().text(), HasSubstr("'b' lacks 1 bytes"));
  EXPECT_THAT(open_checkpoint(folder.path()).error().text(),
              HasSubstr("1 of 2 shards are there, missing are model-00002-of-00002.safetensors"));
}

}  // namespace
}  // namespace longhaul
