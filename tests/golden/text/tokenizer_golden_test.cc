// Ids and texts against what Hugging Face's library gave for the same files
// (tools/make_tokenizer_goldens.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "formats/gguf_testing.h"
#include "formats/gguf_tokenizer.h"
#include "models/registry.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {
namespace {

constexpr size_t kMaxFile = size_t{64} << 20;

std::string golden_path(const std::string& file) {
  return std::string(LH_SOURCE_DIR) + "/tests/golden/text/" + file;
}

std::string fnv(std::string_view bytes) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char b : bytes) h = (h ^ static_cast<unsigned char>(b)) * 0x100000001b3u;
  return fmt::format("{:016x}", h);
}

std::string fnv(const std::vector<int32_t>& ids) {
  std::string bytes;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes += static_cast<char>(static_cast<uint32_t>(id) >> shift & 0xFF);
  }
  return fnv(bytes);
}

// As in the script.
std::vector<int32_t> random_ids(uint64_t seed, uint64_t vocab_size) {
  std::vector<int32_t> ids;
  uint64_t state = seed;
  for (int i = 0; i < 40; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    ids.push_back(static_cast<int32_t>(
        (state >> 33) % (i % 4 == 3 ? std::min<uint64_t>(600, vocab_size) : vocab_size)));
  }
  return ids;
}

std::vector<std::string> corpus_records() {
  const auto text = read_file(golden_path("corpus.txt"), kMaxFile);
  EXPECT_TRUE(text.ok());
  std::vector<std::string> records(1);
  if (!text.ok()) return records;
  for (const char c : *text) {
    if (c == '\x1e') {
      records.emplace_back();
    } else {
      records.back() += c;
    }
  }
  return records;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.flush();
}

struct Expected {
  int64_t n_ids;
  std::string ids_hash, text_hash;
  std::vector<int32_t> first;
};

Expected expected(const Json& json) {
  const auto& a = *json.as_array();
  Expected e{*a[0].as_int(), *a[1].as_string(), *a[2].as_string(), {}};
  for (const Json& id : *a[3].as_array()) e.first.push_back(static_cast<int32_t>(*id.as_int()));
  return e;
}

void compare_texts(const Tokenizer& tokenizer, const Json& golden,
                   const std::vector<std::string>& records) {
  const auto& texts = *golden.find("texts")->as_array();
  ASSERT_EQ(texts.size(), records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    const Expected want = expected(texts[i]);
    const auto ids = tokenizer.encode(records[i]);
    ASSERT_TRUE(ids.ok()) << ids.error().text();
    const std::vector<int32_t> first(ids->begin(),
                                     ids->begin() + std::min<ptrdiff_t>(32, std::ssize(*ids)));
    ASSERT_EQ(first, want.first) << "record " << i << ": " << records[i].substr(0, 200);
    ASSERT_EQ(std::ssize(*ids), want.n_ids) << "record " << i;
    ASSERT_EQ(fnv(*ids), want.ids_hash) << "record " << i << ": a later id differs";
    const std::string text = tokenizer.decode(*ids);
    ASSERT_EQ(fnv(text), want.text_hash) << "record " << i << " decodes to " << text.substr(0, 200);
    ASSERT_EQ(streamed(tokenizer, *ids, false), text) << "record " << i;
  }
  std::string whole = records[0];
  for (size_t i = 1; i < records.size(); ++i) whole += '\n' + records[i];
  const auto ids = tokenizer.encode(whole, true, true);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(std::ssize(*ids), *(*golden.find("whole")->as_array())[0].as_int());
  EXPECT_EQ(fnv(*ids), *(*golden.find("whole")->as_array())[1].as_string());
}

void compare_random_ids(const Tokenizer& tokenizer, const Json& golden) {
  const auto vocab_size = static_cast<uint64_t>(*golden.find("vocab_size")->as_int());
  const auto& texts = *golden.find("random")->as_array();
  for (size_t seed = 0; seed < texts.size(); ++seed) {
    const auto ids = random_ids(seed, vocab_size);
    for (const bool skip : {false, true}) {
      const std::string text = tokenizer.decode(ids, skip);
      EXPECT_EQ(fnv(text), *(*texts[seed].as_array())[skip].as_string())
          << "seed " << seed << " skip_special " << skip;
      EXPECT_EQ(streamed(tokenizer, ids, skip), text) << "seed " << seed;
    }
  }
}

void compare(const std::string& name, const std::string& tokenizer_json) {
  const auto tokenizer = Tokenizer::load(tokenizer_json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().text();
  const auto text = read_file(golden_path(name + ".golden.json"), kMaxFile);
  ASSERT_TRUE(text.ok()) << text.error().text();
  const auto golden = parse_json(*text, name);
  ASSERT_TRUE(golden.ok()) << golden.error().text();
  EXPECT_EQ(tokenizer->vocab_size(), *golden->find("vocab_size")->as_int());
  compare_texts(*tokenizer, *golden, corpus_records());
  compare_random_ids(*tokenizer, *golden);
}

std::string real_path(const std::string& name) {
  return std::string(LH_SOURCE_DIR) + "/../shared/tokenizers/" + name + "/tokenizer.json";
}

void compare_real(const std::string& name) {
  if (!std::filesystem::exists(real_path(name))) GTEST_SKIP() << "skipped: no real tokenizer here";
  compare(name, real_path(name));
}

// --- rebuilt from what a GGUF file keeps of them -------------------------------------------------

struct GgufToken {
  std::string text;
  int32_t type = 5;  // unused
};

// As converters list them: runs of blanks that users defined are written as blanks.
std::vector<GgufToken> tokens_of(const Json& tokenizer) {
  std::vector<GgufToken> tokens;
  const auto at = [&](int64_t id) -> GgufToken& {
    if (std::ssize(tokens) <= id) tokens.resize(static_cast<size_t>(id) + 1);
    return tokens[static_cast<size_t>(id)];
  };
  for (const auto& [text, id] : *tokenizer.find("model")->find("vocab")->as_object())
    at(*id.as_int()) = {text, text.size() == 6 && text.starts_with("<0x") ? 6 : 1};
  for (const Json& added : *tokenizer.find("added_tokens")->as_array()) {
    std::string text = *added.find("content")->as_string();
    const bool is_control = *added.find("special")->as_bool() || text.starts_with("<unused");
    std::string written;
    while (!is_control && text.starts_with("\u2581")) {
      written += ' ';
      text = text.substr(3);
    }
    at(*added.find("id")->as_int()) = {written + text, is_control ? 3 : 4};
  }
  return tokens;
}

std::string array_of_texts(std::string_view key, const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) bytes += raw_string(text);
  return raw_array(key, 8, texts.size(), bytes);
}

std::vector<std::string> merges_of(const Json& tokenizer) {
  std::vector<std::string> merges;
  for (const Json& merge : *tokenizer.find("model")->find("merges")->as_array()) {
    const Json::Array* pair = merge.as_array();
    merges.push_back(pair == nullptr ? *merge.as_string()
                                     : *(*pair)[0].as_string() + " " + *(*pair)[1].as_string());
  }
  return merges;
}

// Scores fall with the ids, as in a vocabulary of sentencepiece.
std::string gguf_of(const Json& tokenizer, const char* model, const char* pre) {
  std::vector<std::string> texts;
  std::string types, scores;
  for (const GgufToken& token : tokens_of(tokenizer)) {
    const float falling = -static_cast<float>(texts.size());
    scores += raw(token.type == 1 ? falling : token.type == 6 ? 0.0f : -1000.0f);
    types += raw(token.type);
    texts.push_back(token.text);
  }
  GgufTestFile file;
  file.values = {gguf_text("tokenizer.ggml.model", model),
                 array_of_texts("tokenizer.ggml.tokens", texts),
                 raw_array("tokenizer.ggml.token_type", 5, texts.size(), types)};
  if (*pre != 0) file.values.push_back(gguf_text("tokenizer.ggml.pre", pre));
  if (model == std::string("llama")) {
    file.values.push_back(raw_array("tokenizer.ggml.scores", 6, texts.size(), scores));
  } else {
    file.values.push_back(array_of_texts("tokenizer.ggml.merges", merges_of(tokenizer)));
  }
  for (const auto& [key, text] : {std::pair{"bos", "<bos>"}, {"unknown", "<unk>"}}) {
    const auto it = std::find(texts.begin(), texts.end(), text);
    if (it != texts.end())
      file.values.push_back(gguf_value(fmt::format("tokenizer.ggml.{}_token_id", key),
                                       GgufValueType::kU32,
                                       static_cast<uint32_t>(it - texts.begin())));
  }
  return file.text();
}

// The texts get the ids of the tokenizer.json that the file was made from, and come back.
void compare_rebuilt(const std::string& name, const std::string& path, const char* architecture,
                     const char* model, const char* pre) {
  const auto original = parse_json(*read_file(path, kMaxFile), path);
  ASSERT_TRUE(original.ok()) << original.error().text();
  const std::string file = gguf_of(*original, model, pre);
  const auto header = parse_gguf_header(std::as_bytes(std::span(file)), "file");
  ASSERT_TRUE(header.ok()) << header.error().text();
  const auto reading = find_gguf_reading(architecture, "file");
  ASSERT_TRUE(reading.ok()) << reading.error().text();
  const auto rebuilt = gguf_tokenizer_json(header->metadata, "file", (*reading)->tokens);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.error().text();
  const auto tokenizer = Tokenizer::parse(**rebuilt, "rebuilt");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().text();
  const auto golden = parse_json(*read_file(golden_path(name + ".golden.json"), kMaxFile), name);
  ASSERT_TRUE(golden.ok()) << golden.error().text();
  compare_texts(*tokenizer, *golden, corpus_records());
}

TEST(TokenizerGolden, SmallByteLevel) {
  compare("small_byte_level", golden_path("small_byte_level.tokenizer.json"));
}
TEST(TokenizerGolden, SmallGemma) {
  compare("small_gemma", golden_path("small_gemma.tokenizer.json"));
}
TEST(TokenizerGolden, SmallLlama) {
  compare("small_llama", golden_path("small_llama.tokenizer.json"));
}
TEST(GgufTokenizerGolden, SmallGemmaByItsMerges) {
  compare_rebuilt("small_gemma", golden_path("small_gemma.tokenizer.json"), "gemma4", "gemma4", "");
}
TEST(GgufTokenizerGolden, RealGemma3ByScores) {
  if (!std::filesystem::exists(real_path("gemma3"))) GTEST_SKIP() << "no real tokenizer here";
  compare_rebuilt("gemma3", real_path("gemma3"), "gemma3", "llama", "default");
}
TEST(GgufTokenizerGolden, RealDeepSeekV3) {
  if (!std::filesystem::exists(real_path("deepseek_v3"))) GTEST_SKIP() << "no real tokenizer here";
  compare_rebuilt("deepseek_v3", real_path("deepseek_v3"), "deepseek4", "gpt2", "joyai-llm");
}
TEST(TokenizerGolden, RealGemma3) { compare_real("gemma3"); }
TEST(TokenizerGolden, RealDeepSeekV3) { compare_real("deepseek_v3"); }

}  // namespace
}  // namespace longhaul
