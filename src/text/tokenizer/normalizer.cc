#include "text/tokenizer/normalizer.h"

#include <algorithm>

#include "base/utf8.h"

namespace longhaul {
namespace {

constexpr size_t kMaxSteps = 64;

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const Utf8Char c = utf8_char_at(text, 0);
    if (!is_white_space(c.code_point)) break;
    text.remove_prefix(c.size);
  }
  while (right && !text.empty()) {
    const Utf8Char c = utf8_last_char(text);
    if (!is_white_space(c.code_point)) break;
    text.remove_suffix(c.size);
  }
  return text;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

Result<Normalizer> Normalizer::from_json(const Json* json, const std::string& where) {
  Normalizer normalizer;
  if (json != nullptr && !json->is_null()) LH_RETURN_IF_ERROR(normalizer.add(*json, where));
  return normalizer;
}

Status Normalizer::add(const Json& json, const std::string& where) {
  LH_TRY(const Fields fields, Fields::of(json, where));
  LH_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    LH_TRY(const Json::Array* list, fields.array("normalizers"));
    for (size_t i = 0; i < list->size(); ++i) {
      LH_RETURN_IF_ERROR(add((*list)[i], fmt::format("{}[{}]", fields.at("normalizers"), i)));
    }
    return {};
  }
  if (steps_.size() == kMaxSteps)
    return unsupported("{}: more than {} normalizers", where, kMaxSteps);
  return add_one(fields, type);
}

Status Normalizer::add_one(const Fields& fields, const std::string& type) {
  if (type == "Replace") {
    LH_TRY(Pattern pattern, Pattern::from_json(fields, "pattern"));
    LH_TRY(std::string content, fields.string("content"));
    steps_.push_back(Replace{std::move(pattern), std::move(content)});
  } else if (type == "Prepend") {
    LH_TRY(std::string content, fields.string("prepend"));
    steps_.push_back(Prepend{std::move(content)});
  } else if (type == "Strip") {
    LH_TRY(const bool left, fields.boolean_or("strip_left", true));
    LH_TRY(const bool right, fields.boolean_or("strip_right", true));
    steps_.push_back(Strip{left, right});
  } else if (type == "NFC") {
    steps_.push_back(UnicodeForm::kNfc);
  } else if (type == "NFD") {
    steps_.push_back(UnicodeForm::kNfd);
  } else if (type == "NFKC") {
    steps_.push_back(UnicodeForm::kNfkc);
  } else if (type == "NFKD") {
    steps_.push_back(UnicodeForm::kNfkd);
  } else {
    return unsupported("{}: normalizer '{}' is not supported", fields.at("type"), type);
  }
  return {};
}

Result<std::string_view> Normalizer::run(std::string_view text, std::string& buffer,
                                         RegexScratch& scratch) const {
  for (const Step& step : steps_) {
    if (const auto* s = std::get_if<Strip>(&step)) {
      text = strip(text, s->left, s->right);
      continue;
    }
    // `text` may lie in the buffer: the next one is made before the buffer goes.
    std::string next;
    if (const auto* r = std::get_if<Replace>(&step)) {
      LH_TRY(next, r->pattern.replace_all(text, r->content, scratch));
    } else if (const auto* p = std::get_if<Prepend>(&step)) {
      if (text.empty()) continue;
      next = p->content + std::string(text);
    } else {
      if (is_ascii(text)) continue;  // the same in all four forms
      LH_TRY(next, normalize_unicode(text, std::get<UnicodeForm>(step)));
    }
    buffer = std::move(next);
    text = buffer;
    if (text.size() > kMaxTextBytes)
      return invalid("the normalized text exceeds {} bytes", kMaxTextBytes);
  }
  return text;
}

}  // namespace longhaul
