#include "text/tokenizer/post_processor.h"

namespace longhaul {
namespace {

constexpr size_t kMaxIds = 1024;

Status append_special(const Fields& template_fields, const std::string& name,
                      const PostProcessor::ContainsId& contains_id, std::vector<int32_t>& out) {
  LH_TRY(const Fields all, template_fields.object("special_tokens"));
  LH_TRY(const Fields token, all.object(name));
  LH_TRY(const Json::Array* ids, token.array("ids"));
  if (out.size() + ids->size() > kMaxIds)
    return corrupt("{}: more than {} ids", token.at("ids"), kMaxIds);
  for (const Json& id : *ids) {
    if (id.as_int() == nullptr || !contains_id(*id.as_int()))
      return corrupt("{}: not an id of a token", token.at("ids"));
    out.push_back(static_cast<int32_t>(*id.as_int()));
  }
  return {};
}

}  // namespace

Result<PostProcessor> PostProcessor::from_json(const Json* json, const ContainsId& contains_id,
                                               const std::string& where) {
  PostProcessor post_processor;
  if (json != nullptr && !json->is_null())
    LH_RETURN_IF_ERROR(post_processor.add(*json, contains_id, where));
  return post_processor;
}

Status PostProcessor::add(const Json& json, const ContainsId& contains_id,
                          const std::string& where) {
  LH_TRY(const Fields fields, Fields::of(json, where));
  LH_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    LH_TRY(const Json::Array* list, fields.array("processors"));
    for (size_t i = 0; i < list->size(); ++i) {
      LH_RETURN_IF_ERROR(
          add((*list)[i], contains_id, fmt::format("{}[{}]", fields.at("processors"), i)));
    }
    return {};
  }
  if (type == "ByteLevel") return {};  // it only corrects offsets
  if (type == "TemplateProcessing") return add_template(fields, contains_id);
  return unsupported("{}: post-processor '{}' is not supported", fields.at("type"), type);
}

Status PostProcessor::add_template(const Fields& fields, const ContainsId& contains_id) {
  LH_TRY(const Json::Array* single, fields.array("single"));
  std::vector<int32_t> before, after;
  bool seen = false;
  for (size_t i = 0; i < single->size(); ++i) {
    LH_TRY(const Fields part,
           Fields::of((*single)[i], fmt::format("{}[{}]", fields.at("single"), i)));
    if (part.get("Sequence") != nullptr) {
      LH_TRY(const Fields sequence, part.object("Sequence"));
      LH_TRY(const std::string id, sequence.string("id"));
      if (id != "A" || seen)
        return corrupt("{}: a single text is sequence A, once", sequence.at("id"));
      seen = true;
      continue;
    }
    LH_TRY(const Fields special, part.object("SpecialToken"));
    LH_TRY(const std::string name, special.string("id"));
    LH_RETURN_IF_ERROR(append_special(fields, name, contains_id, seen ? after : before));
  }
  if (!seen) return corrupt("{}: no sequence A", fields.at("single"));
  // A second template wraps what the first one gave.
  prefix_.insert(prefix_.begin(), before.begin(), before.end());
  suffix_.insert(suffix_.end(), after.begin(), after.end());
  if (prefix_.size() + suffix_.size() > kMaxIds)
    return corrupt("{}: more than {} ids", fields.at("single"), kMaxIds);
  return {};
}

}  // namespace longhaul
