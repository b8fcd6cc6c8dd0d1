#include "checkpoint/stored_weights.h"

namespace longhaul {

Result<QuantError> StoredWeights::bring(const MatrixRows& rows, const Codec& codec, std::byte* out,
                                        float* widened) const {
  const StoredMatrix m = matrix(rows);
  Result<QuantError> made = pack(m, rows.first, rows.n, codec, out, widened);
  if (made.ok()) return made;
  return in_context(fmt::format("tensor '{}'", m.tensor.weight->name), made.take_error());
}

uint64_t StoredWeights::stored_bytes(const MatrixRows& rows) const {
  StoredMatrix m = matrix(rows);
  m.first_row += rows.first;
  m.rows = rows.n;
  return m.stored_bytes();
}

void StoredWeights::will_need(const MatrixRows& rows) const {
  const StoredMatrix m = matrix(rows);
  m.tensor.weight->file->will_need(m.bytes(rows.first, rows.n));
}

void StoredWeights::drop(const MatrixRows& rows) const {
  const StoredMatrix m = matrix(rows);
  m.tensor.weight->file->drop(m.bytes(rows.first, rows.n));
}

}  // namespace longhaul
