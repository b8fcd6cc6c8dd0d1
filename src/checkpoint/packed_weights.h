// Weights of a folder that holds them packed (packed_folder.h): read as they are.
#pragma once

#include <vector>

#include "checkpoint/weight_source.h"

namespace longhaul {

class PackedWeights final : public WeightSource {
 public:
  // What a weight is read from; codec: of the panels inside, null where it is not a matrix.
  struct Item {
    const TensorInfo* tensor = nullptr;
    const Codec* codec = nullptr;
    int64_t rows = 0, cols = 0;
  };

  // items: by weight id.
  PackedWeights(TensorSource tensors, FormatChoice formats, std::vector<Item> items)
      : WeightSource(std::move(tensors), std::move(formats)), items_(std::move(items)) {}

  const TensorInfo& tensor(WeightId id) const override { return *item(id).tensor; }
  std::span<const std::byte> panels(WeightId id) const override { return item(id).tensor->bytes; }
  Result<QuantError> bring(const MatrixRows& rows, const Codec& codec, std::byte* out,
                           float* widened) const override;
  uint64_t stored_bytes(const MatrixRows& rows) const override { return bytes_of(rows).size(); }
  void will_need(const MatrixRows& rows) const override {
    item(rows.weight).tensor->file->will_need(bytes_of(rows));
  }
  void drop(const MatrixRows&) const override {}  // read without being mapped

 private:
  const Item& item(WeightId id) const { return items_[static_cast<size_t>(id)]; }
  std::span<const std::byte> bytes_of(const MatrixRows& rows) const;

  std::vector<Item> items_;
};

}  // namespace longhaul
