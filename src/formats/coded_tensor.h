// A tensor whose rows have to be decoded (quantised_matrix.h): a file keeps codes, with scales,
// zeros and biases in tensors of their own beside them; or an adapter adds something to it. One
// matrix, or a stack of them.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "formats/quantised_matrix.h"
#include "formats/tensor_source.h"
#include "tensor/row_source.h"

namespace longhaul {

// Immutable. The files of its parts must outlive it.
class CodedTensor final : public RowSource {
 public:
  using Matrix = std::variant<IntegerMatrix, Fp4Matrix, Fp8Matrix, FloatMatrix>;

  struct Content {
    std::string kind;               // for people: "4-bit integers of GPTQ"; empty: floats
    int64_t rows = 0, cols = 0;     // of one matrix
    std::vector<Matrix> matrices;   // all of one kind; several where it is a stack
    std::vector<LowRank> added;     // to the rows of the one matrix, one after another
    std::vector<TensorInfo> parts;  // as they stand in the files, the codes first
    bool has_code_rows = true;      // the codes of a row follow one another, row after row
  };
  explicit CodedTensor(Content content) : content_(std::move(content)) {}

  // Rows are numbered through a stack.
  void read(int64_t row, int64_t first, int64_t n, float* out) const override;

  const std::string& kind() const { return content_.kind; }
  int64_t cols() const { return content_.cols; }
  int64_t n_rows() const { return content_.rows * std::ssize(content_.matrices); }
  std::span<const TensorInfo> parts() const { return content_.parts; }
  const Content& content() const { return content_; }
  // Whether the integers and scales behind the values (read_grouped, tensor/grouped_codes.h) are
  // all of them.
  bool has_codes_alone() const { return !content_.kind.empty() && content_.added.empty(); }

  uint64_t stored_bytes() const;                // of all parts
  uint64_t stored_bytes(int64_t n_rows) const;  // so many rows' share of them
  // What is read of the codes for some rows; all of them where a row's do not follow one another.
  std::span<const std::byte> code_bytes(int64_t first_row, int64_t n_rows) const;

 private:
  Content content_;
};

// Calls body(tensor) for what stands in the files: the tensor itself, or each of its parts.
template <class Body>
void for_each_stored(const TensorInfo& tensor, const Body& body) {
  if (tensor.coded == nullptr) return body(tensor);
  for (const TensorInfo& part : tensor.coded->parts()) body(part);
}

inline uint64_t bytes_in_files(const TensorInfo& tensor) {
  return tensor.coded == nullptr ? tensor.bytes.size() : tensor.coded->stored_bytes();
}

}  // namespace longhaul
