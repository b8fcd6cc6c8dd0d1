// The chat template of a model: the Jinja subset that published templates use, rendered as
// transformers renders it (trim_blocks, lstrip_blocks, loop controls, the generation tag, tojson
// without HTML escapes, an immutable sandbox).
//
// A template is untrusted: steps, output, memory and nesting are bounded, and every failure is an
// Error that names the template, the line and the reason. What raise_exception() says is passed on
// alone, as kInvalidArgument.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>

#include "base/errors.h"
#include "base/json.h"
#include "text/template/limits.h"

namespace longhaul {

struct TemplateOptions {
  TemplateLimits limits;
  std::function<std::tm()> now;  // what strftime_now() formats; empty: the local time
};

class ChatTemplate {
 public:
  // `where` names the template in messages.
  static Result<ChatTemplate> parse(std::string source, std::string where);

  // The members of `context`, an object, are the template's variables: messages, tools,
  // add_generation_prompt, bos_token, ... Any number of threads may render at once.
  Result<std::string> render(const Json& context) const { return render(context, {}); }
  Result<std::string> render(const Json& context, const TemplateOptions& options) const;

  const std::string& source() const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace longhaul
