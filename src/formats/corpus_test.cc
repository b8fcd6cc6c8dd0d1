// Every file of tests/corpus/safetensors and checkpoints, with what it must be refused with.
// tools/make_malformed_corpus.py writes the files; one without a row here fails the test.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "formats/safetensors.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

struct Row {
  const char* name;
  ErrorCode code = ErrorCode::kCorruptFile;
  const char* fragment = nullptr;  // null: the file is good
};

constexpr auto kCorrupt = ErrorCode::kCorruptFile;

constexpr Row kFiles[] = {
    {"good"},
    {"good_empty"},
    {"good_metadata_and_padding"},
    {"good_misaligned"},
    {"good_scalar_and_zero_size"},
    {"good_fp4"},
    {"empty_file", kCorrupt, "0 bytes, too short"},
    {"length_cut", kCorrupt, "5 bytes, too short"},
    {"length_beyond_file", kCorrupt, "header ends at byte 62, file has 20; incomplete download?"},
    {"length_huge", kCorrupt, "header length 9223372036854775808, expected at most 100000000"},
    {"length_max", kCorrupt, "header length 18446744073709551615"},
    {"length_over_limit", kCorrupt, "header length 100000001"},
    {"length_zero", kCorrupt, "does not start with '{'"},
    {"length_alone", kCorrupt, "header ends at byte 62, file has 8; incomplete download?"},
    {"header_not_json", kCorrupt, "not valid JSON at byte 3"},
    {"header_not_an_object", kCorrupt, "does not start with '{'"},
    {"header_starts_with_space", kCorrupt, "does not start with '{'"},
    {"header_nul_tail", kCorrupt, "not valid JSON at byte 3: a NUL byte"},
    {"header_text_tail", kCorrupt, "not valid JSON at byte 3"},
    {"header_bad_utf8", kCorrupt, "not valid JSON"},
    {"header_deep", kCorrupt, "'a' is an array, expected an object"},
    {"header_is_pickle", kCorrupt, "not a safetensors file?"},
    {"data_cut", kCorrupt, "tensor 'a' ends at byte 70, file has 69; incomplete download?"},
    {"data_missing", kCorrupt, "tensor 'a' ends at byte 70, file has 62; incomplete download?"},
    {"data_extra", kCorrupt, "1 bytes behind the last tensor, which ends at byte 70"},
    {"overlap", kCorrupt,
     "tensor 'b' starts at byte 4 of the data, inside the tensor before it, which ends at 8"},
    {"overlap_same", kCorrupt, "inside the tensor before it"},
    {"hole_at_start", kCorrupt,
     "tensor 'a' starts at byte 4 of the data, which leaves a hole from 0"},
    {"hole_between", kCorrupt,
     "tensor 'b' starts at byte 8 of the data, which leaves a hole from 4"},
    {"offsets_backwards", kCorrupt, "data_offsets [4, 0] run backwards"},
    {"offsets_beyond_file", kCorrupt, "incomplete download?"},
    {"offsets_max", kCorrupt, "[9223372036854775807] of U8 overflows 64 bits"},
    {"offsets_over_63_bits", kCorrupt, "data_offsets holds 18446744073709551615"},
    {"offsets_negative", kCorrupt, "data_offsets holds -1, expected an integer from 0"},
    {"offsets_three", kCorrupt, "data_offsets has 3 numbers, expected 2"},
    {"offsets_one", kCorrupt, "data_offsets has 1 numbers, expected 2"},
    {"offsets_float", kCorrupt, "data_offsets holds 1.0"},
    {"size_too_small", kCorrupt, "[3] of F32 needs 12 bytes, data_offsets give 8"},
    {"size_too_large", kCorrupt, "[1] of F32 needs 4 bytes, data_offsets give 8"},
    {"shape_overflows", kCorrupt, "shape [4294967296, 4294967296] of F32 overflows 64 bits"},
    {"shape_overflows_to_size", kCorrupt, "overflows 64 bits"},
    {"shape_overflows_before_zero", kCorrupt, "overflows 64 bits"},
    {"shape_negative", kCorrupt, "shape holds -2, expected an integer from 0"},
    {"shape_negative_pair", kCorrupt, "shape holds -1"},
    {"shape_float", kCorrupt, "shape holds 2.0"},
    {"shape_string", kCorrupt, "shape holds a string"},
    {"shape_rank_17", ErrorCode::kUnsupported, "shape has more than 16 numbers"},
    {"shape_null", kCorrupt, "'shape' is null, expected an array of integers"},
    {"dtype_unknown", ErrorCode::kUnsupported, "dtype 'F33' is not known"},
    {"dtype_lower_case", ErrorCode::kUnsupported, "dtype 'f32' is not known"},
    {"dtype_number", kCorrupt, "'dtype' is an integer, expected a string"},
    {"fp4_half_byte", kCorrupt, "shape [3] of F4 does not fill its last byte"},
    {"field_missing", kCorrupt, "tensor 'a': no field 'data_offsets'"},
    {"field_unknown", kCorrupt, "tensor 'a': unknown field 'scale'"},
    {"field_twice", kCorrupt, "tensor 'a': field 'dtype' stands twice"},
    {"tensor_twice", kCorrupt, "tensor 'a' stands twice in the header"},
    {"tensor_twice_escaped", kCorrupt, "tensor 'a' stands twice in the header"},
    {"tensor_not_an_object", kCorrupt, "'a' is an array, expected an object"},
    {"tensor_null", kCorrupt, "'a' is null, expected an object"},
    {"metadata_number", kCorrupt, "'n' is an integer, expected a string"},
    {"metadata_nested", kCorrupt, "'n' is an object, expected a string"},
    {"metadata_twice", kCorrupt, "'__metadata__' stands twice in the header"},
    {"metadata_list", kCorrupt, "'__metadata__' is an array, expected an object"},
    {"name_with_escape_codes", kCorrupt, "'\\x1b]0;x\\x07' is an integer"},
};

constexpr Row kFolders[] = {
    {"good_sharded"},
    {"both_layouts"},  // of what its index names nothing is there
    {"no_weights", ErrorCode::kNotFound,
     "neither model.safetensors nor model.safetensors.index.json"},
    {"index_not_json", kCorrupt, "index.json: not valid JSON at byte 1"},
    {"index_without_weight_map", kCorrupt, "no object 'weight_map'"},
    {"index_empty", kCorrupt, "'weight_map' names no tensor"},
    {"index_weight_map_list", kCorrupt, "no object 'weight_map'"},
    {"index_file_number", kCorrupt, "weight_map['a'] is an integer, expected a file name"},
    {"index_tensor_twice", kCorrupt, "key 'a' stands twice"},
    {"index_parent_path", kCorrupt,
     "'../good_sharded/model-1.safetensors', expected the plain name"},
    {"index_absolute_path", kCorrupt,
     "'/dev/null', expected the plain name of a file beside the index"},
    {"index_sub_folder", kCorrupt, "'sub/model.safetensors', expected the plain name"},
    {"index_dot_dot", kCorrupt, "'..', expected the plain name"},
    {"index_nul_in_name", kCorrupt, "'model-1.safetensors\\x00.txt', expected the plain name"},
    {"shard_missing", ErrorCode::kNotFound,
     "are missing: model-2.safetensors (1 tensors); incomplete download?"},
    {"shard_truncated", kCorrupt, "model-1.safetensors: tensor 'a' ends at byte 70, file has 69"},
    {"shard_lacks_tensor", kCorrupt,
     "model-2.safetensors: no tensor 'c', though model.safetensors.index.json names it there"},
    {"shard_has_unindexed_tensor"},
    {"shards_share_tensor"},  // the index says which counts
};

fs::path corpus(const char* kind) { return fs::path(LH_SOURCE_DIR) / "tests" / "corpus" / kind; }

void expect(const Row& row, const Result<TensorSource>& opened) {
  if (row.fragment == nullptr) {
    EXPECT_TRUE(opened.ok()) << row.name << ": " << opened.error().text();
    return;
  }
  ASSERT_FALSE(opened.ok()) << row.name << " was accepted";
  EXPECT_STREQ(to_string(opened.error().code), to_string(row.code))
      << row.name << ": " << opened.error().text();
  EXPECT_THAT(opened.error().text(), ::testing::HasSubstr(row.fragment));
  EXPECT_THAT(opened.error().text(), ::testing::HasSubstr(row.name))
      << "the message names the file";
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().stem().string());
  return names;
}

TEST(SafetensorsCorpus, RefusesEachMalformedFileForItsOwnReason) {
  std::set<std::string> rest = names_in(corpus("safetensors"));
  for (const Row& row : kFiles) {
    expect(row, open_safetensors(
                    (corpus("safetensors") / (std::string(row.name) + ".safetensors")).string()));
    rest.erase(row.name);
  }
  EXPECT_THAT(rest, ::testing::IsEmpty()) << "files without a row";
}

TEST(SafetensorsCorpus, RefusesEachMalformedFolderForItsOwnReason) {
  std::set<std::string> rest = names_in(corpus("checkpoints"));
  for (const Row& row : kFolders) {
    expect(row, open_checkpoint((corpus("checkpoints") / row.name).string()));
    rest.erase(row.name);
  }
  EXPECT_THAT(rest, ::testing::IsEmpty()) << "folders without a row";
}

}  // namespace
}  // namespace longhaul
