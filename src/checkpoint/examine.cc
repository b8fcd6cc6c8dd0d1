#include "checkpoint/examine.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "checkpoint/finite.h"
#include "checkpoint/pack.h"
#include "checkpoint/value_checks.h"
#include "formats/widen.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

struct PieceOfMatrix {
  MatrixRows rows;
  int64_t cols;
  const Codec* codec;

  uint64_t bytes() const { return codec->bytes(rows.n, cols); }
};

// All matrices whose panels have to be made.
std::vector<PieceOfMatrix> pieces_to_pack(const Architecture& arch, const WeightSource& source,
                                          const WeightFormat& format) {
  std::vector<PieceOfMatrix> pieces;
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    if (!w.is_matrix() || !source.panels(id).empty()) return;
    for (const MatrixRows& rows : pieces_of(id, w))
      pieces.push_back({rows, w.cols, &packed_codec(w, format)});
  });
  return pieces;
}

// The first error of each tensor, in order.
void add_once(std::vector<Error>& errors, Error error, std::string_view tensor,
              std::string_view& last) {
  if (tensor == last) return;
  last = tensor;
  errors.push_back(std::move(error));
}

void examine_matrices(const Architecture& arch, const WeightSource& source,
                      const WeightFormat& format, ThreadPool& pool, const LoadProgress& progress,
                      Examination& found) {
  const std::vector<PieceOfMatrix> pieces = pieces_to_pack(arch, source, format);
  uint64_t largest = 0, total = 0;
  int64_t widest = 0;
  for (const PieceOfMatrix& p : pieces) {
    largest = std::max(largest, p.bytes());
    widest = std::max(widest, p.cols);
    total += p.bytes();
  }
  const auto n_threads = static_cast<size_t>(pool.n_threads());
  std::vector<Buffer> outs(n_threads);
  for (Buffer& out : outs) {
    Result<Buffer> buffer = Buffer::allocate(std::max<uint64_t>(1, largest));
    if (!buffer.ok()) {
      found.refused.push_back(buffer.take_error());
      return;
    }
    out = std::move(*buffer);
  }
  std::vector<std::vector<float>> widened(n_threads,
                                          std::vector<float>(static_cast<size_t>(kPanel * widest)));
  std::vector<Status> results(pieces.size());
  std::atomic<uint64_t> done{0};
  pool.run(static_cast<int64_t>(pieces.size()), [&](int64_t i, int thread) {
    const PieceOfMatrix& p = pieces[static_cast<size_t>(i)];
    const auto at = static_cast<size_t>(thread);
    auto made = source.bring(p.rows, *p.codec, outs[at].data(), widened[at].data());
    if (!made.ok()) results[static_cast<size_t>(i)] = made.take_error();
    source.drop(p.rows);
    const uint64_t now = done += p.bytes();
    if (thread == 0 && progress) progress(now, total);
  });
  std::string_view last;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].ok()) continue;
    const TensorInfo& t = source.tensor(pieces[i].rows.weight);
    add_once(found.refused, in_context(t.where(), results[i].take_error()), t.name, last);
  }
}

void examine_others(const Architecture& arch, const WeightSource& source, Examination& found) {
  std::vector<float> values;
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    if (w.is_matrix() || w.use == WeightUse::kLookup) return;
    const TensorInfo& t = source.tensor(id);
    values.resize(static_cast<size_t>(w.n_elements()));
    Status status = w.is_f32() ? widen_vector(t, w, values.data()) : check_index(t, w);
    if (!status.ok()) found.refused.push_back(status.take_error());
  });
}

// Tables are not read when a model is loaded, but row by row as tokens ask for them.
Status examine_table(const TensorInfo& t, const WeightSpec& w) {
  constexpr int64_t kRows = 256;
  std::vector<float> values(static_cast<size_t>(kRows * w.cols));
  for (int64_t row = 0; row < w.rows; row += kRows) {
    const int64_t n = std::min(kRows, w.rows - row) * w.cols;
    widen_elements(t, row * w.cols, n, values.data());
    const auto bad =
        first_not_finite(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), n);
    if (bad) {
      return corrupt(
          "{}: tensor '{}' is infinite or no number in row {}: a text with that token has no "
          "answer; download the file again",
          t.where(), t.name, row + *bad / w.cols);
    }
    t.file->drop(t.bytes);
  }
  return {};
}

void examine_tables(const Architecture& arch, const WeightSource& source, Examination& found) {
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    const bool is_matrix_too = w.tensor == arch.weight(arch.head.matrix).tensor;
    if (w.use != WeightUse::kLookup || is_matrix_too) return;
    if (Status status = examine_table(source.tensor(id), w); !status.ok())
      found.spoiled.push_back(status.take_error());
  });
}

uint64_t zeros_at_end(std::span<const std::byte> bytes) {
  uint64_t n = 0;
  while (n < bytes.size() && bytes[bytes.size() - 1 - n] == std::byte{0}) ++n;
  return n;
}

// Biases may be zeros, and so may rows of tokens that nobody uses: in a table as long as the
// vocabulary that is no sign of damage until it is much of it.
bool is_suspect(const Architecture& arch, const TensorInfo& t, uint64_t zeros) {
  constexpr uint64_t kLeast = 4096;
  if (t.shape.size() < 2) return false;
  if (t.shape[0] == arch.vocab_size) return zeros > t.bytes.size() / 8;
  return zeros >= kLeast || zeros == t.bytes.size();
}

// A file that was written to its size before its contents came ends in zeros.
//   tensors  of one file, by offset
void examine_end(const Architecture& arch, std::span<const TensorInfo> tensors,
                 Examination& found) {
  uint64_t zeros = 0;
  bool is_damage = false;
  const TensorInfo* first = nullptr;  // with zeros
  for (size_t i = tensors.size(); i-- > 0;) {
    const uint64_t n = zeros_at_end(tensors[i].bytes);
    if (n == 0 && !tensors[i].bytes.empty()) break;
    zeros += n;
    first = &tensors[i];
    is_damage |= is_suspect(arch, tensors[i], n);
    if (n < tensors[i].bytes.size()) break;
  }
  if (!is_damage) return;
  found.zeros.push_back(corrupt(
      "{}: the last {} bytes of its tensors are zeros, from within '{}' on: the download was not "
      "finished; fetch the file again",
      first->where(), zeros, first->name));
}

void examine_ends(const Architecture& arch, const WeightSource& source, Examination& found) {
  std::span<const TensorInfo> tensors = source.tensors().all();
  while (!tensors.empty()) {
    const auto n = static_cast<size_t>(
        std::find_if(tensors.begin(), tensors.end(),
                     [&](const TensorInfo& t) { return t.file != tensors.front().file; }) -
        tensors.begin());
    examine_end(arch, tensors.first(n), found);
    tensors = tensors.subspan(n);
  }
}

// Inside of a file: where a downloader wrote its parts out of order, or an exporter wrote nothing.
void examine_for_zeros(const WeightSource& source, Examination& found) {
  constexpr uint64_t kLeast = 4096;
  for (const TensorInfo& t : source.tensors().all()) {
    if (t.shape.size() < 2 || t.bytes.size() < kLeast || zeros_at_end(t.bytes) != t.bytes.size())
      continue;
    found.zeros.push_back(
        corrupt("{}: tensor '{}' is all zeros; download the file again", t.where(), t.name));
  }
}

}  // namespace

Examination examine_weights(const Architecture& arch, const WeightSource& source,
                            const WeightFormat& format, ThreadPool& pool,
                            const LoadProgress& progress) {
  Examination found;
  examine_others(arch, source, found);
  examine_matrices(arch, source, format, pool, progress, found);
  examine_tables(arch, source, found);
  examine_ends(arch, source, found);
  if (found.zeros.empty()) examine_for_zeros(source, found);
  for (const auto& file : source.tensors().files()) file->drop(file->bytes());
  return found;
}

}  // namespace longhaul
