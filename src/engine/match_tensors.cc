#include "engine/match_tensors.h"

#include <algorithm>
#include <unordered_set>

#include "base/printable.h"
#include "engine/pack.h"
#include "engine/packed_folder.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

bool is_float(DType d) { return d == DType::kF32 || d == DType::kF16 || d == DType::kBF16; }

class TensorMatcher {
 public:
  TensorMatcher(const Architecture& arch, const TensorSource& source, std::optional<WeightFormat> packed)
      : arch_(arch), source_(source), packed_(packed) {
    // The prefix is that under which most tensors are found: one missing tensor must not hide the layout.
    size_t best = 0;
    for (const std::string& prefix : arch.prefixes) {
      const auto found = static_cast<size_t>(std::count_if(arch.tensors.begin(), arch.tensors.end(), [&](const TensorSpec& t) {
        const auto stands = [&](const std::string& name) { return source.find(prefix + name) != nullptr; };
        return stands(t.name) || std::any_of(t.other_names.begin(), t.other_names.end(), stands);
      }));
      if (found > best) prefix_ = prefix;
      best = std::max(best, found);
    }
  }

  Result<MatchedTensors> match() {
    MatchedTensors found{std::vector<ScaledTensor>(arch_.tensors.size()), std::vector<PackedTensor>(arch_.weights.size())};
    const std::vector<std::optional<WeightUse>> uses = uses_of_tensors();
    for (size_t i = 0; i < uses.size(); ++i) {
      if (uses[i]) found.tensors[i] = match_one(arch_.tensors[i], *uses[i]);
    }
    for (size_t i = 0; packed_ && i < arch_.weights.size(); ++i) {
      if (arch_.weights[i].is_packed()) found.packed[i] = match_packed(arch_.weights[i]);
    }
    for (const TensorInfo& t : source_.all()) {
      if (!claimed_.count(t.name) && !is_ignored(t.name))
        problems_.push_back(fmt::format("unclaimed tensor '{}' {}", printable(t.name), shape_text(t.shape)));
    }
    if (problems_.empty()) return found;
    constexpr size_t kShown = 20;
    const size_t n = problems_.size();
    if (n > kShown) problems_.resize(kShown);
    return corrupt("the checkpoint does not fit its config ({} problems{}):\n  {}", n, n > kShown ? ", the first 20 are" : "",
                   fmt::join(problems_, "\n  "));
  }

 private:
  const TensorInfo* find(const TensorSpec& spec, const std::string& suffix = {}) const {
    const TensorInfo* t = source_.find(prefix_ + spec.name + suffix);
    if (t == nullptr) t = source_.find(spec.name + suffix);
    // The head stands beside the model in whatever wraps both.
    if (t == nullptr && spec.is_absolute) t = source_.find(outer_prefix() + spec.name + suffix);
    for (const std::string& other : spec.other_names) {
      if (t == nullptr) t = source_.find((spec.is_absolute ? other : prefix_ + other) + suffix);
    }
    return t;
  }

  std::string outer_prefix() const {
    constexpr std::string_view kModel = "model.";
    return prefix_.ends_with(kModel) ? prefix_.substr(0, prefix_.size() - kModel.size()) : prefix_;
  }

  // Nothing where only packed weights stand in for the tensor.
  std::vector<std::optional<WeightUse>> uses_of_tensors() const {
    std::vector<std::optional<WeightUse>> uses(arch_.tensors.size());
    if (!packed_) std::fill(uses.begin(), uses.end(), WeightUse::kVector);
    for (const WeightSpec& w : arch_.weights) {
      // A table is read as it stands in the file, whatever else the tensor serves as.
      const bool is_table = uses[static_cast<size_t>(w.tensor)] == WeightUse::kLookup;
      if (!is_table && (!packed_ || !w.is_packed())) std::fill_n(uses.begin() + w.tensor, w.n_tensors, w.use);
    }
    return uses;
  }

  const TensorInfo* find_scales(const TensorInfo& weight) {
    for (const std::string& name : scale_names(weight.name)) {
      if (const TensorInfo* scales = source_.find(name)) {
        claimed_.insert(scales->name);
        return scales;
      }
    }
    return nullptr;
  }

  ScaledTensor match_one(const TensorSpec& spec, WeightUse use) {
    const TensorInfo* t = find(spec);
    if (t == nullptr) {
      problems_.push_back(fmt::format("missing tensor '{}{}' {}", spec.is_absolute ? "" : prefix_, spec.name, shape_text(spec.shape)));
      return {};
    }
    claimed_.insert(t->name);
    if (needs_scales(t->dtype) && (use == WeightUse::kMatrix || use == WeightUse::kExpert)) {
      const ScaledTensor scaled{t, find_scales(*t)};
      if (const Status status = check_scaled(scaled, spec.shape); !status.ok()) problems_.push_back(status.error().message);
      return scaled;
    }
    // A buffer of one element may be stored as a scalar.
    const bool scalar = t->shape.empty() && spec.n_elements() == 1;
    if (t->shape != spec.shape && !scalar) {
      problems_.push_back(fmt::format("tensor '{}' is {}, expected {}", t->name, shape_text(t->shape), shape_text(spec.shape)));
    }
    if (use == WeightUse::kIndex) {
      if (t->dtype != DType::kI64 && t->dtype != DType::kI32)
        problems_.push_back(fmt::format("tensor '{}' has dtype {}, expected I64 or I32", t->name, to_string(t->dtype)));
    } else if (!is_float(t->dtype)) {
      problems_.push_back(fmt::format("tensor '{}' has dtype {}; F32, F16 and BF16 can be computed with", t->name, to_string(t->dtype)));
    }
    return {t};
  }

  // The first type in which the weight is there. Were it there in two, the other would be unclaimed.
  PackedTensor find_packed(const WeightSpec& w) const {
    for (const DType dtype : possible_dtypes(w, *packed_)) {
      const TensorInfo* t = find(arch_.tensors[static_cast<size_t>(w.tensor)], packed_suffix(w, dtype));
      if (t != nullptr) return {t, dtype};
    }
    return {nullptr, packed_dtype(w, *packed_)};
  }

  PackedTensor match_packed(const WeightSpec& w) {
    const auto [t, dtype] = find_packed(w);
    const std::vector<int64_t> shape = packed_shape(w, dtype);
    if (t == nullptr) {
      const TensorSpec& spec = arch_.tensors[static_cast<size_t>(w.tensor)];
      problems_.push_back(fmt::format("missing tensor '{}{}{}' {}", spec.is_absolute ? "" : prefix_, spec.name, packed_suffix(w, dtype),
                                      shape_text(shape)));
      return {};
    }
    claimed_.insert(t->name);
    if (t->dtype != DType::kU8 || t->shape != shape) {
      problems_.push_back(
          fmt::format("tensor '{}' is {} {}, expected U8 {}", t->name, to_string(t->dtype), shape_text(t->shape), shape_text(shape)));
    } else if (reinterpret_cast<uintptr_t>(t->bytes.data()) % kPackedAlignment != 0) {
      problems_.push_back(fmt::format("tensor '{}' does not begin at a multiple of {} bytes", t->name, kPackedAlignment));
    }
    return {t, dtype};
  }

  bool is_ignored(const std::string& name) const {
    return std::any_of(arch_.ignored.begin(), arch_.ignored.end(), [&](const IgnoredTensor& i) {
      const std::string full = i.is_absolute ? i.name : prefix_ + i.name;
      return i.is_prefix ? name.compare(0, full.size(), full) == 0 : name == full;
    });
  }

  const Architecture& arch_;
  const TensorSource& source_;
  std::optional<WeightFormat> packed_;
  std::string prefix_;
  std::unordered_set<std::string> claimed_;
  std::vector<std::string> problems_;
};

}  // namespace

Result<MatchedTensors> match_tensors(const Architecture& arch, const TensorSource& source, std::optional<WeightFormat> packed) {
  return TensorMatcher(arch, source, packed).match();
}

// Whether the weight's tensors have scales.
static bool note_stored_type(WeightSpec& w, std::span<const ScaledTensor> own) {
  w.released = stored_dtype(own.front());
  const bool alike = std::all_of(own.begin(), own.end(), [&](const ScaledTensor& t) { return stored_dtype(t) == w.released; });
  if (!alike) w.released = DType::kBF16;
  if (own.front().scales == nullptr) return false;
  w.released_scales = own.front().scales->dtype;
  return true;
}

Result<WeightFormat> note_stored_types(Architecture& arch, const TensorSource& source, std::optional<WeightFormat> packed) {
  LH_TRY(const MatchedTensors matched, match_tensors(arch, source, packed));
  const auto tensors_of = [&](const WeightSpec& w) {
    return std::span(matched.tensors).subspan(static_cast<size_t>(w.tensor), static_cast<size_t>(w.n_tensors));
  };
  bool has_scales = false;
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    WeightSpec& w = arch.weights[i];
    if (w.is_table()) w.released = tensors_of(w).front().weight->dtype;
    const bool is_matrix = w.use == WeightUse::kMatrix || w.use == WeightUse::kExpert;
    if (is_matrix && !packed) has_scales |= note_stored_type(w, tensors_of(w));
    if (is_matrix && packed == WeightFormat::kReleased) w.released = matched.packed[i].dtype;
  }
  if (packed) return *packed;
  if (has_scales) return WeightFormat::kReleased;
  return plain_format(stored_dtype(tensors_of(arch.weight(arch.head.matrix)).front()));
}

}  // namespace longhaul
