// Ids and texts against what Hugging Face's library gave for the same files
// (tools/make_tokenizer_goldens.py).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
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

void compare_real(const std::string& name) {
  const std::string path =
      std::string(LH_SOURCE_DIR) + "/../shared/tokenizers/" + name + "/tokenizer.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "skipped: no real tokenizer here";
  compare(name, path);
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
TEST(TokenizerGolden, RealGemma3) { compare_real("gemma3"); }
TEST(TokenizerGolden, RealDeepSeekV3) { compare_real("deepseek_v3"); }

}  // namespace
}  // namespace longhaul
