// How the matrices of a model are kept in memory, as a whole; what each of them becomes is in
// mechanisms/resident_weights.h.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "arch/weights.h"
#include "kernels/codecs/codecs.h"

namespace longhaul {

// What a checkpoint holds, by WeightSpec::origin. Made once, when its tensors are matched.
struct StoredTypes {
  struct Of {
    const Codec* codec = nullptr;   // that keeps a matrix as it is stored; null: as released
    std::optional<DType> elements;  // of a table
    std::optional<uint64_t> bytes;  // of a table that has no type of elements
  };
  std::vector<Of> weights;
};

// One codec for all matrices (those that bear less rounding in a finer one), or for each the one
// that keeps it as it is stored: in the checkpoint at hand, else as the model was released.
class WeightFormat {
 public:
  static const WeightFormat kF32, kBF16, kReleased;

  WeightFormat(const Codec& codec) : codec_(&codec) {}  // NOLINT: a codec is a format

  const Codec* codec() const { return codec_; }  // null: each as it is stored
  bool is_plain() const { return codec_ != nullptr && codec_->is_plain; }
  // The type of what is computed with beside the matrices.
  DType compute_dtype() const { return *this == kF32 ? DType::kF32 : DType::kBF16; }

  // The same choice made over what a checkpoint holds; null: over what the model was released in.
  WeightFormat over(std::shared_ptr<const StoredTypes> types) const;
  const std::shared_ptr<const StoredTypes>& types() const { return types_; }

  // The same with inputs of integer products in more than 8 bits (PackedMatrix::has_fine_inputs).
  WeightFormat with_fine_inputs(bool has_fine_inputs) const;
  bool has_fine_inputs() const { return has_fine_inputs_; }

  // What keeps a matrix as it is stored, and the type of a table's elements.
  const Codec& stored_codec(const WeightSpec& weight) const;
  DType stored_elements(const WeightSpec& weight) const;
  // Of a table's tensor in the files.
  uint64_t stored_table_bytes(const WeightSpec& weight, int64_t n_elements) const;

  // The choice alone: what it is made over may differ.
  bool operator==(const WeightFormat& other) const { return codec_ == other.codec_; }

 private:
  constexpr explicit WeightFormat(const Codec* codec) : codec_(codec) {}
  const StoredTypes::Of* stored(const WeightSpec& weight) const;

  const Codec* codec_;
  bool has_fine_inputs_ = false;
  std::shared_ptr<const StoredTypes> types_;
};

const char* to_string(const WeightFormat& format);    // "BF16"
const char* option_name(const WeightFormat& format);  // the command line's spelling: "bf16"
std::optional<WeightFormat> weight_format_from_option(std::string_view name);

}  // namespace longhaul
