// Malformed files: each must be an error that names the file and the field, and none may crash
// (tests/corpus/tokenizer).
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "base/mapped_file.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {
namespace {

const std::map<std::string, std::string>& messages() {
  static const std::map<std::string, std::string> kMessages = {
      {"truncated", "not valid JSON"},
      {"not_an_object", "expected an object"},
      {"scalar", "expected an object"},
      {"no_model", "no member 'model'"},
      {"model_twice", "'model' stands twice"},
      {"invalid_utf8_escape", "not valid JSON"},
      {"too_deep", "nested deeper"},
      {"model_is_array", "model: expected an object"},
      {"model_unigram", "model 'Unigram' is not supported"},
      {"model_type_number", "model.type: expected a string"},
      {"vocab_missing", "model.vocab: missing"},
      {"vocab_empty", "model.vocab: empty"},
      {"vocab_is_array", "model.vocab: expected an object"},
      {"vocab_null", "model.vocab: expected an object"},
      {"vocab_id_string", "token 'a': expected an integer"},
      {"vocab_id_fraction", "token 'a': expected an integer"},
      {"vocab_id_object", "token 'a': expected an integer"},
      {"vocab_id_negative", "token 'a' has id -1"},
      {"vocab_id_huge", "expected an integer"},
      {"vocab_id_large", "has id 4294967296"},
      {"vocab_id_sparse", "the largest id is 8000000"},
      {"vocab_id_twice", "which 'a' has already"},
      {"vocab_token_twice", "token 'a' stands twice"},
      {"merges_missing", "model.merges: missing"},
      {"merges_is_object", "model.merges: expected an array"},
      {"merge_number", "expected \"left right\""},
      {"merge_one_word", "is not two texts"},
      {"merge_three_words", "is not two texts"},
      {"merge_triple", "expected two texts, found 3"},
      {"merge_nested", "expected \"left right\""},
      {"merge_empty_side", "a merge with an empty side"},
      {"merge_unknown_left", "'x' is not in the vocabulary"},
      {"merge_unknown_right", "'x' is not in the vocabulary"},
      {"merge_unknown_product", "its product 'ba' is not in the vocabulary"},
      {"merge_twice", "the merge 'a' + 'b' stands twice"},
      {"unk_unknown", "model.unk_token: '<unk>' is not in the vocabulary"},
      {"dropout", "model.dropout"},
      {"subword_prefix", "model.continuing_subword_prefix"},
      {"byte_fallback_string", "model.byte_fallback: expected a boolean"},
      {"added_not_array", "added_tokens: expected an array"},
      {"added_no_content", "added_tokens[0].content: expected a string, found nothing"},
      {"added_empty", "added_tokens[0].content: expected 1 to"},
      {"added_id_of_other", "which is 'a' in the vocabulary"},
      {"added_other_id", "has id 7, but 0 in the vocabulary"},
      {"added_twice", "stands twice"},
      {"added_id_twice", "stands twice"},
      {"added_id_huge", "is not in 0.."},
      {"normalizer_unknown", "normalizer.type: normalizer 'Lowercase' is not supported"},
      {"normalizer_string", "normalizer: expected an object"},
      {"normalizer_bad_regex", "does not compile"},
      {"normalizer_set_operation", "a class intersection"},
      {"normalizer_empty_pattern", "an empty pattern"},
      {"normalizer_too_many", "more than 64 normalizers"},
      {"pre_tokenizer_unknown", "pre-tokenizer 'Lattice' is not supported"},
      {"pre_tokenizer_behavior", "split behavior 'Sideways' is not supported"},
      {"pre_tokenizer_behind_bytes", "behind ByteLevel"},
      {"pre_tokenizer_duplicate_key", "stands twice"},
      {"template_unknown_id", "not an id of a token"},
      {"template_no_sequence", "no sequence A"},
      {"post_processor_unknown", "post-processor 'BertProcessing' is not supported"},
      {"decoder_unknown", "decoder 'CTC' is not supported"},
      {"decoder_behind_fuse", "behind one that fuses"},
      {"decoder_strip_negative", "decoder.start: -1 is not in"},
      {"decoder_strip_content", "expected one character"},
  };
  return kMessages;
}

TEST(TokenizerCorpus, EachMalformedFileIsAnErrorThatNamesFileAndField) {
  size_t n_files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(LH_SOURCE_DIR "/tests/corpus/tokenizer")) {
    const std::string name = entry.path().stem().string();
    SCOPED_TRACE(name);
    ++n_files;
    ASSERT_TRUE(messages().contains(name)) << "no expected message";
    const auto tokenizer = Tokenizer::load(entry.path().string());
    ASSERT_FALSE(tokenizer.ok());
    const std::string& message = tokenizer.error().text();
    EXPECT_NE(message.find(messages().at(name)), message.npos) << message;
    EXPECT_NE(message.find(name + ".json"), message.npos) << message;
    const bool about_the_file = tokenizer.error().code == ErrorCode::kCorruptFile ||
                                tokenizer.error().code == ErrorCode::kUnsupported;
    EXPECT_TRUE(about_the_file) << to_string(tokenizer.error().code);
  }
  EXPECT_EQ(n_files, messages().size());
}

TEST(TokenizerCorpus, AMissingFileIsAnError) {
  EXPECT_FALSE(Tokenizer::load(LH_SOURCE_DIR "/tests/corpus/tokenizer/none").ok());
}

}  // namespace
}  // namespace longhaul
