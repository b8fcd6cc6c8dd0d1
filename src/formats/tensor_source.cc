#include "formats/tensor_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/checked_math.h"
#include "base/printable.h"
#include "formats/widen.h"
#include "tensor/float_at.h"

namespace longhaul {

std::string TensorInfo::where() const { return file == nullptr ? "memory" : file->path(); }

bool is_aligned(const TensorInfo& tensor) {
  if (is_quantised(tensor.dtype)) return true;  // read byte by byte
  return reinterpret_cast<uintptr_t>(tensor.bytes.data()) % bytes_per_element(tensor.dtype) == 0;
}

static bool same_floats(const std::byte* a, DType a_dtype, const std::byte* b, DType b_dtype,
                        int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (float_at(a, a_dtype, i) != float_at(b, b_dtype, i)) return false;
  }
  return true;
}

// Row by row: at least one of them has to be decoded.
static bool same_decoded(const TensorInfo& a, const TensorInfo& b) {
  if (a.shape.empty() || !(holds_weights(a) && holds_weights(b))) return false;
  const int64_t cols = a.shape.back();
  int64_t n_rows = 1;
  for (size_t i = 0; i + 1 < a.shape.size(); ++i) n_rows *= a.shape[i];
  std::vector<float> in_a(static_cast<size_t>(cols)), in_b(static_cast<size_t>(cols));
  for (int64_t row = 0; row < n_rows; ++row) {
    widen_elements(a, row * cols, cols, in_a.data());
    widen_elements(b, row * cols, cols, in_b.data());
    if (in_a != in_b) return false;
  }
  return true;
}

bool same_values(const TensorInfo& a, const TensorInfo& b) {
  if (a.coded != nullptr || b.coded != nullptr) return a.shape == b.shape && same_decoded(a, b);
  const bool is_widened = a.dtype != b.dtype;
  if (a.shape != b.shape || (is_widened && !(is_float(a.dtype) && is_float(b.dtype)))) return false;
  constexpr uint64_t kPiece = uint64_t{1} << 20;  // elements
  const ElementBlock block = block_of(a.dtype);
  const uint64_t n =
      a.bytes.size() / static_cast<uint64_t>(block.bytes) * static_cast<uint64_t>(block.elements);
  const auto piece_of = [&](const TensorInfo& t, uint64_t from, uint64_t to) {
    return t.bytes.subspan(stored_bytes(t.dtype, static_cast<int64_t>(from)),
                           stored_bytes(t.dtype, static_cast<int64_t>(to - from)));
  };
  bool same = true;
  for (uint64_t from = 0; same && from < n; from += kPiece) {
    const uint64_t to = std::min(n, from + kPiece);
    const auto in_a = piece_of(a, from, to), in_b = piece_of(b, from, to);
    same = is_widened ? same_floats(in_a.data(), a.dtype, in_b.data(), b.dtype,
                                    static_cast<int64_t>(to - from))
                      : std::memcmp(in_a.data(), in_b.data(), in_a.size()) == 0;
    if (a.file != nullptr) a.file->drop(in_a);
    if (b.file != nullptr) b.file->drop(in_b);
  }
  return same;
}

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Result<uint64_t> checked_nbytes(DType dtype, std::span<const int64_t> shape,
                                std::string_view where) {
  std::optional<uint64_t> bits = bits_per_element(dtype);
  for (const int64_t extent : shape) {
    if (extent < 0) return corrupt("{}: negative extent in shape {}", where, shape_text(shape));
    bits = checked_mul(*bits, static_cast<uint64_t>(extent));
    if (!bits)
      return corrupt("{}: shape {} of {} overflows 64 bits", where, shape_text(shape),
                     to_string(dtype));
  }
  if (*bits % 8 != 0)
    return corrupt("{}: shape {} of {} does not fill its last byte", where, shape_text(shape),
                   to_string(dtype));
  return *bits / 8;
}

const TensorInfo* TensorSource::find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Status TensorSource::add(MappedFile file, std::vector<TensorInfo> tensors) {
  files_.push_back(std::make_unique<MappedFile>(std::move(file)));
  for (TensorInfo& tensor : tensors) tensor.file = files_.back().get();
  return add(std::move(tensors));
}

Status TensorSource::add(std::vector<TensorInfo> tensors) {
  for (TensorInfo& tensor : tensors) {
    const auto [it, is_new] = index_.emplace(tensor.name, tensors_.size());
    if (!is_new) {
      const TensorInfo& first = tensors_[it->second];
      if (first.dtype == tensor.dtype && same_values(first, tensor)) continue;
      return corrupt(
          "{}: tensor '{}' is in {} too, and they differ; remove the file that is not the model's",
          tensor.where(), printable(tensor.name), first.where());
    }
    total_bytes_ += tensor.bytes.size();
    tensors_.push_back(std::move(tensor));
  }
  return {};
}

Status TensorSource::edit(const std::function<Status(TensorInfo&)>& change) {
  index_.clear();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    LH_RETURN_IF_ERROR(change(tensors_[i]));
    if (!index_.emplace(tensors_[i].name, i).second)
      return corrupt("{}: tensor '{}' is there twice; download the checkpoint again",
                     tensors_[i].where(), printable(tensors_[i].name));
  }
  return {};
}

Status TensorSource::replace(const std::set<std::string, std::less<>>& gone,
                             std::vector<TensorInfo> made) {
  std::erase_if(tensors_, [&](const TensorInfo& t) { return gone.contains(t.name); });
  std::move(made.begin(), made.end(), std::back_inserter(tensors_));
  return edit([](TensorInfo&) { return Status(); });
}

bool TensorSource::drop_prefix(std::string_view prefix) {
  const auto has_it = [&](const TensorInfo& t) {
    return t.name.size() > prefix.size() && t.name.starts_with(prefix);
  };
  if (tensors_.empty() || !std::all_of(tensors_.begin(), tensors_.end(), has_it)) return false;
  index_.clear();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    tensors_[i].name.erase(0, prefix.size());
    index_.emplace(tensors_[i].name, i);
  }
  return true;
}

}  // namespace longhaul
