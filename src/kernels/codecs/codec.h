// A weight format as one row of data: how a matrix lies in memory, how it gets there and back, and
// what multiplies by it. Whatever loads, prices or multiplies weights goes by this row.
#pragma once

#include <optional>

#include "base/checked_math.h"
#include "base/errors.h"
#include "kernels/codecs/panels.h"
#include "kernels/matmul_tile.h"
#include "tensor/dtype.h"
#include "tensor/grouped_codes.h"

namespace longhaul {

struct Codec;

// To what the inputs of a product are rounded before they meet the weights.
enum class InputCoding {
  kF32,          // they stay as they are
  kBf16,         // to nearest even
  kInt8,         // rows of InputBlock (quant_blocks.h): a scale a group
  kRotatedInt8,  // of weights that are rotated (rotation.h): so are inputs, with a scale a block
};
inline constexpr bool is_int8(InputCoding inputs) {
  return inputs == InputCoding::kInt8 || inputs == InputCoding::kRotatedInt8;
}

// A panel of 16 outputs: a header, then blocks of inputs one after another. K is padded with zeros
// to whole blocks.
struct PanelLayout {
  int64_t block_inputs = 1;
  int64_t block_bytes = 0;             // scales and codes of all 16 outputs
  int64_t header_bytes = 0;            // before the first block
  int64_t header_bytes_per_block = 0;  // and so much more for every block

  constexpr int64_t n_blocks(int64_t k) const { return ceil_div(k, block_inputs); }
  constexpr int64_t header(int64_t k) const {
    constexpr int64_t kLineBytes = 64;
    return round_up(header_bytes + n_blocks(k) * header_bytes_per_block, kLineBytes);
  }
  constexpr int64_t panel_bytes(int64_t k) const { return header(k) + n_blocks(k) * block_bytes; }
};

// How a file holds a tensor: floats, or codes with a tensor of scales beside them.
struct StoredAs {
  DType elements = DType::kF32;
  std::optional<DType> scales = {};
  bool operator==(const StoredAs&) const = default;
};

// Rows of a matrix as a file holds them.
struct SourceRows {
  const std::byte* data = nullptr;  // of the first row, at any byte
  StoredAs type = {};
  const std::byte* scales = nullptr;  // of the whole tensor
  int64_t first_row = 0;  // of these rows in the tensor: which scales are theirs; for messages
  const BlockDecoder* blocks = nullptr;  // of elements that come in blocks; their scales are sound
  float factor = 1.0f;                   // of all weights: what stands beside such blocks
};

// What rounding did to the weights: sums over all of them, so that reports of parts add up.
struct QuantError {
  double squared_error = 0.0, squared_weights = 0.0;
  QuantError& operator+=(const QuantError& other) {
    squared_error += other.squared_error;
    squared_weights += other.squared_weights;
    return *this;
  }
};

// A weight matrix [N, K] (y = W x) packed panel after panel; N is padded with zeros to a whole
// panel.
struct PackedMatrix {
  const std::byte* data = nullptr;  // 64-byte aligned, not owned
  const Codec* codec = nullptr;     // null only where there is no matrix
  int64_t n = 0, k = 0;
  // What rounding inputs to 8 bits takes away is rounded too, and multiplied: 15 bits of them
  // count.
  bool has_fine_inputs = false;

  int64_t panel_bytes() const;
  Panels panels(int64_t first_output = 0) const;
};

struct Codec {
  const char* name;    // in reports: "Q4"
  const char* suffix;  // of packed tensors' names (checkpoint/packed_folder.h): "q4"
  // The spelling of --weights. Null: floats are not rounded to it, it only keeps what files hold.
  const char* option = nullptr;

  PanelLayout layout;
  InputCoding inputs = InputCoding::kF32;
  // Elements of a float type and nothing else: a product's K may be cut between any two panels'
  // widths of inputs.
  bool is_plain = false;
  // Rows of a tensor that share scales. A matrix that starts or ends within them is not kept.
  int64_t rows_per_scale = 1;
  // Models published in it multiply it by inputs in FP8.
  bool has_fp8_inputs = false;
  // Relative RMS error that rounding normal weights makes, at most.
  double rms_error = 0.0;
  // Where matrices are rounded to this codec: what those become that bear no more than 8 bits, and
  // those that are not to be rounded. Null: this codec itself.
  const Codec* finer = nullptr;
  const Codec* unrounded = nullptr;

  // Whether tensors that are stored so are kept in this codec without loss. Null: none are.
  bool (*keeps)(const StoredAs&) = nullptr;
  // Packs n_rows rows of k columns into `out`, where the first one's panel begins; those of the
  // last panel that are not there become zeros. Rows are floats (F32, F16, BF16) where the codec
  // has an option, or stored as it keeps them. kCorruptFile where a weight or a scale is no number,
  // or too large to be rounded. Plain codecs tell of no error, bf16's included. Takes no lock and
  // no heap.
  Result<QuantError> (*pack)(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out);
  // The weights of output `row`, [k]: as the kernels see them.
  void (*unpack)(const PackedMatrix& matrix, int64_t row, float* out);
  // The portable product. A tier may have a faster one (KernelSet::products).
  Product product;

  uint64_t bytes(int64_t n, int64_t k) const {
    return static_cast<uint64_t>(ceil_div(n, kPanel)) *
           static_cast<uint64_t>(layout.panel_bytes(k));
  }
};

inline int64_t PackedMatrix::panel_bytes() const { return codec->layout.panel_bytes(k); }
inline Panels PackedMatrix::panels(int64_t first_output) const {
  return {data + first_output / kPanel * panel_bytes(), panel_bytes(), codec->layout.block_bytes};
}

// Rows of floats (F32, F16 or BF16, at any byte) into a codec that has an option.
inline Result<QuantError> pack_rows(const void* rows, DType dtype, int64_t n_rows, int64_t k,
                                    const Codec& codec, std::byte* out) {
  return codec.pack({.data = static_cast<const std::byte*>(rows), .type = {dtype}}, n_rows, k, out);
}

}  // namespace longhaul
