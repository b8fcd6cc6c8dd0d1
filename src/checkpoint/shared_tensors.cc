#include "checkpoint/shared_tensors.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/notice.h"
#include "base/printable.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/tensor_names.h"

namespace longhaul {
namespace {

// Whether a folder of packed weights holds the head under a name of its own.
bool has_packed_head(const Architecture& arch, const TensorNames& names,
                     const WeightFormat& packed) {
  const WeightSpec& head = arch.weight(arch.head.matrix);
  const std::vector<const Codec*> possible = possible_codecs(head, packed);
  return std::any_of(possible.begin(), possible.end(), [&](const Codec* codec) {
    return names.find(arch.head.own, packed_suffix(head, *codec)) != nullptr;
  });
}

void ignore(Architecture& arch, const TensorInfo& t, const char* reason) {
  arch.ignored.push_back({t.name, reason, false, true});
}

// Both are there: one serves as both only if the config says so and they agree.
void settle_two(Architecture& arch, const TensorInfo& embedding, const TensorInfo& head) {
  if (!arch.is_head_tied()) return;
  if (same_values(embedding, head))
    return ignore(arch, head, "the head equals the embedding, to which it is tied");
  notice("'{}' differs from '{}', to which the config's tie_word_embeddings ties it: both are used",
         printable(head.name), printable(embedding.name));
  arch.untie_head();
}

void settle_head(Architecture& arch, const TensorSource& source,
                 const std::optional<WeightFormat>& packed) {
  const TensorNames names(arch, source);
  const bool was_tied = arch.is_head_tied();
  const TensorInfo* embedding = names.find(arch.tensor_of(arch.embedding.table));
  const TensorInfo* head = names.find(arch.head.own);
  if (packed && embedding != nullptr) {
    if (!has_packed_head(arch, names, *packed)) return arch.tie_head();
    if (was_tied)
      notice(
          "'{}' is packed beside the embedding, to which the config's tie_word_embeddings ties it: "
          "both are used",
          arch.head.own.name);
    return arch.untie_head();
  }
  if (embedding != nullptr && head != nullptr) return settle_two(arch, *embedding, *head);
  if (embedding == nullptr && head == nullptr) return;  // reported as missing
  if (!was_tied) {
    notice(
        "'{}' is the only one of head and embedding that is there: it serves as both, though the "
        "config's tie_word_embeddings is false",
        printable((head != nullptr ? head : embedding)->name));
  }
  embedding != nullptr ? arch.tie_head() : arch.tie_embedding_to_head();
}

// One notice for all of them: they come in every layer.
void settle_denied(Architecture& arch, const TensorSource& source) {
  if (arch.denied.empty()) return;
  const TensorNames names(arch, source);
  std::string first_different;
  size_t n_different = 0;
  for (const DeniedTensor& d : arch.denied) {
    const TensorInfo *denied = names.find({.name = d.name}), *read = names.find({.name = d.read});
    if (denied == nullptr || read == nullptr) continue;
    ignore(arch, *denied, "the config takes another tensor in its place");
    if (same_values(*denied, *read) || n_different++ > 0) continue;
    first_different = fmt::format("'{}' differs from '{}' and is not read: {}",
                                  printable(denied->name), printable(read->name), d.because);
  }
  if (n_different == 0) return;
  notice("{}{}", first_different,
         n_different == 1 ? "" : fmt::format("; so are {} others", n_different - 1));
}

}  // namespace

void settle_shared_tensors(Architecture& arch, const TensorSource& source,
                           const std::optional<WeightFormat>& packed) {
  settle_head(arch, source, packed);
  if (!packed) settle_denied(arch, source);
}

}  // namespace longhaul
