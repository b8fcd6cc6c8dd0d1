// A sequence's state in a file.
//
//   magic "LHSTATE2" | fingerprint of the state declarations u64 | dtype u32 | cache format u32 |
//   max_tokens i64 | length i64 then per state: pages up to the length whole, or the ring whole; at
//   the end XXH3-64 of everything before.
// Little endian, as every machine this runs on.
#include <xxhash.h>

#include <cstring>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "runtime/sequence.h"

namespace longhaul {
namespace {

struct Header {
  char magic[8];
  uint64_t fingerprint;
  uint32_t dtype, cache;
  int64_t max_tokens, length;
};
static_assert(sizeof(Header) == 40);
constexpr char kMagic[8] = {'L', 'H', 'S', 'T', 'A', 'T', 'E', '2'};

// What two descriptions must agree on for a state to fit: which keys and values are kept where.
uint64_t fingerprint(const Architecture& arch) {
  std::string text = fmt::format("{} {} {}", arch.family, arch.hidden_size, arch.vocab_size);
  for (const StateSpec& s : arch.states) {
    text += s.is_fixed()
                ? fmt::format(";{} fixed {} true", s.layer, s.fixed_elements)  // true: in f32
                : fmt::format(";{} {} {} {} {} {}", s.layer, s.n_kv_heads, s.head_dim, s.window,
                              static_cast<int>(s.rows), s.ratio);
  }
  return XXH3_64bits(text.data(), text.size());
}

class Checksummed {
 public:
  explicit Checksummed(const Sequence::ByteSink& sink) : sink_(sink), state_(XXH3_createState()) {
    XXH3_64bits_reset(state_);
  }
  ~Checksummed() { XXH3_freeState(state_); }
  Checksummed(const Checksummed&) = delete;

  Status write(std::span<const std::byte> bytes) {
    XXH3_64bits_update(state_, bytes.data(), bytes.size());
    return sink_(bytes);
  }
  Status finish() {
    const uint64_t sum = XXH3_64bits_digest(state_);
    return sink_(std::as_bytes(std::span(&sum, 1)));
  }

 private:
  const Sequence::ByteSink& sink_;
  XXH3_state_t* state_;
};

Result<Header> checked_header(const Architecture& arch, std::span<const std::byte> bytes,
                              std::string_view where) {
  Header header;
  uint64_t sum;
  if (bytes.size() < sizeof header + sizeof sum)
    return corrupt("{}: {} bytes, too short for a saved state; save it anew", where, bytes.size());
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0)
    return corrupt("{}: not a saved state of this version; save it anew", where);
  if (header.fingerprint != fingerprint(arch))
    return corrupt("{}: the state of another model; load that one, or save the state anew", where);
  const auto summed = bytes.first(bytes.size() - sizeof sum);
  std::memcpy(&sum, bytes.data() + summed.size(), sizeof sum);
  if (XXH3_64bits(summed.data(), summed.size()) != sum)
    return corrupt("{}: checksum does not match, so the file is damaged; save it anew", where);
  const auto dtype = static_cast<DType>(header.dtype);
  if (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kI8)
    return corrupt("{}: unknown state dtype {}; save it anew", where, header.dtype);
  if (header.cache > static_cast<uint32_t>(CacheFormat::kReleased))
    return corrupt("{}: unknown cache format {}; save it anew", where, header.cache);
  if (header.max_tokens < 1 || header.length < 0 || header.length > header.max_tokens) {
    return corrupt("{}: length {} of at most {} tokens is impossible; save it anew", where,
                   header.length, header.max_tokens);
  }
  return header;
}

// Bytes of state behind the header: rings whole, pages up to the length. Saturates: no file holds
// as much.
uint64_t stored_bytes(const Architecture& arch, const Header& header, const StateFormat& format) {
  uint64_t bytes = 0;
  for (const StateSpec& spec : arch.states) {
    bytes = checked_add(bytes,
                        kv_bytes(spec, spec.is_ring() ? header.max_tokens : header.length, format))
                .value_or(UINT64_MAX);
  }
  return bytes;
}

}  // namespace

Status Sequence::save(const std::string& path) const {
  LH_TRY(AtomicFile file, AtomicFile::create(path));
  LH_RETURN_IF_ERROR(write([&](std::span<const std::byte> bytes) { return file.write(bytes); }));
  return file.commit();
}

Status Sequence::write(const ByteSink& sink) const {
  Checksummed out(sink);
  Header header{{},
                fingerprint(*arch_),
                static_cast<uint32_t>(format_.dtype),
                static_cast<uint32_t>(format_.cache),
                max_tokens_,
                length_};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  LH_RETURN_IF_ERROR(out.write(std::as_bytes(std::span(&header, 1))));
  for (size_t i = 0; i < layers_.size(); ++i) {
    LH_RETURN_IF_ERROR(out.write(layers_[i].ring.bytes()));
    LH_RETURN_IF_ERROR(out.write(layers_[i].fixed.bytes()));
    const auto used = static_cast<size_t>(kv_slots(spec(i), length_) / page_slots(spec(i)));
    for (size_t p = 0; p < std::min(used, layers_[i].pages.size()); ++p)
      LH_RETURN_IF_ERROR(out.write(layers_[i].pages[p].bytes()));
  }
  return out.finish();
}

Result<Sequence> Sequence::restore(const Architecture& arch, const std::string& path,
                                   int64_t max_tokens, PagePool pool) {
  LH_TRY(const MappedFile file, MappedFile::open(path));
  return parse(arch, file.bytes(), path, max_tokens, std::move(pool));
}

Result<Sequence> Sequence::parse(const Architecture& arch, std::span<const std::byte> bytes,
                                 std::string_view where, int64_t max_tokens, PagePool pool) {
  LH_TRY(const Header header, checked_header(arch, bytes, where));
  bytes = bytes.subspan(sizeof header, bytes.size() - sizeof header - sizeof(uint64_t));
  const StateFormat format{static_cast<DType>(header.dtype),
                           static_cast<CacheFormat>(header.cache)};
  if (max_tokens < header.length) {
    return make_error(ErrorCode::kOverBudget,
                      "{}: holds {} tokens, the context allows {}; start with a larger --context",
                      where, header.length, max_tokens);
  }
  // Nothing is allocated before the file has shown to hold as much.
  const uint64_t expected = stored_bytes(arch, header, format);
  if (expected != bytes.size())
    return corrupt("{}: {} bytes of state, expected {}; save it anew", where, bytes.size(),
                   expected);
  // Rings are as long as the saved context made them; a longer window would leave gaps.
  LH_TRY(Sequence s, allocate(arch, format, header.max_tokens,
                              std::min(max_tokens, header.max_tokens), std::move(pool)));
  LH_RETURN_IF_ERROR(s.reserve(header.length));
  s.length_ = header.length;
  const auto take = [&](const Page& into) {
    std::memcpy(into.data(), bytes.data(), into.size());
    bytes = bytes.subspan(into.size());
  };
  for (Layer& layer : s.layers_) {
    if (layer.ring.size() > 0) take(layer.ring);
    if (layer.fixed.size() > 0) take(layer.fixed);
    for (const Page& page : layer.pages) take(page);
  }
  return s;
}

}  // namespace longhaul
