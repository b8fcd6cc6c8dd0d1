#include "formats/tensor_source.h"

#include <utility>

#include "base/checked_math.h"
#include "base/printable.h"

namespace longhaul {

bool is_aligned(const TensorInfo& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.bytes.data()) % bytes_per_element(tensor.dtype) == 0;
}

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Result<uint64_t> checked_nbytes(DType dtype, std::span<const int64_t> shape, std::string_view where) {
  std::optional<uint64_t> bits = bits_per_element(dtype);
  for (const int64_t extent : shape) {
    if (extent < 0) return corrupt("{}: negative extent in shape {}", where, shape_text(shape));
    bits = checked_mul(*bits, static_cast<uint64_t>(extent));
    if (!bits) return corrupt("{}: shape {} of {} overflows 64 bits", where, shape_text(shape), to_string(dtype));
  }
  if (*bits % 8 != 0) return corrupt("{}: shape {} of {} does not fill its last byte", where, shape_text(shape), to_string(dtype));
  return *bits / 8;
}

const TensorInfo* TensorSource::find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Status TensorSource::add(MappedFile file, std::vector<TensorInfo> tensors) {
  files_.push_back(std::make_unique<MappedFile>(std::move(file)));
  for (TensorInfo& tensor : tensors) {
    tensor.file = files_.back().get();
    const auto [it, is_new] = index_.emplace(tensor.name, tensors_.size());
    if (!is_new) {
      return corrupt("{}: tensor '{}' is in {} too", tensor.file->path(), printable(tensor.name), tensors_[it->second].file->path());
    }
    total_bytes_ += tensor.bytes.size();
    tensors_.push_back(std::move(tensor));
  }
  return {};
}

}  // namespace longhaul
