#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/tokenizer/regex.h"

#include <pcre2.h>

#include <algorithm>

namespace longhaul {
namespace {

std::string pcre2_message(int code) {
  char text[256] = "";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

}  // namespace

struct RegexScratch::Impl {
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  pcre2_match_data* data = nullptr;

  ~Impl() {
    pcre2_match_data_free(data);
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
  }
};

RegexScratch::RegexScratch() : impl_(std::make_unique<Impl>()) {
  impl_->context = pcre2_match_context_create(nullptr);
  impl_->stack = pcre2_jit_stack_create(32 * 1024, 1024 * 1024, nullptr);
  impl_->data = pcre2_match_data_create(1, nullptr);
  if (impl_->stack != nullptr) pcre2_jit_stack_assign(impl_->context, nullptr, impl_->stack);
}
RegexScratch::~RegexScratch() = default;

struct Regex::Code {
  pcre2_code* code = nullptr;
  bool jit = false;
  std::string where;
  ~Code() { pcre2_code_free(code); }
};

Result<Regex> Regex::compile(std::string_view onig_pattern, const std::string& where) {
  auto translated = translate_regex(onig_pattern);
  if (!translated.ok()) {
    Error error = translated.take_error();
    return in_context(where, error);
  }
  auto compiled = std::make_shared<Code>();
  compiled->where = where;
  auto* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's syntax: ^ and $ match at every line.
  compiled->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (compiled->code == nullptr) {
    return corrupt("{}: regex '{}' does not compile: {} at offset {} of '{}'", where, onig_pattern,
                   pcre2_message(error), offset, *translated);
  }
  compiled->jit = pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE) == 0;
  Regex regex;
  regex.code_ = std::move(compiled);
  return regex;
}

Result<std::optional<MatchRange>> Regex::find(std::string_view text, size_t from,
                                              RegexScratch& scratch) const {
  auto& s = *scratch.impl_;
  if (s.context == nullptr || s.data == nullptr)
    return Error{ErrorCode::kInternal, "no memory for a regex match"};
  // The default limit of 10 million steps would refuse a long run of blanks, which is stepped
  // through once each way.
  const uint64_t limit = 10'000'000 + 8 * static_cast<uint64_t>(text.size());
  pcre2_set_match_limit(s.context, static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int rc =
      code_->jit ? pcre2_jit_match(code_->code, subject, text.size(), from, 0, s.data, s.context)
                 : pcre2_match(code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, s.data,
                               s.context);
  if (rc == PCRE2_ERROR_NOMATCH) return std::optional<MatchRange>();
  if (rc < 0) {
    return invalid("{}: matching failed in a text of {} bytes at byte {}: {}", code_->where,
                   text.size(), from, pcre2_message(rc));
  }
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(s.data);
  return std::optional<MatchRange>(MatchRange{range[0], range[1]});
}

}  // namespace longhaul
