#include "checkpoint/match_tensors.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/printable.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/packed_weights.h"
#include "checkpoint/stored_weights.h"
#include "checkpoint/tensor_names.h"
#include "formats/coded_tensor.h"
#include "formats/widen.h"
#include "kernels/codecs/codecs.h"
#include "mechanisms/resident_weights.h"

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

struct Matched {
  // by index of the description's tensors; empty where panels stand in for the tensor
  std::vector<ScaledTensor> tensors;
  // by weight id: the matrices of a packed folder
  std::vector<PackedWeights::Item> panels;
};

std::vector<int64_t> without_ones(std::vector<int64_t> shape) {
  std::erase(shape, 1);
  return shape;
}

class TensorMatcher {
 public:
  TensorMatcher(const Architecture& arch, const TensorSource& source,
                const std::optional<WeightFormat>& packed)
      : arch_(arch), source_(source), packed_(packed), names_(arch, source) {}

  Result<Matched> match() {
    Matched found{std::vector<ScaledTensor>(arch_.tensors.size()),
                  std::vector<PackedWeights::Item>(arch_.weights.size())};
    const std::vector<std::optional<WeightUse>> uses = uses_of_tensors();
    for (size_t i = 0; i < uses.size(); ++i) {
      if (uses[i]) found.tensors[i] = match_one(arch_.tensors[i], *uses[i]);
    }
    for (size_t i = 0; packed_ && i < arch_.weights.size(); ++i) {
      if (arch_.weights[i].is_matrix()) found.panels[i] = match_packed(arch_.weights[i]);
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
      if (!is_table && (!packed_ || !w.is_matrix()))
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
    if (t->coded != nullptr) return match_coded(*t, spec, use);
    if (needs_scales(t->dtype) && (use == WeightUse::kMatrix || use == WeightUse::kExpert)) {
      const ScaledTensor scaled{t, find_scales(*t)};
      if (const Status status = check_scaled(scaled, spec.shape); !status.ok())
        problems_.push_back(status.error().text());
      return scaled;
    }
    // A buffer of one element may be stored as a scalar, and extents of 1 are left out by some.
    if (without_ones(t->shape) != without_ones(spec.shape)) {
      problems_.push_back(fmt::format("tensor '{}' is {}, expected {}", t->name,
                                      shape_text(t->shape), shape_text(spec.shape)));
    }
    if (use == WeightUse::kIndex) {
      if (t->dtype != DType::kI64 && t->dtype != DType::kI32)
        problems_.push_back(fmt::format("tensor '{}' has dtype {}, expected I64 or I32", t->name,
                                        to_string(t->dtype)));
    } else if (!holds_weights(t->dtype)) {
      problems_.push_back(fmt::format("tensor '{}' has dtype {}, expected F32, F16 or BF16",
                                      t->name, to_string(t->dtype)));
    }
    return is_quantised(t->dtype) ? with_factor(*t, use) : ScaledTensor{t};
  }

  // Whoever made it checked its parts against one another.
  ScaledTensor match_coded(const TensorInfo& t, const TensorSpec& spec, WeightUse use) {
    if (t.shape != spec.shape)
      problems_.push_back(fmt::format("tensor '{}' holds weights {}, expected {}", t.name,
                                      shape_text(t.shape), shape_text(spec.shape)));
    if (use == WeightUse::kIndex)
      problems_.push_back(
          fmt::format("tensor '{}' holds {}, expected I64 or I32", t.name, t.coded->kind()));
    return ScaledTensor{&t};
  }

  // What stands beside blocks as a factor of them all is multiplied in where they are packed, and
  // nowhere else.
  ScaledTensor with_factor(const TensorInfo& t, WeightUse use) {
    const ScaledTensor scaled{&t, find_scales(t)};
    const bool is_packed =
        use == WeightUse::kMatrix || use == WeightUse::kExpert || use == WeightUse::kFine;
    if (scaled.scales != nullptr && !is_packed)
      problems_.push_back(
          fmt::format("tensor '{}' is no factor that is read here", scaled.scales->name));
    else if (const Status status = check_factor(scaled); !status.ok())
      problems_.push_back(status.error().text());
    return scaled;
  }

  // The first codec in which the weight is there. Were it there in two, the other would be
  // unclaimed.
  std::pair<const TensorInfo*, const Codec*> find_packed(const WeightSpec& w) const {
    for (const Codec* codec : possible_codecs(w, *packed_)) {
      const TensorInfo* t =
          names_.find(arch_.tensors[static_cast<size_t>(w.tensor)], packed_suffix(w, *codec));
      if (t != nullptr) return {t, codec};
    }
    return {nullptr, &packed_codec(w, *packed_)};
  }

  PackedWeights::Item match_packed(const WeightSpec& w) {
    const auto [t, codec] = find_packed(w);
    const std::vector<int64_t> shape = packed_shape(w, *codec);
    if (t == nullptr) {
      const TensorSpec& spec = arch_.tensors[static_cast<size_t>(w.tensor)];
      problems_.push_back(fmt::format("missing tensor '{}{}' {}", names_.full_name(spec),
                                      packed_suffix(w, *codec), shape_text(shape)));
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
    return {t, codec, w.rows, w.cols};
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
  const std::optional<WeightFormat>& packed_;
  TensorNames names_;
  std::unordered_set<std::string> claimed_;
  std::vector<std::string> problems_;
  bool has_unclaimed_ = false;
};

std::span<const ScaledTensor> tensors_of(const Matched& matched, const WeightSpec& w) {
  return std::span(matched.tensors)
      .subspan(static_cast<size_t>(w.tensor), static_cast<size_t>(w.n_tensors));
}

// Of several tensors that are not stored alike: what all of them are widened to.
const Codec& common_codec(std::span<const ScaledTensor> tensors) {
  const Codec& first = stored_codec(tensors.front());
  const bool alike = std::all_of(tensors.begin(), tensors.end(),
                                 [&](const ScaledTensor& t) { return &stored_codec(t) == &first; });
  return alike ? first : kBf16Codec;
}

bool is_rounded(const WeightSpec& w) {
  return w.use == WeightUse::kMatrix || w.use == WeightUse::kExpert;
}

// In a folder that is packed in one format matrices tell nothing of what they were made from.
std::shared_ptr<const StoredTypes> types_of(const Architecture& arch, const Matched& matched,
                                            const std::optional<WeightFormat>& packed) {
  StoredTypes types;
  for (size_t i = 0; i < arch.weights.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (w.origin == kNone) continue;
    const auto at = static_cast<size_t>(w.origin);
    if (types.weights.size() <= at) types.weights.resize(at + 1);
    StoredTypes::Of& of = types.weights[at];
    if (w.is_table()) {
      const TensorInfo& table = *tensors_of(matched, w).front().weight;
      of.elements = table.dtype;
      if (table.coded != nullptr) of.bytes = table.coded->stored_bytes();
    }
    if (is_rounded(w) && !packed) of.codec = &common_codec(tensors_of(matched, w));
    if (is_rounded(w) && packed == WeightFormat::kReleased) of.codec = matched.panels[i].codec;
  }
  return std::make_shared<const StoredTypes>(std::move(types));
}

std::string listed(std::vector<std::string> names) {
  if (names.size() < 2) return names.empty() ? "" : names.front();
  const std::string last = std::move(names.back());
  names.pop_back();
  return fmt::format("{} and {}", fmt::join(names, ", "), last);
}

// The types of the matrices that are integers: blocks in order of their numbers, and the names of
// codes.
void name_integers(const Architecture& arch, const Matched& matched, FormatChoice& formats) {
  std::set<DType> types;
  std::set<std::string> codes;
  for (const WeightSpec& w : arch.weights) {
    if (!is_rounded(w)) continue;
    for (const ScaledTensor& t : tensors_of(matched, w)) {
      if (t.weight->coded != nullptr) {
        if (const std::string& kind = t.weight->coded->kind(); !kind.empty()) codes.insert(kind);
      } else if (is_quantised(t.weight->dtype)) {
        types.insert(t.weight->dtype);
      }
    }
  }
  std::vector<std::string> blocks;
  for (const DType type : types) blocks.emplace_back(to_string(type));
  formats.blocks = listed(std::move(blocks));
  formats.codes = listed({codes.begin(), codes.end()});
}

WeightFormat natural_format(const Architecture& arch, const Matched& matched,
                            const FormatChoice& formats) {
  const bool has_scales =
      std::any_of(arch.weights.begin(), arch.weights.end(), [&](const WeightSpec& w) {
        return is_rounded(w) && tensors_of(matched, w).front().scales != nullptr;
      });
  if (has_scales || !formats.blocks.empty() || !formats.codes.empty())
    return WeightFormat::kReleased;
  return stored_codec(tensors_of(matched, arch.weight(arch.head.matrix)).front());
}

std::vector<PackedWeights::Item> items_of(const Architecture& arch, Matched matched) {
  std::vector<PackedWeights::Item> items = std::move(matched.panels);
  for (size_t i = 0; i < items.size(); ++i) {
    const WeightSpec& w = arch.weights[i];
    if (!w.is_matrix()) items[i].tensor = matched.tensors[static_cast<size_t>(w.tensor)].weight;
  }
  return items;
}

}  // namespace

Result<std::unique_ptr<WeightSource>> match_weights(const Architecture& arch, TensorSource tensors,
                                                    const std::optional<WeightFormat>& packed) {
  LH_TRY(Matched matched, TensorMatcher(arch, tensors, packed).match());
  const auto types = types_of(arch, matched, packed);
  std::unique_ptr<WeightSource> source;
  if (packed) {
    source =
        std::make_unique<PackedWeights>(std::move(tensors), FormatChoice{packed->over(types), true},
                                        items_of(arch, std::move(matched)));
  } else {
    FormatChoice formats;
    name_integers(arch, matched, formats);
    formats.natural = natural_format(arch, matched, formats).over(types);
    source = std::make_unique<StoredWeights>(std::move(tensors), formats, arch.weights,
                                             std::move(matched.tensors));
  }
  return source;
}

}  // namespace longhaul
