#include "formats/file_nature.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace longhaul {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view bytes;
  FileNature nature;
};

constexpr std::array kMagics = {
    Magic{"version https://git-lfs.github.com/spec/"sv, FileNature::kLfsPointer},
    Magic{"GGUF"sv, FileNature::kGguf},
    Magic{"lmgg"sv, FileNature::kOldGgml},  // 'ggml', 'ggmf', 'ggjt' as little-endian words
    Magic{"fmgg"sv, FileNature::kOldGgml},
    Magic{"tjgg"sv, FileNature::kOldGgml},
    Magic{"\x80\x02"sv, FileNature::kPickle},
    Magic{"\x1f\x8b"sv, FileNature::kArchive},              // gzip
    Magic{"\x28\xb5\x2f\xfd"sv, FileNature::kArchive},      // zstd
    Magic{"\xfd\x37\x7a\x58\x5a"sv, FileNature::kArchive},  // xz
    Magic{"7z\xbc\xaf\x27\x1c"sv, FileNature::kArchive},
    Magic{"BZh"sv, FileNature::kArchive},
};

// Of browsers, aria2, curl-based tools and the Hugging Face client.
constexpr std::array kUnfinished = {".incomplete"sv, ".part"sv,  ".partial"sv, ".crdownload"sv,
                                    ".download"sv,   ".aria2"sv, ".tmp"sv,     ".downloading"sv,
                                    ".opdownload"sv, ".!ut"sv,   ".!qB"sv};

// The beginning of answers that servers give in the place of a file.
constexpr std::array kErrorWords = {"Invalid username or password"sv,
                                    "Invalid credentials"sv,
                                    "Access to model"sv,
                                    "Access denied"sv,
                                    "Entry not found"sv,
                                    "Repository not found"sv,
                                    "Not Found"sv,
                                    "404"sv,
                                    "403"sv,
                                    "401"sv,
                                    "Forbidden"sv,
                                    "Unauthorized"sv,
                                    "Too Many Requests"sv,
                                    "Rate limit"sv,
                                    "Internal Server Error"sv,
                                    "Bad Gateway"sv,
                                    "Service Unavailable"sv,
                                    "{\"error\""sv,
                                    "{\"message\""sv,
                                    "{\"detail\""sv};

bool begins_with(std::string_view text, std::string_view word) {
  return text.size() >= word.size() &&
         std::equal(word.begin(), word.end(), text.begin(), [](unsigned char a, unsigned char b) {
           return std::tolower(a) == std::tolower(b);
         });
}

template <class Words>
bool begins_with_any(std::string_view text, const Words& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return begins_with(text, word); });
}

std::string_view without_blanks(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  const size_t at = text.find_first_not_of(" \t\r\n");
  return at == text.npos ? std::string_view() : text.substr(at);
}

bool is_web_page(std::string_view text) {
  constexpr std::array kTags = {"<!doctype"sv, "<html"sv,  "<head"sv, "<body"sv,
                                "<?xml"sv,     "<error"sv, "<!--"sv};
  return begins_with_any(text, kTags);
}

bool is_text(std::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u == 0x7f || (u < 0x20 && u != '\t' && u != '\n' && u != '\r' && u != '\f');
  });
}

// A header's length, then its JSON.
bool is_safetensors(std::string_view bytes) {
  constexpr size_t kLengthBytes = 8;
  return bytes.size() > kLengthBytes && bytes[kLengthBytes] == '{' &&
         bytes.substr(5, 3) == "\0\0\0"sv;
}

// A zip is what torch.save() writes now, and how files are packed by hand.
FileNature nature_of_zip(std::string_view bytes) {
  return bytes.find("data.pkl") != bytes.npos ? FileNature::kPickle : FileNature::kArchive;
}

bool is_tar(std::string_view bytes) {
  return bytes.size() >= 262 && bytes.substr(257, 5) == "ustar";
}

}  // namespace

FileNature nature_of(std::string_view name, std::span<const std::byte> begin, uint64_t file_bytes) {
  const std::string_view bytes(reinterpret_cast<const char*>(begin.data()),
                               std::min(begin.size(), kNatureBytes));
  for (const std::string_view ending : kUnfinished) {
    if (name.ends_with(ending)) return FileNature::kUnfinished;
  }
  if (file_bytes == 0) return FileNature::kEmpty;
  for (const Magic& magic : kMagics) {
    if (bytes.starts_with(magic.bytes)) return magic.nature;
  }
  if (bytes.starts_with("PK\x03\x04")) return nature_of_zip(bytes);
  if (is_safetensors(bytes)) return FileNature::kSafetensors;
  if (is_tar(bytes)) return FileNature::kArchive;
  const std::string_view text = without_blanks(bytes);
  if (is_web_page(text)) return FileNature::kWebPage;
  if (!is_text(bytes)) return FileNature::kOther;
  if (begins_with_any(text, kErrorWords)) return FileNature::kErrorMessage;
  return text.starts_with('{') || text.starts_with('[') ? FileNature::kJson : FileNature::kText;
}

const char* to_string(FileNature nature) {
  switch (nature) {
    case FileNature::kOther: return "other data";
    case FileNature::kEmpty: return "an empty file";
    case FileNature::kUnfinished: return "an unfinished download";
    case FileNature::kLfsPointer: return "a git-lfs pointer";
    case FileNature::kWebPage: return "a web page";
    case FileNature::kErrorMessage: return "a server's error message";
    case FileNature::kSafetensors: return "safetensors";
    case FileNature::kGguf: return "GGUF";
    case FileNature::kOldGgml: return "a model in the GGML format of before GGUF";
    case FileNature::kPickle: return "PyTorch's own format";
    case FileNature::kArchive: return "an archive";
    case FileNature::kJson: return "JSON";
    case FileNature::kText: return "text";
  }
  return "other data";
}

std::string_view remedy_of(FileNature nature) {
  switch (nature) {
    case FileNature::kEmpty: return "download it again";
    case FileNature::kUnfinished:
      return "let the download finish, or start it again; do not rename it";
    case FileNature::kLfsPointer: return "run 'git lfs pull' in its folder, or download the file";
    case FileNature::kWebPage:
    case FileNature::kErrorMessage:
      return "read it: often the model's licence has to be accepted, or a login is missing; then "
             "download the file itself, not the page that shows it";
    case FileNature::kOldGgml: return "get a GGUF file of the model; this format is not read";
    case FileNature::kPickle:
      return "it runs code when it is read: get the model as safetensors or GGUF, or load it with "
             "the transformers library and save_pretrained() it as safetensors";
    case FileNature::kArchive: return "unpack it, and give what comes out";
    default: return "";
  }
}

}  // namespace longhaul
