// A call while it is read.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>

#include "base/json.h"
#include "text/chat/repairs.h"

namespace longhaul {

// Members in the order in which their names came first; a later value takes an earlier one's place.
// Json::set walks along the members, which a long object from outside must not ask of it.
class ObjectBuilder {
 public:
  // False where there was such a member.
  bool set(std::string name, Json value) {
    const auto [place, is_new] = index_.emplace(name, members_.size());
    if (is_new) {
      members_.emplace_back(std::move(name), std::move(value));
    } else {
      members_[place->second].second = std::move(value);
    }
    return is_new;
  }
  bool empty() const { return members_.empty(); }
  Json take() {
    index_.clear();
    return Json(std::exchange(members_, {}));
  }

 private:
  Json::Object members_;
  std::unordered_map<std::string, size_t> index_;
};

struct CallDraft {
  std::string name;
  ObjectBuilder arguments;
  Repairs repairs;

  void set(std::string key, Json value) {
    if (!arguments.set(std::move(key), std::move(value))) repairs.add(Repair::kRepeated);
  }
  void set_all(Json object) {
    for (auto& [key, value] : *object.as_object()) set(std::move(key), std::move(value));
  }
};

}  // namespace longhaul
