// Holds the arrows of the design: who may include whom, which layer may know which library, and
// where a family may be named. Reads the sources as text, so it also sees what this configuration
// does not compile.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "source_text.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

struct Include {
  std::string target;
  bool is_quoted = false;
  std::string first_folder() const { return target.substr(0, target.find('/')); }
};

struct Source {
  std::string path;   // "src/base/json.cc"
  std::string layer;  // "base"; "" in include/
  std::string code;   // without comments
  std::vector<Include> includes;
};

// Equal ranks stand side by side: they do not include each other.
const std::map<std::string, int> kRank = {
    {"base", 0},    {"tensor", 1},     {"kernels", 2}, {"formats", 2}, {"text", 2},
    {"arch", 3},    {"mechanisms", 4}, {"models", 5},  {"cost", 6},    {"checkpoint", 6},
    {"runtime", 7}, {"generate", 8},   {"api", 9},     {"cli", 10},
};

std::vector<Include> includes_of(const std::string& code) {
  static const std::regex kInclude(R"re((?:^|\n)[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"])re");
  std::vector<Include> found;
  for (std::sregex_iterator it(code.begin(), code.end(), kInclude), end; it != end; ++it) {
    found.push_back({(*it)[2].str(), (*it)[1].str() == "\""});
  }
  return found;
}

std::vector<Source> read_sources(const char* folder) {
  std::vector<Source> sources;
  const fs::path root(LH_SOURCE_DIR);
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".h" && extension != ".cc" && extension != ".inc") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    Source source;
    source.path = fs::relative(entry.path(), root).generic_string();
    source.code = without_comments({std::istreambuf_iterator<char>(file), {}});
    source.includes = includes_of(source.code);
    const std::string below = source.path.substr(std::string_view(folder).size() + 1);
    if (std::string_view(folder) == "src") source.layer = below.substr(0, below.find('/'));
    sources.push_back(std::move(source));
  }
  return sources;
}

const std::vector<Source>& sources() {
  static const std::vector<Source> kSources = read_sources("src");
  return kSources;
}

// The public headers and the sources.
std::vector<Source> everything() {
  std::vector<Source> all = read_sources("include/longhaul");
  all.insert(all.end(), sources().begin(), sources().end());
  return all;
}

bool is_test(const Source& source) {
  return source.path.ends_with("_test.cc") || source.path.ends_with("_testing.h") ||
         source.path.ends_with("_testing.cc");
}

bool is_os_header(const std::string& target) {
  static constexpr std::array kHeaders = {"unistd.h", "fcntl.h", "sched.h",   "pthread.h",
                                          "dirent.h", "poll.h",  "termios.h", "dlfcn.h",
                                          "netdb.h",  "spawn.h", "pwd.h"};
  return target.starts_with("sys/") || target.starts_with("linux/") ||
         target.starts_with("netinet/") || target.starts_with("arpa/") ||
         std::find(kHeaders.begin(), kHeaders.end(), target) != kHeaders.end();
}

bool is_simd_header(const std::string& target) {
  return target.starts_with("hwy/") || target.ends_with("intrin.h") || target == "arm_neon.h" ||
         target == "arm_sve.h" || target == "cpuid.h";
}

TEST(Structure, FindsTheSources) {
  EXPECT_GT(sources().size(), 10u);
  for (const Source& source : sources())
    EXPECT_TRUE(kRank.contains(source.layer)) << source.path << " is in no known layer";
}

TEST(Structure, LayersIncludeOnlyWhatStandsBelow) {
  for (const Source& source : sources()) {
    if (source.layer == "cli" || source.layer == "server") continue;
    for (const Include& include : source.includes) {
      const auto target = kRank.find(include.first_folder());
      const auto own = kRank.find(source.layer);
      if (!include.is_quoted || target == kRank.end() || own == kRank.end() ||
          target->first == source.layer)
        continue;
      EXPECT_LT(target->second, own->second) << source.path << " includes " << include.target;
    }
  }
}

TEST(Structure, FacesUseThePublicHeadersAlone) {
  static constexpr std::array kAllowed = {"longhaul", "fmt", "CLI", "histedit.h", "signal.h"};
  for (const Source& source : sources()) {
    if (source.layer != "cli" && source.layer != "server") continue;
    for (const Include& include : source.includes) {
      const std::string folder = include.first_folder();
      if (folder == source.layer || (is_test(source) && (folder == "gtest" || folder == "gmock")))
        continue;
      if (!include.is_quoted && include.target.find_first_of("/.") == std::string::npos)
        continue;                                  // the standard library
      if (is_os_header(include.target)) continue;  // LibrariesHaveOneHome asks for those
      const bool is_http = folder == "boost" && source.layer == "server";
      const bool is_allowed =
          is_http || std::find(kAllowed.begin(), kAllowed.end(), folder) != kAllowed.end();
      EXPECT_TRUE(is_allowed) << source.path << " includes " << include.target;
    }
  }
}

TEST(Structure, LibrariesHaveOneHome) {
  for (const Source& source : sources()) {
    for (const Include& include : source.includes) {
      const std::string at = source.path + " includes " + include.target;
      // The program's own streams are no library's.
      const bool is_program = source.path.starts_with("src/cli/standard_streams.");
      const bool in_kernels = source.layer == "kernels",
                 in_base = source.layer == "base" || is_program || is_test(source);
      EXPECT_TRUE(in_kernels || !is_simd_header(include.target)) << at;
      EXPECT_TRUE(in_base || !is_os_header(include.target)) << at;
      EXPECT_TRUE(source.path == "src/base/json.cc" || include.first_folder() != "nlohmann") << at;
    }
  }
}

TEST(Structure, PublicHeadersCarryNoThirdPartyType) {
  for (const Source& source : read_sources("include/longhaul")) {
    for (const Include& include : source.includes) {
      const bool is_standard =
          !include.is_quoted && include.target.find_first_of("/.") == std::string::npos;
      EXPECT_TRUE(is_standard || include.first_folder() == "longhaul")
          << source.path << " includes " << include.target;
    }
  }
}

TEST(Structure, ArchIsPlainData) {
  static const std::regex kVirtual(R"(\bvirtual\b)");
  static constexpr std::array kFileHeaders = {
      "fstream", "filesystem", "cstdio", "stdio.h", "base/mapped_file.h", "base/atomic_file.h"};
  for (const Source& source : sources()) {
    if (source.layer != "arch" || is_test(source)) continue;
    EXPECT_FALSE(std::regex_search(source.code, kVirtual))
        << source.path << " has a virtual function";
    for (const Include& include : source.includes) {
      const bool reads_files =
          std::find(kFileHeaders.begin(), kFileHeaders.end(), include.target) != kFileHeaders.end();
      EXPECT_FALSE(reads_files || include.first_folder() == "formats")
          << source.path << " includes " << include.target;
    }
  }
}

TEST(Structure, CostNeedsNoKernelAndNoWeights) {
  for (const Source& source : sources()) {
    if (source.layer != "cost" || is_test(source)) continue;
    for (const Include& include : source.includes) {
      EXPECT_NE(include.first_folder(), "kernels") << source.path << " includes " << include.target;
      const bool is_weight_reader =
          include.first_folder() == "formats" && include.target != "formats/config_reader.h";
      EXPECT_FALSE(is_weight_reader) << source.path << " includes " << include.target;
    }
  }
}

size_t line_of(const std::string& code, size_t at) {
  return 1 +
         static_cast<size_t>(std::count(code.begin(), code.begin() + static_cast<long>(at), '\n'));
}

void expect_nowhere(const Source& source, const std::regex& pattern, const char* what) {
  for (std::sregex_iterator it(source.code.begin(), source.code.end(), pattern), end; it != end;
       ++it) {
    ADD_FAILURE() << source.path << ":" << line_of(source.code, static_cast<size_t>(it->position()))
                  << ": '" << it->str() << "' " << what;
  }
}

// A spec's type is known to its own file, to edits of a description and to tests. All others ask
// its table, so that a mixer is one file.
TEST(Structure, SpecsAreAskedThroughTheirTable) {
  static const std::regex kQuery(
      R"((get_if|holds_alternative|std::get|any_cast|\bas)\s*<\s*(\w*(Spec|Residual)\b|Rope\w+))");
  static const std::regex kKind(R"(\bas_attention\b)");
  for (const Source& source : sources()) {
    if (source.layer == "arch" || source.layer == "mechanisms" || is_test(source)) continue;
    expect_nowhere(source, kQuery, "asks for the type of a spec");
    expect_nowhere(source, kKind, "takes what keeps state for attention");
  }
}

// kernels/ops.h is the seam: what fills it, and the kernels that it is filled with, lie behind it.
bool is_inside_a_backend(const std::string& target) {
  static const std::regex kInside(R"(kernels/(kernels\.h|(cpu|highway|ref|x86)/.*))");
  return std::regex_match(target, kInside);
}

// Mechanisms read like their equations: loops over elements, and pointers to them, are a backend's.
TEST(Structure, MechanismsTouchNoElement) {
  static const std::regex kElements(R"(\bfloat\s*(const\s*)?\*|\bKernelSet\b|\bfor_rows\b)");
  for (const Source& source : sources()) {
    if (source.layer != "mechanisms" || is_test(source)) continue;
    expect_nowhere(source, kElements, "is for kernels/ alone: use a call of ops.h");
    for (const Include& include : source.includes) {
      EXPECT_FALSE(is_inside_a_backend(include.target))
          << source.path << " includes " << include.target;
    }
  }
}

// "Where is X?" is answered by a file name.
TEST(Structure, NoTwoFilesShareAName) {
  std::map<std::string, std::string> path_of;
  for (const Source& source : everything()) {
    if (is_test(source)) continue;
    const auto [it, is_new] = path_of.emplace(fs::path(source.path).filename(), source.path);
    EXPECT_TRUE(is_new) << source.path << " has the name of " << it->second;
  }
}

// The families are those whose files offer one: "const Family& laguna_family()".
std::vector<std::string> families() {
  static const std::regex kOffer(R"(const Family& (\w+?)(_v\d+)?_family\(\))");
  std::vector<std::string> names;
  for (const Source& source : sources()) {
    std::smatch offer;
    if (source.layer != "models" || !source.path.ends_with(".h")) continue;
    if (std::regex_search(source.code, offer, kOffer)) names.push_back(offer[1].str());
  }
  return names;
}

TEST(Structure, OnlyModelsNameAFamily) {
  EXPECT_GE(families().size(), 4u);
  for (const Source& source : sources()) {
    if (source.layer == "models" || is_test(source)) continue;
    std::string code = source.code;
    std::transform(code.begin(), code.end(), code.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    for (const std::string& family : families()) {
      const size_t at = code.find(family);
      if (at == std::string::npos) continue;
      ADD_FAILURE() << source.path << ":" << line_of(code, at) << " names the family " << family;
    }
  }
}

std::string text_of(const char* path) {
  std::ifstream in(fs::path(LH_SOURCE_DIR) / path);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// Code alone: no comments, no blanks.
std::string squeezed(const std::string& source) {
  std::string code = without_comments(source);
  std::erase_if(code, [](unsigned char c) { return std::isspace(c) != 0; });
  return code;
}

TEST(Structure, ThePageOnMixersShowsTheCodeThatIsTested) {
  const std::string page = text_of("docs/add-a-mixer.md"), fence = "```cpp\n";
  const std::string code = squeezed(text_of("tests/testing/gated_mean.h") +
                                    text_of("tests/equivalence/gated_mean_test.cc"));
  int shown = 0;
  for (size_t at = 0; (at = page.find(fence, at)) != std::string::npos; ++shown) {
    const size_t begin = at + fence.size(), end = page.find("```", begin);
    ASSERT_NE(end, std::string::npos);
    const std::string block = page.substr(begin, end - begin);
    EXPECT_NE(code.find(squeezed(block)), std::string::npos) << "not in the tests:\n" << block;
    at = end + 3;
  }
  EXPECT_GE(shown, 7);
}

TEST(SourceText, StripsCommentsAndKeepsStrings) {
  EXPECT_EQ(without_comments("a // b\nc"), "a \nc");
  EXPECT_EQ(without_comments("a /* b\n */ c"), "a \n c");
  EXPECT_EQ(without_comments(R"(f("// no", '"', 'x') // yes)"), R"(f("// no", '"', 'x') )");
  EXPECT_EQ(without_comments("1'000 /* x */ '\\'' // y"), "1'000  '\\'' ");
  EXPECT_EQ(without_comments("R\"(a \" // b)\" // c"), "R\"(a \" // b)\" ");
  EXPECT_EQ(without_comments("R\"re(a)\" // b)re\" // c"), "R\"re(a)\" // b)re\" ");
}

}  // namespace
}  // namespace longhaul
