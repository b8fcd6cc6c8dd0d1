#include "kernels/codecs/codecs.h"

#include <algorithm>
#include <vector>

#include "kernels/codecs/grouped.h"

namespace longhaul {
namespace {

std::vector<const Codec*>& table() {
  static std::vector<const Codec*> rows = {&kF32Codec,
                                           &kBf16Codec,
                                           &kQ8Codec,
                                           &kQ4Codec,
                                           &kE4m3Codec,
                                           &kMxfp4Codec,
#define LH_ROW(type, panels) &grouped_codecs::type,
                                           LH_GROUPED_CODECS(LH_ROW)
#undef LH_ROW
  };
  return rows;
}

const Codec* find(const auto& fits) {
  const auto it = std::find_if(table().begin(), table().end(), fits);
  return it == table().end() ? nullptr : *it;
}

}  // namespace

std::span<const Codec* const> codecs() { return table(); }

const Codec* codec_of_option(std::string_view option) {
  return find([&](const Codec* c) { return c->option != nullptr && option == c->option; });
}

const Codec* codec_of_suffix(std::string_view suffix) {
  return find([&](const Codec* c) { return suffix == c->suffix; });
}

const Codec* codec_that_keeps(const StoredAs& stored) {
  return find([&](const Codec* c) { return c->keeps != nullptr && c->keeps(stored); });
}

RegisteredCodec::RegisteredCodec(const Codec& codec) { table().push_back(&codec); }
RegisteredCodec::~RegisteredCodec() { table().pop_back(); }

}  // namespace longhaul
