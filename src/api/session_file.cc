// Layout, little endian:
//
//   magic "LHSESS01" | fingerprint of the model u64 | tokens u64 | logits u64 | note bytes u64
//   tokens i32 | logits f32 | note | XXH3-64 of all before
//   the sequence as runtime/sequence_file.cc writes it, with its own checksum
#include "api/session_file.h"

#include <xxhash.h>

#include <cstring>

#include "api/access.h"
#include "api/precision.h"
#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "checkpoint/compute_dtype.h"

namespace longhaul {
namespace {

struct Header {
  char magic[8];
  uint64_t fingerprint, n_tokens, n_logits, n_note;
};
static_assert(sizeof(Header) == 40);
constexpr char kMagic[8] = {'L', 'H', 'S', 'E', 'S', 'S', '0', '1'};

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

// What makes states interchangeable: the config, how weights are kept, and the weights themselves,
// of which the ends of each file stand for the rest.
uint64_t fingerprint(const LoadedModel& m) {
  constexpr size_t kEnds = 4096;
  std::string text = m.config.dump() + option_name(m.limits.weights) +
                     (m.limits.weights.has_fine_inputs() ? " with fine inputs" : "") + m.adapter;
  for (const auto& file : m.weights->source->tensors().files()) {
    const std::span<const std::byte> bytes = file->bytes();
    const size_t n = std::min(kEnds, bytes.size());
    text += fmt::format(";{}", bytes.size());
    text.append(reinterpret_cast<const char*>(bytes.data()), n);
    text.append(reinterpret_cast<const char*>(bytes.data() + bytes.size() - n), n);
  }
  return XXH3_64bits(text.data(), text.size());
}

// Takes n values from the front of `bytes`; false where they are not there.
template <class T>
bool take(std::span<const std::byte>& bytes, uint64_t n, std::vector<T>& out) {
  if (n > bytes.size() / sizeof(T)) return false;
  out.resize(n);
  if (n > 0) std::memcpy(out.data(), bytes.data(), n * sizeof(T));
  bytes = bytes.subspan(n * sizeof(T));
  return true;
}

}  // namespace

Result<SessionFront> parse_session_front(std::span<const std::byte> bytes, std::string_view where) {
  Header header;
  if (bytes.size() < sizeof header || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return corrupt("{}: not a saved session of this version; give another file, or delete it",
                   where);
  std::memcpy(&header, bytes.data(), sizeof header);
  SessionFront front{.fingerprint = header.fingerprint};
  std::span<const std::byte> rest = bytes.subspan(sizeof header);
  uint64_t sum = 0;
  const bool is_whole = take(rest, header.n_tokens, front.tokens) &&
                        take(rest, header.n_logits, front.logits) &&
                        take(rest, header.n_note, front.note) && rest.size() >= sizeof sum;
  if (!is_whole) return corrupt("{}: cut off, so it cannot be used; delete it", where);
  const size_t n_summed = bytes.size() - rest.size();
  std::memcpy(&sum, rest.data(), sizeof sum);
  if (XXH3_64bits(bytes.data(), n_summed) != sum)
    return corrupt("{}: checksum does not match, so the file is damaged; delete it", where);
  front.sequence = rest.subspan(sizeof sum);
  return front;
}

static Status check_front(const LoadedModel& m, const SessionFront& front, std::string_view where) {
  if (front.fingerprint != fingerprint(m))
    return corrupt(
        "{}: the session of another model, or of other --weights, --inputs or --set; load that "
        "one, or give "
        "another file",
        where);
  const auto vocab_size = static_cast<size_t>(m.vocab_size());
  if (!front.logits.empty() && front.logits.size() != vocab_size)
    return corrupt("{}: {} logits, expected {}; delete it", where, front.logits.size(), vocab_size);
  return {};
}

Status write_session_file(const Timeline& t, const std::string& path) {
  if (t.loaded().owns_file(path))
    return invalid("{}: is a file of the model; write to another place", path);
  Header header{{}, fingerprint(t.loaded()), t.tokens().size(), t.logits().size(), t.note().size()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::vector<std::byte> front;
  const auto add = [&](std::span<const std::byte> bytes) {
    front.insert(front.end(), bytes.begin(), bytes.end());
  };
  add(std::as_bytes(std::span(&header, 1)));
  add(bytes_of(t.tokens()));
  add(bytes_of(t.logits()));
  add(std::as_bytes(std::span(t.note())));
  const uint64_t sum = XXH3_64bits(front.data(), front.size());
  add(std::as_bytes(std::span(&sum, 1)));
  LH_TRY(AtomicFile file, AtomicFile::create(path));
  LH_RETURN_IF_ERROR(file.write(front));
  LH_RETURN_IF_ERROR(
      t.sequence().write([&](std::span<const std::byte> bytes) { return file.write(bytes); }));
  return file.commit();
}

Result<std::unique_ptr<Timeline>> read_session_file(std::shared_ptr<const Model> model,
                                                    const std::string& path, int64_t max_tokens) {
  LH_TRY(const MappedFile file, MappedFile::open(path));
  return parse_session(std::move(model), file.bytes(), path, max_tokens);
}

Result<std::unique_ptr<Timeline>> parse_session(std::shared_ptr<const Model> model,
                                                std::span<const std::byte> bytes,
                                                std::string_view where, int64_t max_tokens) {
  const LoadedModel& m = Access::of(*model).loaded;
  LH_TRY(SessionFront front, parse_session_front(bytes, where));
  LH_RETURN_IF_ERROR(check_front(m, front, where));
  LH_TRY(Sequence sequence,
         Sequence::parse(*m.arch, front.sequence, where,
                         max_tokens > 0 ? std::min(max_tokens, m.context) : m.context,
                         m.state_memory));
  if (sequence.format() != m.limits.kv) {
    return invalid(
        "{}: holds {} state, the model was loaded for {}; use the --kv it was saved with", where,
        state_format_name(sequence.format()), state_format_name(m.limits.kv));
  }
  if (sequence.length() != static_cast<int64_t>(front.tokens.size()))
    return corrupt("{}: {} tokens and the state of {}; delete it", where, front.tokens.size(),
                   sequence.length());
  auto timeline = std::make_unique<Timeline>(std::move(model), std::move(sequence),
                                             std::move(front.tokens), std::move(front.logits),
                                             std::string(front.note.begin(), front.note.end()));
  LH_RETURN_IF_ERROR(timeline->check(timeline->tokens(), 0));
  return timeline;
}

}  // namespace longhaul
