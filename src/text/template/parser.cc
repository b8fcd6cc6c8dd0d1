#include "text/template/parser.h"

#include <algorithm>
#include <initializer_list>

#include "text/template/expression_parser.h"
#include "text/template/limits.h"
#include "text/template/offered.h"

namespace longhaul::jinja {
namespace {

class Parser {
 public:
  explicit Parser(TokenStream tokens) : t_(std::move(tokens)), e_(t_) {}

  Result<Block> run() { return block({}); }

 private:
  using Ends = std::initializer_list<std::string_view>;

  // Statements up to a tag with one of the names, which becomes current; with no names, up to the
  // end of the template.
  Result<Block> block(Ends ends) {
    if (nesting_ >= kMaxSyntaxDepth) return t_.fail("statements are nested too deep");
    ++nesting_;
    Block out;
    while (true) {
      const int line = t_.line();
      if (t_.is(TokenKind::kEnd)) {
        if (ends.size() == 0) break;
        return t_.fail(
            fmt::format("expected '{}', found the end of the template", *(ends.end() - 1)));
      }
      const TokenKind kind = t_.current().kind;
      Token& token = t_.take();
      if (kind == TokenKind::kData) {
        out.push_back({line, DataStmt{std::move(token.text)}});
      } else if (kind == TokenKind::kOutputBegin) {
        LH_TRY(ExprPtr value, e_.tuple(true));
        if (!t_.is(TokenKind::kOutputEnd))
          return t_.fail(fmt::format("expected the end of the tag, found {}", t_.describe()));
        t_.take();
        out.push_back({line, OutputStmt{std::move(value)}});
      } else {
        if (t_.is(TokenKind::kName) &&
            std::find(ends.begin(), ends.end(), t_.current().text) != ends.end())
          break;
        LH_RETURN_IF_ERROR(statement(line, out));
        LH_RETURN_IF_ERROR(t_.expect_block_end());
      }
    }
    --nesting_;
    return out;
  }

  // A block behind the current tag's end, up to its closing tag's name, which is taken.
  Result<Block> body_until(std::string_view end) {
    LH_RETURN_IF_ERROR(t_.expect_block_end());
    LH_TRY(Block body, block({end}));
    t_.take();
    return body;
  }

  Status statement(int line, Block& out) {
    LH_TRY(const std::string tag, t_.expect_any_name());
    if (tag == "if") return if_statement(line, out);
    if (tag == "for") return for_statement(line, out);
    if (tag == "set") return set_statement(line, out);
    if (tag == "macro") return macro_statement(line, out);
    if (tag == "call") return call_statement(line, out);
    if (tag == "filter") {
      LH_TRY(ExprPtr filter, e_.filter(nullptr));
      LH_TRY(Block body, body_until("endfilter"));
      out.push_back({line, FilterStmt{std::move(filter), std::move(body)}});
      return {};
    }
    if (tag == "generation") {
      // The reference renders it through a caller: break and continue do not reach out of it.
      const int outer_loops = std::exchange(loops_, 0);
      LH_TRY(Block body, body_until("endgeneration"));
      loops_ = outer_loops;
      out.push_back({line, ScopeStmt{std::move(body)}});
      return {};
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) return t_.fail(fmt::format("'{}' outside of a loop", tag), line);
      out.push_back(tag == "break" ? Stmt{line, BreakStmt{}} : Stmt{line, ContinueStmt{}});
      return {};
    }
    static constexpr std::string_view kTags[] = {"break",      "call", "continue", "filter", "for",
                                                 "generation", "if",   "macro",    "raw",    "set"};
    static constexpr std::string_view kInner[] = {"elif",   "else",         "endcall",  "endfilter",
                                                  "endfor", "endif",        "endmacro", "endraw",
                                                  "endset", "endgeneration"};
    if (std::find(std::begin(kInner), std::end(kInner), tag) != std::end(kInner))
      return t_.fail(fmt::format("'{}' without the tag that it belongs to", tag), line);
    return t_.fail(not_offered("tag", tag, kTags), line);
  }

  Status if_statement(int line, Block& out) {
    IfStmt node;
    while (true) {
      LH_TRY(ExprPtr condition, e_.tuple(false));
      LH_RETURN_IF_ERROR(t_.expect_block_end());
      LH_TRY(Block body, block({"elif", "else", "endif"}));
      node.branches.emplace_back(std::move(condition), std::move(body));
      if (t_.skip_name("elif")) continue;
      if (t_.skip_name("else")) {
        LH_TRY(node.otherwise, body_until("endif"));
      } else {
        t_.take();
      }
      out.push_back({line, std::move(node)});
      return {};
    }
  }

  Status for_statement(int line, Block& out) {
    ForStmt node;
    LH_TRY(node.target, e_.target(/*with_attribute=*/false));
    LH_RETURN_IF_ERROR(t_.expect_name("in"));
    LH_TRY(node.iterable, e_.tuple(false));
    if (t_.is_name("recursive")) return t_.not_supported("a recursive loop");
    if (t_.skip_name("if")) {
      LH_TRY(node.condition, e_.expression());
    }
    LH_RETURN_IF_ERROR(t_.expect_block_end());
    ++loops_;
    LH_TRY(node.body, block({"else", "endfor"}));
    --loops_;
    if (t_.skip_name("else")) {
      LH_TRY(node.otherwise, body_until("endfor"));
    } else {
      t_.take();
    }
    out.push_back({line, std::move(node)});
    return {};
  }

  Status set_statement(int line, Block& out) {
    LH_TRY(Target target, e_.target(/*with_attribute=*/true));
    if (t_.skip_op("=")) {
      LH_TRY(ExprPtr value, e_.tuple(true));
      out.push_back({line, SetStmt{std::move(target), std::move(value)}});
      return {};
    }
    if (t_.is_op("|")) return t_.not_supported("a filter of a set block");
    LH_TRY(Block body, body_until("endset"));
    out.push_back({line, SetBlockStmt{std::move(target), std::move(body)}});
    return {};
  }

  Status signature(MacroDef& macro) {
    LH_RETURN_IF_ERROR(t_.expect_op("("));
    while (!t_.is_op(")")) {
      if (!macro.parameters.empty()) LH_RETURN_IF_ERROR(t_.expect_op(","));
      Parameter p;
      LH_TRY(p.name, t_.expect_any_name());
      for (const Parameter& other : macro.parameters) {
        if (other.name == p.name)
          return t_.fail(fmt::format("parameter '{}' stands twice", p.name));
      }
      if (t_.skip_op("=")) {
        LH_TRY(p.fallback, e_.expression());
      } else if (!macro.parameters.empty() && macro.parameters.back().fallback) {
        return t_.fail("a parameter without a default follows one that has a default");
      }
      macro.parameters.push_back(std::move(p));
    }
    t_.take();
    return {};
  }

  // break and continue do not reach out of it.
  Status macro_body(MacroDef& macro, std::string_view end) {
    const int outer_loops = std::exchange(loops_, 0);
    LH_TRY(macro.body, body_until(end));
    loops_ = outer_loops;
    return {};
  }

  Status macro_statement(int line, Block& out) {
    auto macro = std::make_shared<MacroDef>();
    LH_TRY(macro->name, t_.expect_any_name());
    LH_RETURN_IF_ERROR(signature(*macro));
    LH_RETURN_IF_ERROR(macro_body(*macro, "endmacro"));
    out.push_back({line, MacroStmt{std::move(macro)}});
    return {};
  }

  Status call_statement(int line, Block& out) {
    auto caller = std::make_shared<MacroDef>();
    caller->name = "caller";
    if (t_.is_op("(")) return t_.not_supported("a call block with parameters");
    LH_TRY(ExprPtr call, e_.expression());
    if (!std::holds_alternative<CallExpr>(call->node))
      return t_.fail("a call block needs a call", line);
    LH_RETURN_IF_ERROR(macro_body(*caller, "endcall"));
    out.push_back({line, CallStmt{std::move(caller), std::move(call)}});
    return {};
  }

  TokenStream t_;
  ExpressionParser e_;
  int nesting_ = 0;
  int loops_ = 0;
};

}  // namespace

Result<Block> parse_template(std::string_view source, std::string_view where) {
  LH_TRY(std::vector<Token> tokens, tokenize(source, where));
  return Parser(TokenStream(std::move(tokens), where)).run();
}

}  // namespace longhaul::jinja
