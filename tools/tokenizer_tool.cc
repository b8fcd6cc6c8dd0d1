// Encodes and decodes for compare_tokenizer.py, and measures. Not installed.
//
//   tokenizer_tool TOKENIZER_JSON serve         frames on stdin/stdout, see serve()
//   tokenizer_tool TOKENIZER_JSON bench FILE    load time, MB/s of encode and decode
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace {

using longhaul::Detokenizer;
using longhaul::Tokenizer;

bool read_exact(void* out, size_t n) { return std::fread(out, 1, n, stdin) == n; }

void write_frame(const void* data, size_t n, size_t count) {
  const auto size = static_cast<uint32_t>(count);
  std::fwrite(&size, sizeof size, 1, stdout);
  if (n > 0) std::fwrite(data, 1, n, stdout);
}

void write_text(const std::string& text) { write_frame(text.data(), text.size(), text.size()); }

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.flush();
}

// Request: u32 flags (1 parse_special, 2 add_special_tokens, 4 skip_special, 8 the data are ids),
// u32 n, n bytes or ids. Reply: u32 n + n ids, u32 n + text of decode(), u32 n + text of the
// streaming decoder. Flag 8: the ids come back as sent.
int serve(const Tokenizer& tokenizer) {
  uint32_t head[2];
  while (read_exact(head, sizeof head)) {
    std::vector<int32_t> ids;
    if (head[0] & 8) {
      ids.resize(head[1]);
      if (!read_exact(ids.data(), ids.size() * sizeof(int32_t))) return 1;
    } else {
      std::string text(head[1], '\0');
      if (!read_exact(text.data(), text.size())) return 1;
      auto encoded = tokenizer.encode(text, (head[0] & 1) != 0, (head[0] & 2) != 0);
      if (encoded.ok()) {
        ids = std::move(*encoded);
      } else {
        std::fprintf(stderr, "%s\n", encoded.error().message.c_str());
        ids = {-1};
      }
    }
    write_frame(ids.data(), ids.size() * sizeof(int32_t), ids.size());
    write_text(tokenizer.decode(ids, (head[0] & 4) != 0));
    write_text(streamed(tokenizer, ids, (head[0] & 4) != 0));
    std::fflush(stdout);
  }
  return 0;
}

// Of the processor, not of the wall: one thread, and other programs may run.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

int bench(const Tokenizer& tokenizer, const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  double start = cpu_seconds();
  const auto ids = tokenizer.encode(text);
  const double encode_s = cpu_seconds() - start;
  if (!ids.ok()) {
    std::fprintf(stderr, "%s\n", ids.error().message.c_str());
    return 1;
  }
  start = cpu_seconds();
  const std::string back = tokenizer.decode(*ids);
  const double decode_s = cpu_seconds() - start;
  const double mb = static_cast<double>(text.size()) * 1e-6;
  std::printf(
      "%s: %.1f MB, %zu ids, encode %.3f s = %.1f MB/s, decode %.3f s = %.1f MB/s, round trip %s\n",
      path, mb, ids->size(), encode_s, mb / encode_s, decode_s, mb / decode_s,
      back == text ? "equal" : "differs");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s TOKENIZER_JSON serve | bench FILE...\n", argv[0]);
    return 2;
  }
  const double start = cpu_seconds();
  const auto tokenizer = Tokenizer::load(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  if (std::strcmp(argv[2], "serve") == 0) return serve(*tokenizer);
  std::printf("load %.3f s\n", cpu_seconds() - start);
  for (int i = 3; i < argc; ++i) {
    if (bench(*tokenizer, argv[i]) != 0) return 1;
  }
  return 0;
}
