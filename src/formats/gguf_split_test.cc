// Split files on disk, and single ones.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/formats_testing.h"
#include "formats/gguf.h"
#include "formats/gguf_testing.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

// What a part says of itself, in the types that splitting writes.
std::vector<std::string> split_keys(uint16_t no, uint16_t count, int32_t n_tensors) {
  return {gguf_value("split.no", GgufValueType::kU16, no),
          gguf_value("split.count", GgufValueType::kU16, count),
          gguf_value("split.tensors.count", GgufValueType::kI32, n_tensors)};
}

std::string part_name(int number, int total = 3) {
  return fmt::format("m-{:05}-of-{:05}.gguf", number, total);
}

// Three parts: the metadata alone, then the tensors a and b, then c.
class SplitGguf : public ::testing::Test {
 protected:
  SplitGguf() {
    for (uint16_t no = 0; no < 3; ++no) parts_[no].values = split_keys(no, 3, 3);
    parts_[0].values.push_back(gguf_text("general.architecture", "toy"));
    parts_[1].tensors = {{"b", {1}, 24, "b"}, {"a", {1}, 24, "a"}};
    parts_[2].tensors = {{"c", {32}, 2, std::string(18, 'c')}};
  }

  void write() {
    for (int no = 0; no < 3; ++no) folder_.write(part_name(no + 1), parts_[no].text());
  }
  std::string path(std::string_view name) const { return folder_.path() + "/" + std::string(name); }
  // What opening a file of the folder gives: the tensors' names in their order, or the error
  // without the folder.
  std::string opened(std::string_view name) {
    const auto source = open_gguf(path(name));
    if (!source.ok()) {
      std::string text = source.error().text();
      for (size_t at; (at = text.find(folder_.path() + "/")) != text.npos;)
        text.erase(at, folder_.path().size() + 1);
      return text;
    }
    std::string names;
    for (const GgufTensor& tensor : source->all()) {
      EXPECT_EQ(source->find(tensor.name), &tensor);
      EXPECT_EQ(std::to_integer<char>(tensor.bytes[0]), tensor.name[0]);
      EXPECT_THAT(tensor.file->path(), HasSubstr(folder_.path()));
      names += tensor.name;
    }
    EXPECT_EQ(source->find("none"), nullptr);
    EXPECT_THAT(source->metadata().find("general.architecture")->as_string(),
                Optional(std::string_view("toy")));
    return names;
  }
  std::string written(std::string_view name) {
    write();
    return opened(name);
  }

  GgufTestFile parts_[3];
  TemporaryFolder folder_;
};

TEST_F(SplitGguf, AnyPartOpensAll) {
  write();
  for (int number = 1; number <= 3; ++number) EXPECT_EQ(opened(part_name(number)), "bac") << number;
}

TEST_F(SplitGguf, StaysWhereItIsWhenMoved) {
  write();
  auto opened = open_gguf(path(part_name(2)));
  ASSERT_TRUE(opened.ok()) << opened.error().text();
  const GgufTensor* c = opened->find("c");
  const GgufSource moved = std::move(*opened);
  EXPECT_EQ(moved.find("c"), c);
  EXPECT_EQ(c->file, moved.files()[2].get());
  EXPECT_EQ(c->bytes.data() + c->bytes.size(), c->file->bytes().data() + c->file->bytes().size());
}

TEST_F(SplitGguf, ASingleFileHasAnyName) {
  parts_[1].values = {gguf_text("general.architecture", "toy")};
  folder_.write("model", parts_[1].text());
  EXPECT_EQ(opened("model"), "ba");
  folder_.write(part_name(1, 1), parts_[1].text());
  EXPECT_EQ(opened(part_name(1, 1)), "ba") << "called the only part, without keys";
  parts_[1].values = split_keys(0, 1, 2);
  parts_[1].values.push_back(gguf_text("general.architecture", "toy"));
  folder_.write("one.gguf", parts_[1].text());
  EXPECT_EQ(opened("one.gguf"), "ba") << "split into one part, then renamed";
}

TEST_F(SplitGguf, ListsThePartsThatAreMissing) {
  write();
  std::filesystem::remove(path(part_name(1)));
  std::filesystem::remove(path(part_name(3)));
  EXPECT_EQ(opened(part_name(2)), folder_.path() +
                                      ": 2 of 3 parts are missing: m-00001-of-00003.gguf, "
                                      "m-00003-of-00003.gguf; incomplete download? fetch the rest");
  parts_[2].values = split_keys(2, 1000, 3);
  folder_.write(part_name(3, 1000), parts_[2].text());
  EXPECT_THAT(
      opened(part_name(3, 1000)),
      HasSubstr(
          ": 999 of 1000 parts are missing: m-00001-of-01000.gguf, m-00002-of-01000.gguf, "
          "m-00004-of-01000.gguf, m-00005-of-01000.gguf, m-00006-of-01000.gguf and others; "));
}

TEST_F(SplitGguf, APartMustBeNamedAsWhatItIs) {
  folder_.write("first.gguf", parts_[0].text());
  EXPECT_EQ(opened("first.gguf"),
            "first.gguf: holds part 1 of 3, and is not named so; name it NAME-00001-of-00003.gguf");
  folder_.write(part_name(2), parts_[0].text());
  EXPECT_EQ(opened(part_name(2)),
            "m-00002-of-00003.gguf: holds part 1 of 3, and is not named so; name it "
            "m-00001-of-00003.gguf");
  folder_.write("m-1-of-3.gguf", parts_[0].text());
  EXPECT_THAT(opened("m-1-of-3.gguf"), HasSubstr("is not named so; name it NAME-00001"));
  parts_[0].values = {gguf_text("general.architecture", "toy")};
  EXPECT_EQ(written(part_name(1)),
            "m-00001-of-00003.gguf: named as part 1 of 3, but has no key split.no; download the "
            "parts again, or rename the file if it is whole");
}

TEST_F(SplitGguf, PartsOfDifferentFilesAreNotMixed) {
  parts_[2].values = split_keys(2, 3, 4);
  EXPECT_EQ(written(part_name(1)),
            "m-00003-of-00003.gguf: part 3 of 3 with 4 tensors in all, expected part 3 of 3 with "
            "3: parts of different files; download all parts again");
  parts_[2].values = split_keys(1, 3, 3);
  EXPECT_THAT(
      written(part_name(1)),
      HasSubstr("m-00003-of-00003.gguf: part 2 of 3 with 3 tensors in all, expected part 3 of 3"));
  parts_[2].values = split_keys(2, 4, 3);
  EXPECT_THAT(written(part_name(1)), HasSubstr("m-00003-of-00003.gguf: part 3 of 4 with"));
  parts_[2].values.clear();
  EXPECT_THAT(written(part_name(1)),
              HasSubstr("m-00003-of-00003.gguf: no key split.no, so it is no part"));
}

TEST_F(SplitGguf, MetadataThatIsRepeatedMustAgree) {
  parts_[2].values.push_back(gguf_text("general.architecture", "toy"));
  parts_[2].values.push_back(gguf_value("general.alignment", GgufValueType::kU32, 32u));
  EXPECT_EQ(written(part_name(1)), "bac");
  parts_[1].values.push_back(gguf_text("general.architecture", "other"));
  EXPECT_EQ(written(part_name(3)),
            "m-00002-of-00003.gguf: key 'general.architecture' is not that of "
            "m-00001-of-00003.gguf: parts of different models; download all parts again");
  parts_[1].values.back() = gguf_text("general.name", "x");
  EXPECT_THAT(written(part_name(3)), HasSubstr("key 'general.name' is not that of m-00001"));
}

TEST_F(SplitGguf, AllTensorsAreThereOnce) {
  for (GgufTestFile& part : parts_) part.values[2] = split_keys(0, 3, 4)[2];
  EXPECT_EQ(written(part_name(1)),
            "m-00001-of-00003.gguf: 3 tensors in all parts, expected split.tensors.count 4; "
            "download all parts again");
  for (GgufTestFile& part : parts_) part.values[2] = split_keys(0, 3, -1)[2];
  EXPECT_THAT(written(part_name(1)),
              HasSubstr("3 tensors in all parts, expected split.tensors.count -1"));
  for (GgufTestFile& part : parts_) part.values[2] = split_keys(0, 3, 3)[2];
  parts_[2].tensors[0].name = "a";
  EXPECT_EQ(written(part_name(1)),
            "m-00003-of-00003.gguf: tensor 'a' is in m-00002-of-00003.gguf too; download all parts "
            "again");
}

TEST_F(SplitGguf, RefusesKeysThatMeanNothing) {
  const std::pair<uint16_t, uint16_t> wrong[] = {{0, 0}, {3, 3}, {65535, 3}, {0, 1001}};
  for (const auto& [no, count] : wrong) {
    parts_[0].values = split_keys(no, count, 3);
    EXPECT_THAT(written(part_name(1)),
                HasSubstr(fmt::format("m-00001-of-00003.gguf: split.no is {} and split.count {}, "
                                      "expected a part of 1 to 1000, counted from 0;",
                                      no, count)));
  }
  parts_[0].values = {
      gguf_value("split.no", GgufValueType::kI64, std::numeric_limits<int64_t>::max()),
      split_keys(0, 3, 3)[1], split_keys(0, 3, 3)[2]};
  EXPECT_THAT(written(part_name(1)), HasSubstr("split.no is 9223372036854775807 and"));
  parts_[0].values[0] = gguf_text("split.no", "0");
  EXPECT_THAT(written(part_name(1)), HasSubstr("split.no is string, expected an integer"));
  parts_[0].values.pop_back();
  parts_[0].values[0] = split_keys(0, 3, 3)[0];
  EXPECT_THAT(written(part_name(1)),
              HasSubstr("split.tensors.count is missing, expected an integer"));
}

TEST_F(SplitGguf, TellsADamagedPartByItsName) {
  write();
  folder_.write(part_name(3), parts_[2].text().substr(0, 100));
  EXPECT_THAT(opened(part_name(1)), testing::AllOf(HasSubstr("m-00003-of-00003.gguf: "),
                                                   HasSubstr("incomplete download?")));
  EXPECT_EQ(open_gguf(path("none.gguf")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(open_gguf(folder_.path()).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace longhaul
