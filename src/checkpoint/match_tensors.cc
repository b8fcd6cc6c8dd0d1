#include "checkpoint/match_tensors.h"

#include <algorithm>
#include <unordered_set>

#include "base/printable.h"
#include "checkpoint/pack.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/tensor_names.h"
#include "mechanisms/resident_weights.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

// Buffers that the reference computes from the config and does not load: it names them
// non-persistent, or ignores them where they are unexpected; other engines skip them by name as
// well. By the last part of a tensor's name.
struct DerivedBuffer {
  std::string_view ending, because;
};
constexpr DerivedBuffer kDerivedBuffers[] = {
    {"inv_freq",
     "the rotations' frequencies, from rope_theta and its scaling"},  // also
                                                                      // sliding_attention_inv_freq,
                                                                      // original_inv_freq
    {"cos_cached", "cosines of the rotations"},
    {"sin_cached", "sines of the rotations"},
    {"freqs_cis", "the rotations as complex numbers"},
    {"position_ids", "0, 1, 2, ..."},
    {"embed_scale", "the square root of the embedding's width"},
};

bool is_derived_buffer(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return std::any_of(
      std::begin(kDerivedBuffers), std::end(kDerivedBuffers), [&](const DerivedBuffer& b) {
        return last == b.ending ||
               (last.ends_with(b.ending) && last[last.size() - b.ending.size() - 1] == '_');
      });
}

class TensorMatcher {
 public:
  TensorMatcher(const Architecture& arch, const TensorSource& source,
                std::optional<WeightFormat> packed)
      : arch_(arch), source_(source), packed_(packed), names_(arch, source) {}

  Result<MatchedTensors> match() {
    MatchedTensors found{std::vector<ScaledTensor>(arch_.tensors.size()),
                         std::vector<PackedTensor>(arch_.weights.size())};
    const std::vector<std::optional<WeightUse>> uses = uses_of_tensors();
    for (size_t i = 0; i < uses.size(); ++i) {
      if (uses[i]) found.tensors[i] = match_one(arch_.tensors[i], *uses[i]);
    }
    for (size_t i = 0; packed_ && i < arch_.weights.size(); ++i) {
      if (arch_.weights[i].is_packed()) found.packed[i] = match_packed(arch_.weights[i]);
    }
    for (const TensorInfo& t : source_.all()) {
      // What an index leaves out need not be part of the model.
      if (!t.is_listed || claimed_.count(t.name) || is_ignored(t.name)) continue;
      problems_.push_back(
          fmt::format("unclaimed tensor '{}' {}", printable(t.name), shape_text(t.shape)));
      has_unclaimed_ = true;
    }
    if (problems_.empty()) return found;
    constexpr size_t kShown = 20;
    const size_t n = problems_.size();
    if (n > kShown) problems_.resize(kShown);
    return corrupt(
        "the checkpoint does not fit its config ({} problems{}):\n  {}; check that config.json and "
        "the weights are of one model{}",
        n, n > kShown ? ", the first 20 are" : "", fmt::join(problems_, "\n  "),
        has_unclaimed_ ? ", and take tensors that belong to no part of it out of the files" : "");
  }

 private:
  // Nothing where only packed weights stand in for the tensor.
  std::vector<std::optional<WeightUse>> uses_of_tensors() const {
    std::vector<std::optional<WeightUse>> uses(arch_.tensors.size());
    if (!packed_) std::fill(uses.begin(), uses.end(), WeightUse::kVector);
    for (const WeightSpec& w : arch_.weights) {
      // A table is read as it stands in the file, whatever else the tensor serves as.
      const bool is_table = uses[static_cast<size_t>(w.tensor)] == WeightUse::kLookup;
      if (!is_table && (!packed_ || !w.is_packed()))
        std::fill_n(uses.begin() + w.tensor, w.n_tensors, w.use);
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
    const TensorInfo* t = names_.find(spec);
    if (t == nullptr) {
      problems_.push_back(
          fmt::format("missing tensor '{}' {}", names_.full_name(spec), shape_text(spec.shape)));
      return {};
    }
    claimed_.insert(t->name);
    if (needs_scales(t->dtype) && (use == WeightUse::kMatrix || use == WeightUse::kExpert)) {
      const ScaledTensor scaled{t, find_scales(*t)};
      if (const Status status = check_scaled(scaled, spec.shape); !status.ok())
        problems_.push_back(status.error().text());
      return scaled;
    }
    // A buffer of one element may be stored as a scalar.
    const bool scalar = t->shape.empty() && spec.n_elements() == 1;
    if (t->shape != spec.shape && !scalar) {
      problems_.push_back(fmt::format("tensor '{}' is {}, expected {}", t->name,
                                      shape_text(t->shape), shape_text(spec.shape)));
    }
    if (use == WeightUse::kIndex) {
      if (t->dtype != DType::kI64 && t->dtype != DType::kI32)
        problems_.push_back(fmt::format("tensor '{}' has dtype {}, expected I64 or I32", t->name,
                                        to_string(t->dtype)));
    } else if (!is_float(t->dtype)) {
      problems_.push_back(fmt::format("tensor '{}' has dtype {}, expected F32, F16 or BF16",
                                      t->name, to_string(t->dtype)));
    }
    return {t};
  }

  // The first type in which the weight is there. Were it there in two, the other would be
  // unclaimed.
  PackedTensor find_packed(const WeightSpec& w) const {
    for (const DType dtype : possible_dtypes(w, *packed_)) {
      const TensorInfo* t =
          names_.find(arch_.tensors[static_cast<size_t>(w.tensor)], packed_suffix(w, dtype));
      if (t != nullptr) return {t, dtype};
    }
    return {nullptr, packed_dtype(w, *packed_)};
  }

  PackedTensor match_packed(const WeightSpec& w) {
    const auto [t, dtype] = find_packed(w);
    const std::vector<int64_t> shape = packed_shape(w, dtype);
    if (t == nullptr) {
      const TensorSpec& spec = arch_.tensors[static_cast<size_t>(w.tensor)];
      problems_.push_back(fmt::format("missing tensor '{}{}' {}", names_.full_name(spec),
                                      packed_suffix(w, dtype), shape_text(shape)));
      return {};
    }
    claimed_.insert(t->name);
    if (t->dtype != DType::kU8 || t->shape != shape) {
      problems_.push_back(fmt::format("tensor '{}' is {} {}, expected U8 {}", t->name,
                                      to_string(t->dtype), shape_text(t->shape),
                                      shape_text(shape)));
    } else if (reinterpret_cast<uintptr_t>(t->bytes.data()) % kPackedAlignment != 0) {
      problems_.push_back(fmt::format("tensor '{}' does not begin at a multiple of {} bytes",
                                      t->name, kPackedAlignment));
    }
    return {t, dtype};
  }

  bool is_ignored(const std::string& name) const {
    return is_derived_buffer(name) ||
           std::any_of(arch_.ignored.begin(), arch_.ignored.end(), [&](const IgnoredTensor& i) {
             const std::string full = i.is_absolute ? i.name : names_.prefix() + i.name;
             return i.is_prefix ? name.compare(0, full.size(), full) == 0 : name == full;
           });
  }

  const Architecture& arch_;
  const TensorSource& source_;
  std::optional<WeightFormat> packed_;
  TensorNames names_;
  std::unordered_set<std::string> claimed_;
  std::vector<std::string> problems_;
  bool has_unclaimed_ = false;
};

}  // namespace

Result<MatchedTensors> match_tensors(const Architecture& arch, const TensorSource& source,
                                     std::optional<WeightFormat> packed) {
  return TensorMatcher(arch, source, packed).match();
}

// Whether the weight's tensors have scales.
static bool note_stored_type(WeightSpec& w, std::span<const ScaledTensor> own) {
  w.released = stored_dtype(own.front());
  const bool alike = std::all_of(
      own.begin(), own.end(), [&](const ScaledTensor& t) { return stored_dtype(t) == w.released; });
  if (!alike) w.released = DType::kBF16;
  if (own.front().scales == nullptr) return false;
  w.released_scales = own.front().scales->dtype;
  return true;
}

Result<WeightFormat> note_stored_types(Architecture& arch, const TensorSource& source,
                                       std::optional<WeightFormat> packed) {
  LH_TRY(const MatchedTensors matched, match_tensors(arch, source, packed));
  const auto tensors_of = [&](const WeightSpec& w) {
    return std::span(matched.tensors)
        .subspan(static_cast<size_t>(w.tensor), static_cast<size_t>(w.n_tensors));
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
