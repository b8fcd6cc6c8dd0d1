#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

Result<GgufHeader> parse(std::string_view file) {
  return parse_gguf_header(std::as_bytes(std::span(file)), "m");
}

std::string refusal(const GgufTestFile& file) {
  const std::string text = file.text();
  const auto parsed = parse(text);
  return parsed.ok() ? "accepted" : parsed.error().text();
}

// Two keys, and three tensors of which the second ends within its alignment.
GgufTestFile good_file() {
  return {.values = {gguf_text("general.architecture", "toy"),
                     gguf_value("toy.block_count", GgufValueType::kU32, 2u)},
          .tensors = {{"a", {4, 2}, 0, std::string(32, 'a')},
                      {"b", {32}, 2, std::string(18, 'b')},
                      {"c", {256, 2}, 14, std::string(420, 'c')}}};
}

TEST(Gguf, ReadsKeysAndTensorsInPlace) {
  for (const uint32_t version : {2u, 3u}) {
    GgufTestFile file = good_file();
    file.version = version;
    const std::string text = file.text();
    const auto parsed = parse(text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().text();
    EXPECT_EQ(parsed->version, version);
    EXPECT_EQ(parsed->alignment, 32u);
    EXPECT_THAT(parsed->metadata.find("general.architecture")->as_string(),
                Optional(std::string_view("toy")));
    EXPECT_THAT(parsed->metadata.find("toy.block_count")->as_int(), Optional(2));
    EXPECT_EQ(parsed->metadata.find("toy.block_coun"), nullptr);
    ASSERT_EQ(parsed->tensors.size(), 3u);
    const GgufTensor& c = parsed->tensors[2];
    EXPECT_EQ(c.name, "c");
    EXPECT_EQ(c.type, GgufType::kQ6_K);
    EXPECT_THAT(c.shape(), ElementsAre(2, 256)) << "a row comes last";
    EXPECT_EQ(c.bytes.size(), 420u);
    EXPECT_EQ(reinterpret_cast<const char*>(c.bytes.data()), &text[text.size() - 420]);
  }
}

TEST(Gguf, TensorsMayStandInAnyOrder) {
  GgufTestFile file = good_file();
  file.tensors[0].offset = 32;
  file.tensors[1].offset = 0;
  const std::string text = file.text();
  const auto parsed = parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.error().text();
  EXPECT_EQ(parsed->tensors[0].name, "b");
  EXPECT_EQ(parsed->tensors[1].name, "a");
}

TEST(Gguf, AFileMayHoldNoTensorsAndNoKeys) {
  EXPECT_EQ(refusal({}), "accepted");
  GgufTestFile file = good_file();
  file.tensors.clear();
  EXPECT_EQ(refusal(file), "accepted");
  EXPECT_TRUE(parse(file.text() + std::string(31, '\0')).ok()) << "padded as for tensors";
}

TEST(Gguf, PaddingMayFollowTheLastTensor) {
  EXPECT_TRUE(parse(good_file().text() + std::string(31, '\0')).ok());
  const auto parsed = parse(good_file().text() + std::string(32, '\0'));
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().text(),
              HasSubstr("m: 32 bytes behind the last tensor, which ends at byte "));
}

TEST(Gguf, AlignsAsTheFileSays) {
  for (const uint32_t alignment : {1u, 8u, 4096u, 65536u}) {
    GgufTestFile file = good_file();
    file.alignment = alignment;
    file.values.push_back(gguf_value("general.alignment", GgufValueType::kU32, alignment));
    const std::string text = file.text();
    const auto parsed = parse(text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().text();
    EXPECT_EQ(parsed->alignment, alignment);
    EXPECT_EQ(std::to_integer<char>(parsed->tensors[1].bytes.front()), 'b');
  }
}

// The commonest damage: a download that stopped.
TEST(Gguf, RefusesEveryBeginningOfAFile) {
  const std::string text = good_file().text();
  for (size_t n = 0; n < text.size(); ++n) {
    const auto parsed = parse(std::string_view(text).substr(0, n));
    ASSERT_FALSE(parsed.ok()) << n << " of " << text.size() << " bytes were accepted";
    EXPECT_EQ(parsed.error().code, ErrorCode::kCorruptFile);
    EXPECT_FALSE(parsed.error().remedy.empty());
  }
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  GgufTestFile file = good_file();
  file.magic = "GGML";
  EXPECT_THAT(refusal(file), HasSubstr("m: begins with 'GGML', expected 'GGUF'; not a GGUF file?"));
  file = good_file();
  for (const uint32_t version : {0u, 1u}) {
    file.version = version;
    EXPECT_EQ(refusal(file),
              fmt::format("m: GGUF version {}, expected 2 or 3; get a newer file", version));
  }
  file.version = 4;
  EXPECT_THAT(refusal(file), HasSubstr("GGUF version 4, expected 2 or 3; get one of an older"));
  file.version = 0x03000000;
  EXPECT_THAT(refusal(file),
              HasSubstr("a big-endian file, made for other machines; get the little"));
}

// CVE-2024-23496, -21836, -21825, -23605: counts and lengths that were believed.
TEST(Gguf, CountsNothingThatTheFileDoesNotHold) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const int64_t n : {kMax, int64_t{-1}, int64_t{1} << 32, int64_t{1'000'001}}) {
    GgufTestFile file = good_file();
    file.n_tensors = n;
    EXPECT_THAT(refusal(file), HasSubstr(fmt::format("m: {} tensors, expected 0 to 1000000;", n)));
    file = good_file();
    file.n_values = n;
    EXPECT_THAT(refusal(file), HasSubstr(fmt::format("m: {} keys, expected 0 to 100000;", n)));
  }
  GgufTestFile file = good_file();
  file.n_values = 100'000;
  EXPECT_THAT(refusal(file),
              HasSubstr("m: 100000 keys take at least 1400000 bytes, but the file ends"));
  file = good_file();
  file.n_tensors = 1'000'000;
  EXPECT_THAT(refusal(file), HasSubstr("m: 1000000 tensors take at least 33000000 bytes, but the"));
  file = good_file();
  file.n_values = 3;  // the first tensor is read as a key, and the rest of it as another tensor
  EXPECT_THAT(refusal(file), HasSubstr("m: tensor number 0: the name at byte 121 takes"));
  file = good_file();
  file.n_tensors = 4;
  EXPECT_THAT(refusal(file), HasSubstr("m: tensor number 3: "));
}

TEST(Gguf, BelievesNoLength) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  for (const uint64_t length :
       {huge, huge - 7, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{26}}) {
    const std::string takes = fmt::format("takes {} bytes, but the file ends after", length);
    GgufTestFile file;
    file.values = {raw_string("general.name", length) + raw(8u) + raw_string("x")};
    EXPECT_THAT(refusal(file), HasSubstr("m: key number 0: the name at byte 32 " + takes));
    file.values = {raw_value("k", 8, raw_string("some text", length))};
    EXPECT_THAT(refusal(file), HasSubstr("m: key 'k': the value at byte 45 " + takes));
    file.values = {raw_array("k", 8, 2, raw_string("") + raw_string("some text", length))};
    EXPECT_THAT(refusal(file), HasSubstr("m: key 'k': a string of the array at byte 65 " + takes));
  }
}

TEST(Gguf, BelievesNoLengthOfAnArray) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  const std::string elements(64, '\0');
  for (const uint64_t n :
       {uint64_t{9}, uint64_t{1'000'000'000}, huge / 8 + 1, huge / 8 + 2, huge}) {
    GgufTestFile file;
    for (const uint32_t type : {8u, 10u, 11u, 12u}) {  // string and those of eight bytes
      file.values = {raw_array("k", type, n, elements)};
      EXPECT_THAT(refusal(file), HasSubstr(fmt::format("m: key 'k': {} values of type", n)));
      EXPECT_THAT(refusal(file),
                  HasSubstr("but the file ends after 64 bytes; incomplete download?"));
    }
  }
}

TEST(Gguf, HoldsAnArrayToTheByte) {
  GgufTestFile file;
  file.values = {raw_array("k", 0, 64, std::string(64, '\0'))};
  EXPECT_EQ(refusal(file), "accepted");
  file.values = {raw_array("k", 0, 65, std::string(64, '\0'))};
  EXPECT_THAT(refusal(file),
              HasSubstr("m: key 'k': 65 values of type u8 at byte 49, but the file"));
}

TEST(Gguf, RefusesTypesOfValuesThatItDoesNotKnow) {
  GgufTestFile file;
  for (const uint32_t type : {13u, 256u, 0x80000000u, 0xffffffffu}) {
    file.values = {raw_value("k", type, raw(0.0))};
    EXPECT_THAT(refusal(file),
                HasSubstr(fmt::format("m: key 'k': a value of type {}, expected 0", type)));
    file.values = {raw_array("k", type, 0, "")};
    EXPECT_THAT(refusal(file),
                HasSubstr(fmt::format("m: key 'k': a value of type {}, expected 0", type)));
  }
  file.values = {raw_array("k", 9, 1, raw(0u) + raw(uint64_t{0}))};
  EXPECT_THAT(refusal(file), HasSubstr("m: key 'k': arrays of arrays are not read; "));
  file.values = {raw_value("k", 7, "\2")};
  EXPECT_THAT(refusal(file), HasSubstr("m: key 'k': a bool that is neither 0 nor 1"));
  file.values = {raw_array("k", 7, 3, std::string_view("\0\1\xff", 3))};
  EXPECT_THAT(refusal(file), HasSubstr("m: key 'k': a bool that is neither 0 nor 1"));
}

TEST(Gguf, RefusesNamesThatOthersMayReadOtherwise) {
  GgufTestFile file;
  const auto with_key = [&](std::string_view key) {
    file = {.values = {gguf_text(key, "x")}};
    return refusal(file);
  };
  EXPECT_THAT(with_key(""), HasSubstr("m: key number 0: a name of 0 bytes, expected 1 to 65535"));
  EXPECT_EQ(with_key(std::string(65535, 'k')), "accepted");
  EXPECT_THAT(with_key(std::string(65536, 'k')), HasSubstr("a name of 65536 bytes, expected 1 to"));
  EXPECT_THAT(with_key(std::string_view("a\0b", 3)), HasSubstr("NUL byte in the name 'a\\x00b'"));
  EXPECT_THAT(with_key("a\xff"), HasSubstr("m: key number 0: the name is not UTF-8 at byte 33"));
  const auto with_tensor = [&](std::string_view name) {
    file = {.tensors = {{std::string(name), {1}, 24, "x"}}};
    return refusal(file);
  };
  EXPECT_THAT(with_tensor(""),
              HasSubstr("m: tensor number 0: a name of 0 bytes, expected 1 to 255"));
  EXPECT_EQ(with_tensor(std::string(255, 't')), "accepted");
  EXPECT_THAT(with_tensor(std::string(256, 't')),
              HasSubstr("a name of 256 bytes, expected 1 to 255"));
  EXPECT_THAT(with_tensor(std::string_view("a\0b", 3)), HasSubstr("NUL byte in the name"));
  EXPECT_THAT(with_tensor("\xc0\x80"), HasSubstr("the name is not UTF-8 at byte 32"));
}

TEST(Gguf, RefusesTextThatIsNotUtf8) {
  GgufTestFile file;
  file.values = {gguf_text("k", "ab\xff")};
  EXPECT_THAT(refusal(file), HasSubstr("m: key 'k': the value is not UTF-8 at byte 47"));
  file.values = {raw_array("k", 8, 2, raw_string("ab") + raw_string("\xed\xa0\x80"))};
  EXPECT_THAT(refusal(file),
              HasSubstr("m: key 'k': a string of the array is not UTF-8 at byte 67"));
}

TEST(Gguf, RefusesWhatStandsTwice) {
  GgufTestFile file = good_file();
  file.values.push_back(gguf_text("general.architecture", "toy"));
  EXPECT_THAT(refusal(file), HasSubstr("m: key 'general.architecture' stands twice; download or"));
  file = good_file();
  file.tensors[2].name = "a";
  EXPECT_THAT(refusal(file), HasSubstr("m: tensor 'a' stands twice; download or convert"));
}

// As many names must not take the square of their number.
TEST(Gguf, FindsWhatStandsTwiceAmongMany) {
  GgufTestFile file{.alignment = 1};
  file.values = {gguf_value("general.alignment", GgufValueType::kU32, 1u)};
  for (int i = 0; i < 200'000; ++i) file.tensors.push_back({std::to_string(i), {1}, 24, "x"});
  EXPECT_EQ(refusal(file), "accepted");
  file.tensors.back().name = "7";
  EXPECT_THAT(refusal(file), HasSubstr("m: tensor '7' stands twice"));
}

TEST(Gguf, RefusesAlignmentsThatAreNone) {
  const auto with = [](const std::string& value) {
    GgufTestFile file = good_file();
    file.values.push_back(value);
    return refusal(file);
  };
  for (const uint32_t alignment : {0u, 3u, 33u, 131072u, 1u << 31, 0xffffffffu}) {
    EXPECT_THAT(with(gguf_value("general.alignment", GgufValueType::kU32, alignment)),
                HasSubstr(fmt::format("m: general.alignment is {}, expected a power of two of at "
                                      "most 65536",
                                      alignment)));
  }
  EXPECT_THAT(with(gguf_value("general.alignment", GgufValueType::kI32, 32)),
              HasSubstr("m: general.alignment is i32, expected u32"));
  EXPECT_THAT(with(gguf_value("general.alignment", GgufValueType::kU64, uint64_t{32})),
              HasSubstr("m: general.alignment is u64, expected u32"));
  EXPECT_THAT(with(raw_array("general.alignment", 4, 1, raw(32u))),
              HasSubstr("m: general.alignment is array of u32, expected u32"));
}

// CVE-2025-53630, CVE-2026-27940, CVE-2026-33298: shapes whose products wrap.
TEST(Gguf, RefusesShapesThatWrap) {
  const auto with = [](std::vector<int64_t> dims, uint32_t type) {
    GgufTestFile file = good_file();
    file.tensors[0].dims = std::move(dims);
    file.tensors[0].type = type;
    return refusal(file);
  };
  constexpr int64_t k32 = int64_t{1} << 32, kMax = std::numeric_limits<int64_t>::max();
  constexpr const char* kTooMany = " has more than 2^63 - 1 elements";
  EXPECT_THAT(with({k32, k32}, 0),
              HasSubstr("m: tensor 'a': shape [4294967296, 4294967296] has more"));
  EXPECT_THAT(with({k32, k32, 4}, 24), HasSubstr(kTooMany));
  EXPECT_THAT(with({kMax, 2}, 24), HasSubstr(kTooMany));
  EXPECT_THAT(with({kMax, kMax, kMax, kMax}, 24), HasSubstr(kTooMany));
  EXPECT_THAT(with({int64_t{1} << 16, int64_t{1} << 16, int64_t{1} << 16, int64_t{1} << 16}, 14),
              HasSubstr(kTooMany));
  EXPECT_THAT(with({int64_t{1} << 61, 3}, 28), HasSubstr("of F64 overflows 64 bits"));
  EXPECT_THAT(with({int64_t{1} << 61}, 28), HasSubstr("of F64 overflows 64 bits"));
  // Bytes that fit into 64 bits, and begin or end beyond them once they are placed and padded.
  EXPECT_THAT(with({kMax}, 25), HasSubstr("takes 18446744073709551614 bytes from byte"));
  EXPECT_THAT(with({(int64_t{1} << 42) + 1}, 0), HasSubstr("takes 17592186044420 bytes from byte"));
  EXPECT_THAT(with({kMax / 256 * 256}, 14), HasSubstr("incomplete download?"));
}

TEST(Gguf, RefusesExtentsBelowOne) {
  for (const int64_t extent : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min()}) {
    for (size_t place = 0; place < 4; ++place) {
      GgufTestFile file = good_file();
      file.tensors[0].dims = {4, 2, 1, 1};
      file.tensors[0].dims[place] = extent;
      EXPECT_THAT(refusal(file),
                  HasSubstr(fmt::format("has an extent of {}, expected at least 1", extent)));
    }
  }
}

TEST(Gguf, RefusesRanksOutsideOfOneToFour) {
  for (const size_t rank : {0u, 5u, 17u}) {
    GgufTestFile file = good_file();
    file.tensors[0].dims.assign(rank, 1);
    EXPECT_THAT(refusal(file),
                HasSubstr(fmt::format("m: tensor 'a': {} dimensions, expected 1 to 4", rank)));
  }
  std::string text = good_file().text();
  const size_t rank_at = text.find(raw_string("a") + raw(2u)) + 9;
  text.replace(rank_at, 4, raw(0xffffffffu));
  const auto parsed = parse(text);
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().text(), HasSubstr("4294967295 dimensions, expected 1 to 4"));
}

// CVE-2026-7482: a tensor larger than its bytes, whose neighbours were read out.
TEST(Gguf, RefusesTensorsThatDoNotLieInTheirOwnBytes) {
  const auto with_offset = [](size_t tensor, uint64_t offset) {
    GgufTestFile file = good_file();
    file.tensors[tensor].offset = offset;
    return refusal(file);
  };
  EXPECT_THAT(with_offset(2, 65),
              HasSubstr("m: tensor 'c' starts at byte 65 of the data, expected a multiple of 32"));
  EXPECT_THAT(with_offset(2, 96),
              HasSubstr("m: tensor 'c' takes 420 bytes from byte 224 + 96, file has"));
  EXPECT_THAT(with_offset(2, -uint64_t{32}), HasSubstr("tensor 'c' takes 420 bytes from byte"));
  EXPECT_THAT(with_offset(2, -uint64_t{320}), HasSubstr("tensor 'c' takes 420 bytes from byte"));
  EXPECT_THAT(
      with_offset(1, 0),
      HasSubstr("tensor 'b' starts at byte 224, inside the tensor before it, which ends at 256"));
  EXPECT_THAT(with_offset(0, 64),
              HasSubstr("tensor 'b' starts at byte 256, which leaves a hole behind the header"));
  GgufTestFile file = good_file();
  file.tensors[1].data.append(46, 'x');
  EXPECT_THAT(refusal(file),
              HasSubstr("which leaves a hole behind the tensor before it, which ends at 274"));
  file = good_file();
  file.tensors[2].data.pop_back();
  EXPECT_THAT(refusal(file),
              HasSubstr("tensor 'c' takes 420 bytes from byte 224 + 64, file has 707; incomplete"));
}

TEST(Gguf, RefusesTypesByNameOrNumber) {
  const auto with = [](uint32_t type) {
    GgufTestFile file = good_file();
    file.tensors[0].type = type;
    return refusal(file);
  };
  EXPECT_THAT(with(4), HasSubstr("m: tensor 'a': type 4 is Q4_2, a type that was withdrawn from "
                                 "the format; get the model in"));
  EXPECT_THAT(with(5), HasSubstr("type 5 is Q4_3"));
  EXPECT_THAT(with(31), HasSubstr("type 31 is Q4_0_4_4, a repacked layout that was withdrawn"));
  EXPECT_THAT(with(36), HasSubstr("type 36 is IQ4_NL_4_4"));
  EXPECT_THAT(with(9), HasSubstr("type 9 is Q8_1, a type of activations, which no file holds"));
  EXPECT_THAT(with(15), HasSubstr("type 15 is Q8_K"));
  EXPECT_THAT(with(41), HasSubstr("type 41 is Q1_0, a type that is not read"));
  for (const uint32_t type : {42u, 96u})
    EXPECT_THAT(with(type),
                HasSubstr(fmt::format("type {} is not known, ggml's end at 41; get", type)));
  for (const uint32_t type : {97u, 105u, 0x80000000u, 0xffffffffu})
    EXPECT_THAT(with(type),
                HasSubstr(fmt::format(
                    "type {} is not known, ggml's end at 41, but some are of ik_llama.cpp", type)));
}

TEST(Gguf, RefusesRowsThatAreNotWholeBlocks) {
  GgufTestFile file = good_file();
  file.tensors[2].dims = {255, 2};
  EXPECT_THAT(
      refusal(file),
      HasSubstr("m: tensor 'c': a row has 255 elements, expected whole blocks of 256 (Q6_K)"));
  file.tensors[2].dims = {128, 4};  // whole blocks in all, but not in a row
  EXPECT_THAT(refusal(file), HasSubstr("a row has 128 elements, expected whole blocks of 256"));
}

TEST(Gguf, KnowsOneVersionOfTheBlocks) {
  const auto with = [](GgufTestFile file, uint32_t version) {
    file.values.push_back(gguf_value("general.quantization_version", GgufValueType::kU32, version));
    return refusal(file);
  };
  EXPECT_EQ(with(good_file(), 2), "accepted");
  EXPECT_THAT(with(good_file(), 1),
              HasSubstr("m: general.quantization_version is 1, expected 2; get a newer file"));
  GgufTestFile plain = good_file();
  plain.tensors.resize(1);
  EXPECT_EQ(with(plain, 1), "accepted") << "nothing in it is quantised";
  GgufTestFile file = good_file();
  file.values.push_back(gguf_text("general.quantization_version", "2"));
  EXPECT_THAT(refusal(file),
              HasSubstr("general.quantization_version is string, expected an integer"));
}

TEST(Gguf, EscapesHostileNamesInMessages) {
  GgufTestFile file;
  file.values = {raw_value("\x1b[2J", 13, "")};
  EXPECT_THAT(refusal(file), HasSubstr("m: key '\\x1b[2J': "));
  file.values = {raw_value(std::string(5000, 'n'), 13, "")};
  EXPECT_THAT(refusal(file), HasSubstr("nnn... (5000 bytes)': "));
}

}  // namespace
}  // namespace longhaul
