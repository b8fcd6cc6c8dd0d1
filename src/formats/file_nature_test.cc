#include "formats/file_nature.h"

#include <gtest/gtest.h>

#include <string>

namespace longhaul {
namespace {

using namespace std::string_view_literals;

FileNature nature(std::string_view name, std::string_view bytes) {
  return nature_of(name, std::as_bytes(std::span(bytes)), bytes.size());
}

TEST(FileNature, IsToldFromTheFirstBytes) {
  EXPECT_EQ(nature("a.gguf", "GGUF\3\0\0\0"sv), FileNature::kGguf);
  EXPECT_EQ(nature("a.safetensors", "\x10\0\0\0\0\0\0\0{\"a\""sv), FileNature::kSafetensors);
  EXPECT_EQ(nature("a.gguf", "tjgg\1\0\0\0"sv), FileNature::kOldGgml);
  EXPECT_EQ(nature("a.bin", "\x80\2}q"sv), FileNature::kPickle);
  EXPECT_EQ(nature("a.bin", "PK\3\4......archive/data.pkl"sv), FileNature::kPickle);
  EXPECT_EQ(nature("a.zip", "PK\3\4......model.gguf"sv), FileNature::kArchive);
  EXPECT_EQ(nature("a.gz", "\x1f\x8b\x08"sv), FileNature::kArchive);
  EXPECT_EQ(nature("a.tar", std::string(257, 'n') + "ustar\0 "), FileNature::kArchive);
  EXPECT_EQ(nature("a.json", " {\"model_type\": 1}"sv), FileNature::kJson);
  EXPECT_EQ(nature("a.txt", "Some words.\n"sv), FileNature::kText);
  EXPECT_EQ(nature("a.dat", "\1\2\3\4"sv), FileNature::kOther);
  EXPECT_EQ(nature("a.dat", ""sv), FileNature::kEmpty);
}

TEST(FileNature, OfWhatServersSendInstead) {
  EXPECT_EQ(nature("a.gguf", "version https://git-lfs.github.com/spec/v1\noid"sv),
            FileNature::kLfsPointer);
  EXPECT_EQ(nature("a.gguf", "\xef\xbb\xbf \n<!DOCTYPE HTML>"sv), FileNature::kWebPage);
  EXPECT_EQ(nature("a.gguf", "<?xml version=\"1.0\"?><Error>"sv), FileNature::kWebPage);
  EXPECT_EQ(nature("a.gguf", "Entry not found"sv), FileNature::kErrorMessage);
  EXPECT_EQ(nature("a.json", "{\"error\":\"gated\"}"sv), FileNature::kErrorMessage);
}

TEST(FileNature, OfWhatDownloadersHaveNotFinished) {
  for (const char* name : {"a.gguf.part", "a.gguf.crdownload", "0f.incomplete", "a.gguf.aria2"})
    EXPECT_EQ(nature(name, "GGUF"sv), FileNature::kUnfinished) << name;
  EXPECT_EQ(nature("partial.gguf", "GGUF"sv), FileNature::kGguf);
}

TEST(FileNature, SaysWhatToDoWhereSomethingIsWrong) {
  for (const FileNature fine : {FileNature::kOther, FileNature::kSafetensors, FileNature::kGguf,
                                FileNature::kJson, FileNature::kText})
    EXPECT_TRUE(remedy_of(fine).empty()) << to_string(fine);
  for (const FileNature wrong :
       {FileNature::kEmpty, FileNature::kUnfinished, FileNature::kLfsPointer, FileNature::kWebPage,
        FileNature::kErrorMessage, FileNature::kOldGgml, FileNature::kPickle, FileNature::kArchive})
    EXPECT_FALSE(remedy_of(wrong).empty()) << to_string(wrong);
}

}  // namespace
}  // namespace longhaul
