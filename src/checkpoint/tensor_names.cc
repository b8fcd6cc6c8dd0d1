#include "checkpoint/tensor_names.h"

#include <algorithm>
#include <cctype>

namespace longhaul {

TensorNames::TensorNames(const Architecture& arch, const TensorSource& source) : source_(source) {
  int64_t best = 0;
  for (const std::string& prefix : arch.prefixes) {
    const int64_t found =
        std::count_if(arch.tensors.begin(), arch.tensors.end(), [&](const TensorSpec& t) {
          const auto stands = [&](const std::string& name) {
            return source.find(prefix + name) != nullptr;
          };
          return stands(t.name) || std::any_of(t.other_names.begin(), t.other_names.end(), stands);
        });
    if (found > best) prefix_ = prefix;
    best = std::max(best, found);
  }
}

const TensorInfo* TensorNames::find(const TensorSpec& spec, const std::string& suffix) const {
  const TensorInfo* t = source_.find(prefix_ + spec.name + suffix);
  if (t == nullptr) t = source_.find(spec.name + suffix);
  // The head stands beside the model in whatever wraps both.
  if (t == nullptr && spec.is_absolute) t = source_.find(outer_prefix() + spec.name + suffix);
  for (const std::string& other : spec.other_names) {
    if (t == nullptr) t = source_.find((spec.is_absolute ? other : prefix_ + other) + suffix);
  }
  return t;
}

std::string TensorNames::outer_prefix() const {
  const std::string_view inner =
      std::string_view(prefix_).substr(0, prefix_.empty() ? 0 : prefix_.size() - 1);
  const size_t dot = inner.rfind('.');
  return dot == inner.npos ? "" : prefix_.substr(0, dot + 1);
}

std::string tensor_kind(const std::string& name) {
  std::string kind;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string part = name.substr(at, end - at);
    const bool is_number =
        !part.empty() &&
        std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c); });
    kind += (at == 0 ? "" : ".") + (is_number ? "*" : part);
    at = end + 1;
  }
  return kind;
}

}  // namespace longhaul
