// Weights as they were published: tensors of floats, or of codes with scales beside them, packed
// when they are brought.
#pragma once

#include <vector>

#include "checkpoint/pack.h"
#include "checkpoint/weight_source.h"

namespace longhaul {

class StoredWeights final : public WeightSource {
 public:
  //   weights   of the description
  //   matched   by index of its tensors, checked against their shapes
  StoredWeights(TensorSource tensors, FormatChoice formats, std::vector<WeightSpec> weights,
                std::vector<ScaledTensor> matched)
      : WeightSource(std::move(tensors), std::move(formats)),
        weights_(std::move(weights)),
        matched_(std::move(matched)) {}

  const TensorInfo& tensor(WeightId id) const override {
    return *tensors_of(spec(id)).front().weight;
  }
  std::span<const std::byte> panels(WeightId) const override { return {}; }
  Result<QuantError> bring(const MatrixRows& rows, const Codec& codec, std::byte* out,
                           float* widened) const override;
  uint64_t stored_bytes(const MatrixRows& rows) const override;
  void will_need(const MatrixRows& rows) const override;
  void drop(const MatrixRows& rows) const override;

 private:
  const WeightSpec& spec(WeightId id) const { return weights_[static_cast<size_t>(id)]; }
  std::span<const ScaledTensor> tensors_of(const WeightSpec& w) const {
    return std::span(matched_).subspan(static_cast<size_t>(w.tensor),
                                       static_cast<size_t>(w.n_tensors));
  }
  StoredMatrix matrix(const MatrixRows& rows) const {
    const WeightSpec& w = spec(rows.weight);
    return stored_matrix(tensors_of(w), w, rows.expert);
  }

  std::vector<WeightSpec> weights_;
  std::vector<ScaledTensor> matched_;
};

}  // namespace longhaul
