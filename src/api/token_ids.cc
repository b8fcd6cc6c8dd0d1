#include "base/json.h"
#include "base/printable.h"
#include "longhaul/model.h"

namespace longhaul {

Result<std::vector<int32_t>> parse_token_ids(std::string_view text, std::string_view where) {
  LH_TRY(const Json json, parse_json(text, where));
  const auto* array = json.as_array();
  if (array == nullptr)
    return corrupt(
        "{}: expected a JSON array of token ids such as [2, 17], found {}; write such a list",
        where, json.type_name());
  std::vector<int32_t> tokens;
  for (const Json& item : *array) {
    const int64_t* id = item.as_int();
    if (id == nullptr || *id < 0 || *id > INT32_MAX)
      return corrupt("{}: entry {} is no token id: {}; expected a whole number", where,
                     tokens.size(), printable(item.dump()));
    tokens.push_back(static_cast<int32_t>(*id));
  }
  return tokens;
}

}  // namespace longhaul
