// What one row of attention state holds.
#pragma once

namespace longhaul {

enum class RowKind {
  kKeysAndValues,  // a key and a value, apart
  kShared,         // one vector that is key and value at once
  kKeys,           // a key alone
};

}  // namespace longhaul
