#include "formats/safetensors_writer.h"

#include <array>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/checked_math.h"
#include "base/json.h"
#include "base/printable.h"
#include "formats/tensor_source.h"

namespace longhaul {
namespace {

std::string json_text(std::string_view text) { return Json(text).dump(); }

// Built as text: a header can name 100 000 tensors, and the JSON value's objects are searched
// linearly.
Result<std::string> header_text(const std::vector<TensorDecl>& tensors, const std::string& path) {
  std::string text = R"({"__metadata__":{"format":"pt"})";
  std::unordered_set<std::string_view> names = {"__metadata__"};
  uint64_t offset = 0;
  for (const TensorDecl& tensor : tensors) {
    const std::string where = fmt::format("{}: tensor '{}'", path, printable(tensor.name));
    if (!names.insert(tensor.name).second)
      return invalid("{}: declared twice, or a reserved name", where);
    LH_TRY(const uint64_t bytes, checked_nbytes(tensor.dtype, tensor.shape, where));
    const auto end = checked_add(offset, bytes);
    if (!end) return invalid("{}: the file's size overflows 64 bits", where);
    text += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        json_text(tensor.name), to_string(tensor.dtype),
                        fmt::join(tensor.shape, ","), offset, *end);
    offset = *end;
  }
  text += '}';
  constexpr int64_t kLengthBytes = 8, kDataAlignment = 64;
  text.resize(static_cast<size_t>(
                  round_up(kLengthBytes + static_cast<int64_t>(text.size()), kDataAlignment) -
                  kLengthBytes),
              ' ');
  return text;
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::create(const std::string& path,
                                                    std::vector<TensorDecl> tensors) {
  LH_TRY(const std::string header, header_text(tensors, path));
  LH_TRY(AtomicFile file, AtomicFile::create(path));
  static_assert(std::endian::native == std::endian::little);
  const auto length = std::bit_cast<std::array<std::byte, 8>>(static_cast<uint64_t>(header.size()));
  LH_RETURN_IF_ERROR(file.write(std::span<const std::byte>(length)));
  LH_RETURN_IF_ERROR(file.write(std::string_view(header)));

  SafetensorsWriter writer(std::move(file), path);
  for (TensorDecl& tensor : tensors) {
    LH_TRY(const uint64_t bytes, checked_nbytes(tensor.dtype, tensor.shape, tensor.name));
    writer.tensors_.push_back({std::move(tensor.name), bytes});
  }
  writer.skip_complete();
  return writer;
}

void SafetensorsWriter::skip_complete() {
  while (current_ < tensors_.size() && tensors_[current_].left == 0) ++current_;
}

Status SafetensorsWriter::write(std::string_view tensor, std::span<const std::byte> piece) {
  if (piece.empty()) return {};
  if (is_complete() || tensors_[current_].name != tensor) {
    return invalid("{}: tensor '{}' written out of the declared order, expected '{}'", path_,
                   printable(tensor),
                   is_complete() ? "no more data" : printable(tensors_[current_].name));
  }
  Pending& pending = tensors_[current_];
  if (piece.size() > pending.left) {
    return invalid("{}: tensor '{}' given {} bytes with {} left to write", path_, printable(tensor),
                   piece.size(), pending.left);
  }
  LH_RETURN_IF_ERROR(file_.write(piece));
  pending.left -= piece.size();
  skip_complete();
  return {};
}

Status SafetensorsWriter::finish() {
  if (!is_complete()) {
    return invalid("{}: tensor '{}' lacks {} bytes", path_, printable(tensors_[current_].name),
                   tensors_[current_].left);
  }
  return file_.commit();
}

}  // namespace longhaul
