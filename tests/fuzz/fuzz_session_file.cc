// The front of a saved session from any bytes: the magic is put right, and the checksum where it
// belongs, so that what stands behind them is reached.
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "api/session_file.h"
#include "check_error.h"

namespace {

using namespace longhaul;

void try_parsing(std::span<const std::byte> file) {
  const auto front = parse_session_front(file, "input");
  if (!front.ok()) return check_error(front.error());
  LH_CHECK(4 * front->tokens.size() + 4 * front->logits.size() + front->note.size() +
               front->sequence.size() <=
           file.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeader = 40;
  std::vector<std::byte> file(8);
  std::memcpy(file.data(), "LHSESS01", 8);
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  file.insert(file.end(), bytes, bytes + size);
  try_parsing({bytes, size});
  try_parsing(file);
  if (file.size() < kHeader + 8) return 0;
  // The counts as the file has them, made small enough to be there.
  uint64_t counts[3];
  std::memcpy(counts, file.data() + 16, sizeof counts);
  const size_t room = (file.size() - kHeader - 8) / 12;
  for (uint64_t& n : counts) n %= room + 1;
  std::memcpy(file.data() + 16, counts, sizeof counts);
  const size_t n_summed = kHeader + 4 * counts[0] + 4 * counts[1] + counts[2];
  const uint64_t sum = XXH3_64bits(file.data(), n_summed);
  std::memcpy(file.data() + n_summed, &sum, sizeof sum);
  LH_CHECK(parse_session_front(file, "input").ok());
  return 0;
}
