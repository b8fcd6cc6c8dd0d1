#include "text/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <unordered_set>

#include "base/json.h"

namespace longhaul {
namespace {

// Takes the vocabulary and the merges, which are most of the file, straight from the parser's
// events. All other values are small and become a value tree each.
class TokenizerJsonHandler : public JsonHandler {
 public:
  explicit TokenizerJsonHandler(std::string_view where)
      : where_(where),
        vocab_where_(where_ + ": model.vocab"),
        merges_where_(where_ + ": model.merges"),
        tree_(where) {}

  bool on_scalar(Json value) override {
    switch (place_) {
      case Place::kTree: return finish_tree_event(tree_.on_scalar(std::move(value)));
      case Place::kVocab: return add_token(value);
      case Place::kMerges: return add_merge_text(value);
      case Place::kPair: return add_pair_side(value);
      case Place::kVocabStart:
        return fail(corrupt("{}: expected an object, found {}", vocab_where_, value.type_name()));
      case Place::kMergesStart:
        return fail(corrupt("{}: expected an array, found {}", merges_where_, value.type_name()));
      case Place::kModelStart:
        return fail(corrupt("{}: model: expected an object, found {}", where_, value.type_name()));
      default: return fail(corrupt("{}: expected an object, found {}", where_, value.type_name()));
    }
  }

  bool on_begin_object() override {
    switch (place_) {
      case Place::kTree: ++depth_; return tree_.on_begin_object();
      case Place::kStart: place_ = Place::kRoot; return true;
      case Place::kModelStart: place_ = Place::kModel; return true;
      case Place::kVocabStart: place_ = Place::kVocab; return true;
      default: return unexpected("an object");
    }
  }
  bool on_begin_array() override {
    switch (place_) {
      case Place::kTree: ++depth_; return tree_.on_begin_array();
      case Place::kMergesStart: place_ = Place::kMerges; return true;
      case Place::kMerges:
        place_ = Place::kPair;
        n_sides_ = 0;
        return true;
      default: return unexpected("an array");
    }
  }

  bool on_key(std::string& key) override {
    if (place_ == Place::kTree) return tree_.on_key(key) || fail(tree_.stop_reason());
    if (place_ == Place::kVocab) {
      token_ = std::move(key);
      return true;
    }
    const bool in_model = place_ == Place::kModel;
    key_ = key;
    if (!(in_model ? model_keys_ : root_keys_).insert(key).second) {
      return fail(corrupt("{}: {}'{}' stands twice", where_, in_model ? "model." : "", key));
    }
    place_ = in_model ? (key == "vocab"    ? Place::kVocabStart
                         : key == "merges" ? Place::kMergesStart
                                           : Place::kTree)
                      : (key == "model" ? Place::kModelStart : Place::kTree);
    back_to_ = in_model ? Place::kModel : Place::kRoot;
    return true;
  }

  bool on_end_object() override {
    switch (place_) {
      case Place::kTree: --depth_; return finish_tree_event(tree_.on_end_object());
      case Place::kVocab: place_ = Place::kModel; return true;
      case Place::kModel: place_ = Place::kRoot; return true;
      default: return true;  // the root's end
    }
  }
  bool on_end_array() override {
    if (place_ == Place::kTree) {
      --depth_;
      return finish_tree_event(tree_.on_end_array());
    }
    if (place_ == Place::kMerges) {
      place_ = Place::kModel;
      return true;
    }
    if (n_sides_ != 2)
      return fail(
          corrupt("{}[{}]: expected two texts, found {}", merges_where_, merges.size(), n_sides_));
    place_ = Place::kMerges;
    return keep(merges.add(sides_[0], sides_[1], merges_where_));
  }
  Error stop_reason() const override { return error_; }

  Json::Object root, model;
  Vocabulary vocabulary;
  MergeTexts merges;
  bool has_vocab() const { return model_keys_.contains("vocab"); }
  bool has_merges() const { return model_keys_.contains("merges"); }
  bool has_model() const { return root_keys_.contains("model"); }

 private:
  enum class Place {
    kStart,
    kRoot,
    kTree,
    kModelStart,
    kModel,
    kVocabStart,
    kVocab,
    kMergesStart,
    kMerges,
    kPair
  };

  bool fail(Error error) {
    error_ = std::move(error);
    return false;
  }
  bool keep(Status status) { return status.ok() || fail(status.take_error()); }
  bool unexpected(const char* found) {
    switch (place_) {
      case Place::kVocabStart:
        return fail(corrupt("{}: expected an object, found {}", vocab_where_, found));
      case Place::kVocab:
        return fail(
            corrupt("{}: token '{}': expected an integer, found {}", vocab_where_, token_, found));
      case Place::kMergesStart:
        return fail(corrupt("{}: expected an array, found {}", merges_where_, found));
      case Place::kMerges:
      case Place::kPair:
        return fail(corrupt("{}[{}]: expected \"left right\" or [left, right], found {}",
                            merges_where_, merges.size(), found));
      case Place::kModelStart:
        return fail(corrupt("{}: model: expected an object, found {}", where_, found));
      default: return fail(corrupt("{}: expected an object, found {}", where_, found));
    }
  }

  // A value of the tree is complete when nothing is open any more.
  bool finish_tree_event(bool ok) {
    if (!ok) return fail(tree_.stop_reason());
    if (depth_ > 0) return true;
    (back_to_ == Place::kModel ? model : root).emplace_back(key_, tree_.take());
    place_ = back_to_;
    return true;
  }

  bool add_token(const Json& id) {
    if (id.as_int() == nullptr) {
      return fail(corrupt("{}: token '{}': expected an integer, found {}", vocab_where_, token_,
                          id.type_name()));
    }
    return keep(vocabulary.add(token_, *id.as_int(), vocab_where_));
  }
  bool add_merge_text(const Json& value) {
    const std::string* text = value.as_string();
    if (text == nullptr) return unexpected(value.type_name());
    const size_t blank = text->find(' ');
    if (blank == text->npos || text->find(' ', blank + 1) != text->npos) {
      return fail(corrupt("{}[{}]: '{}' is not two texts with one blank between", merges_where_,
                          merges.size(), *text));
    }
    return keep(merges.add(std::string_view(*text).substr(0, blank),
                           std::string_view(*text).substr(blank + 1), merges_where_));
  }
  bool add_pair_side(const Json& value) {
    const std::string* text = value.as_string();
    if (text == nullptr) return unexpected(value.type_name());
    if (n_sides_ < 2) sides_[n_sides_] = *text;
    ++n_sides_;
    return true;
  }

  std::string where_, vocab_where_, merges_where_;
  JsonTreeBuilder tree_;
  Place place_ = Place::kStart, back_to_ = Place::kRoot;
  int depth_ = 0;  // open containers of the tree's value
  std::string key_, token_;
  std::unordered_set<std::string> root_keys_, model_keys_;
  std::string sides_[2];
  size_t n_sides_ = 0;
  Error error_;
};

Status check_model(const Fields& model, const TokenizerJsonHandler& handler) {
  // Old files have no type; they are told by their members.
  if (model.get("type") != nullptr) {
    LH_TRY(const std::string type, model.string("type"));
    if (type != "BPE")
      return unsupported("{}: model '{}' is not supported, only BPE", model.at("type"), type);
  }
  if (!handler.has_vocab()) return corrupt("{}: missing", model.at("vocab"));
  if (!handler.has_merges())
    return corrupt("{}: missing (only BPE models are supported)", model.at("merges"));
  if (handler.vocabulary.size() == 0) return corrupt("{}: empty", model.at("vocab"));
  return handler.vocabulary.check_density(model.at("vocab"));
}

}  // namespace

Result<TokenizerParts> read_tokenizer_json(std::string_view json, std::string_view where,
                                           int64_t max_ids) {
  TokenizerJsonHandler handler(where);
  LH_RETURN_IF_ERROR(parse_json_events(json, where, handler));
  const Json root_json(std::move(handler.root)), model_json(std::move(handler.model));
  const std::string file(where);
  if (!handler.has_model()) return corrupt("{}: no member 'model': not a tokenizer.json?", file);
  LH_TRY(const Fields root, Fields::of(root_json, file + ":"));
  LH_TRY(const Fields model, Fields::of(model_json, file + ": model"));
  LH_RETURN_IF_ERROR(check_model(model, handler));

  TokenizerParts parts;
  parts.max_ids = max_ids;
  LH_TRY(parts.bpe, Bpe::build(model, std::move(handler.vocabulary), handler.merges, file));
  LH_TRY(parts.normalizer, Normalizer::from_json(root.get("normalizer"), root.at("normalizer")));
  LH_TRY(parts.added, AddedTokens::from_json(root.get("added_tokens"), parts.bpe.vocabulary(),
                                             parts.normalizer, max_ids, root.at("added_tokens")));
  LH_TRY(parts.pre_tokenizer,
         PreTokenizer::from_json(root.get("pre_tokenizer"), root.at("pre_tokenizer")));
  if (parts.pre_tokenizer.byte_alphabet()) {
    LH_RETURN_IF_ERROR(parts.bpe.use_byte_alphabet());
  }
  const auto contains_id = [&](int64_t id) {
    return parts.bpe.vocabulary().contains(id) ||
           (id >= 0 && id <= INT32_MAX && parts.added.find(static_cast<int32_t>(id)) != nullptr);
  };
  LH_TRY(parts.post_processor, PostProcessor::from_json(root.get("post_processor"), contains_id,
                                                        root.at("post_processor")));
  LH_TRY(parts.decoder, Decoder::from_json(root.get("decoder"), root.at("decoder")));
  return parts;
}

}  // namespace longhaul
