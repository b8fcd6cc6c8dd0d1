// The parser's view of the tokens, and its messages.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/lexer.h"

namespace longhaul::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string_view where)
      : tokens_(std::move(tokens)), where_(where) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  int line() const { return current().line; }

  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_op(std::string_view op) const { return is(TokenKind::kOperator) && current().text == op; }
  bool is_name(std::string_view name) const {
    return is(TokenKind::kName) && current().text == name;
  }
  bool next_is_op(std::string_view op) const {
    return next().kind == TokenKind::kOperator && next().text == op;
  }
  bool skip_op(std::string_view op) { return is_op(op) && (take(), true); }
  bool skip_name(std::string_view name) { return is_name(name) && (take(), true); }

  Status expect_op(std::string_view op) {
    if (skip_op(op)) return {};
    return fail(fmt::format("expected '{}', found {}", op, describe()));
  }
  Status expect_name(std::string_view name) {
    if (skip_name(name)) return {};
    return fail(fmt::format("expected '{}', found {}", name, describe()));
  }
  Result<std::string> expect_any_name() {
    if (is(TokenKind::kName)) return std::move(take().text);
    return fail(fmt::format("expected a name, found {}", describe()));
  }
  Status expect_block_end() {
    if (!is(TokenKind::kBlockEnd))
      return fail(fmt::format("expected the end of the tag, found {}", describe()));
    take();
    return {};
  }

  Error fail(std::string_view message, int line = 0) const {
    return corrupt("{}:{}: {}", where_, line ? line : this->line(), message);
  }

  // The same for an error that is made elsewhere.
  Error fail(Error error, int line = 0) const {
    return in_context(fmt::format("{}:{}", where_, line ? line : this->line()), std::move(error));
  }

  Error not_supported(std::string_view construct) const {
    return fail(unsupported("{} is not supported in chat templates", construct));
  }

  std::string describe() const {
    switch (current().kind) {
      case TokenKind::kData: return "text";
      case TokenKind::kOutputBegin: return "'{{'";
      case TokenKind::kBlockBegin: return "'{%'";
      case TokenKind::kOutputEnd:
      case TokenKind::kBlockEnd: return "the end of the tag";
      case TokenKind::kEnd: return "the end of the template";
      default: return fmt::format("'{}'", current().text.substr(0, 40));
    }
  }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::string_view where_;
};

}  // namespace longhaul::jinja
