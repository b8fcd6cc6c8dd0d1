// The named tensors of a checkpoint, in place in the mapped files they came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/mapped_file.h"
#include "tensor/dtype.h"

namespace longhaul {

class CodedTensor;

// A file may place a tensor at any byte: a reader that needs whole elements asks is_aligned() and
// copies where it says no.
//
// Elements in blocks (is_quantised) lie row after row, a row being whole blocks. What unpacks them
// is formats/widen.h.
//
// A coded tensor is made of several in the files (formats/coded_tensor.h): shape is that of its
// weights, dtype and bytes are those of the tensor of codes.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // empty: a scalar; any extent may be 0
  std::span<const std::byte> bytes;
  const MappedFile* file = nullptr;  // null for tensors parsed from memory
  bool is_listed = true;             // false: there is an index, and it does not name the tensor
  std::shared_ptr<const CodedTensor> coded = nullptr;  // what decodes it; null: nothing has to

  std::string where() const;  // the file, for messages
};

bool is_aligned(const TensorInfo& tensor);
// Whether both have one shape and the same values: byte by byte if of one dtype, else as floats.
// Reads both in pieces as far as they are equal, and lets their pages go.
bool same_values(const TensorInfo& a, const TensorInfo& b);
std::string shape_text(std::span<const int64_t> shape);  // "[2, 3]"

// The size of a tensor in bytes. Overflow, a negative extent and a last byte only half filled
// (4-bit types) are errors; `where` opens their message (file and tensor).
Result<uint64_t> checked_nbytes(DType dtype, std::span<const int64_t> shape,
                                std::string_view where);

// Owns the files its tensors lie in. Pointers to a TensorInfo stay valid when it is moved, not when
// a file is added.
class TensorSource {
 public:
  const TensorInfo* find(std::string_view name) const;          // null where there is none
  std::span<const TensorInfo> all() const { return tensors_; }  // files as added, in each by offset
  uint64_t total_bytes() const { return total_bytes_; }         // of the tensors, not the files
  const std::vector<std::unique_ptr<MappedFile>>& files() const { return files_; }

  // Takes over a file and the tensors that lie in it. A name that is there already is an error
  // naming both files, unless both hold the same: then the first one stays.
  Status add(MappedFile file, std::vector<TensorInfo> tensors);
  // Tensors that lie in memory, which must outlive this.
  Status add(std::vector<TensorInfo> tensors);
  // Calls `change` for every tensor, which may give it another name, type and shape. An error of
  // its own, or two tensors of one name then, ends it; the source is of no use behind that.
  Status edit(const std::function<Status(TensorInfo&)>& change);
  // Puts tensors that are made of some of these in their place, at the end. Two of one name then
  // are an error; the source is of no use behind that.
  Status replace(const std::set<std::string, std::less<>>& gone, std::vector<TensorInfo> made);
  // Takes a beginning away from all names, if every name has it; whether it did.
  bool drop_prefix(std::string_view prefix);

 private:
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  uint64_t total_bytes_ = 0;
};

}  // namespace longhaul
