// The post-processor of a tokenizer file: the special tokens that go before and after a text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/json_fields.h"

namespace longhaul {

class PostProcessor {
 public:
  using ContainsId = std::function<bool(int64_t)>;

  // Null or absent: nothing is added. `contains_id` tells which ids exist.
  static Result<PostProcessor> from_json(const Json* json, const ContainsId& contains_id,
                                         const std::string& where);

  const std::vector<int32_t>& prefix() const { return prefix_; }
  const std::vector<int32_t>& suffix() const { return suffix_; }

 private:
  Status add(const Json& json, const ContainsId& contains_id, const std::string& where);
  Status add_template(const Fields& fields, const ContainsId& contains_id);

  std::vector<int32_t> prefix_, suffix_;
};

}  // namespace longhaul
