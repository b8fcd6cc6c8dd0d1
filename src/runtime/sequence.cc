#include "runtime/sequence.h"

#include <cstring>

#include "base/numbers.h"

namespace longhaul {

uint64_t state_bytes(const Architecture& arch, int64_t n_tokens, const StateFormat& format) {
  uint64_t bytes = 0;
  for (const StateSpec& spec : arch.states) bytes += kv_bytes(spec, n_tokens, format);
  return bytes;
}

Result<Sequence> Sequence::create(const Architecture& arch, const StateFormat& format,
                                  int64_t max_tokens) {
  if (max_tokens < 1)
    return invalid("a sequence needs room for at least 1 token, asked for {}", max_tokens);
  return allocate(arch, format, max_tokens, max_tokens);
}

Result<Sequence> Sequence::allocate(const Architecture& arch, const StateFormat& format,
                                    int64_t ring_tokens, int64_t max_tokens) {
  Sequence s;
  s.arch_ = &arch;
  s.format_ = format;
  s.max_tokens_ = max_tokens;
  s.layers_.resize(arch.states.size());
  for (size_t i = 0; i < arch.states.size(); ++i) {
    Layer& layer = s.layers_[i];
    if (s.spec(i).is_fixed()) {
      LH_TRY(layer.fixed, Buffer::allocate(kv_bytes(s.spec(i), max_tokens, format)));
      continue;
    }
    if (!s.spec(i).is_ring()) {
      layer.pages.reserve(
          static_cast<size_t>(kv_slots(s.spec(i), max_tokens) / page_slots(s.spec(i))));
      continue;
    }
    layer.ring_slots = kv_slots(s.spec(i), ring_tokens);
    LH_TRY(layer.ring, Buffer::allocate(s.layout(i).block_bytes(layer.ring_slots)));
  }
  return s;
}

Status Sequence::reserve(int64_t n_tokens) {
  if (n_tokens > max_tokens_) {
    return make_error(
        ErrorCode::kOverBudget,
        "the context of {} tokens is full: {} needed; start again with a larger --context",
        max_tokens_, n_tokens);
  }
  if (n_tokens <= reserved_) return {};
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (!spec(i).is_paged()) continue;
    auto& pages = layers_[i].pages;
    const int64_t slots = page_slots(spec(i)), n_pages = kv_slots(spec(i), n_tokens) / slots;
    while (static_cast<int64_t>(pages.size()) < n_pages) {
      LH_TRY(Buffer page, Buffer::allocate(layout(i).block_bytes(slots)));
      pages.push_back(std::make_shared<Buffer>(std::move(page)));
    }
  }
  reserved_ = n_tokens;
  return {};
}

static Result<Buffer> copy_of(const Buffer& from) {
  LH_TRY(Buffer copy, Buffer::allocate(from.size()));
  if (from.size() > 0) std::memcpy(copy.data(), from.data(), from.size());
  return copy;
}

Result<Sequence> Sequence::fork() const {
  LH_TRY(Sequence copy, create(*arch_, format_, max_tokens_));
  copy.length_ = length_;
  copy.reserved_ = length_;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (!spec(i).is_paged()) {
      copy.layers_[i].ring_slots =
          layers_[i].ring_slots;  // of a restored sequence as many as the saved context made
      LH_TRY(copy.layers_[i].ring, copy_of(layers_[i].ring));
      LH_TRY(copy.layers_[i].fixed, copy_of(layers_[i].fixed));
      continue;
    }
    const auto& pages = layers_[i].pages;
    const int64_t rows = length_ / spec(i).ratio, full_pages = rows / page_slots(spec(i));
    copy.layers_[i].pages.assign(pages.begin(), pages.begin() + full_pages);
    if (rows % page_slots(spec(i)) != 0) {
      LH_TRY(Buffer open, copy_of(*pages[static_cast<size_t>(full_pages)]));
      copy.layers_[i].pages.push_back(std::make_shared<Buffer>(std::move(open)));
    }
  }
  return copy;
}

namespace {

class UniformBits {
 public:
  explicit UniformBits(uint64_t seed) : state_(seed) {}
  float next(float low, float high) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return low + (high - low) * static_cast<float>(state_ >> 40) * 0x1p-24f;
  }
  void fill(Buffer& buffer, DType dtype, float low, float high) {
    const auto n = static_cast<int64_t>(buffer.size() / bytes_per_element(dtype));
    for (int64_t i = 0; i < n; ++i) {
      // scales among the codes become what the bits say: small or large, but finite
      if (dtype == DType::kI8) {
        reinterpret_cast<int8_t*>(buffer.data())[i] = static_cast<int8_t>(next(0.0f, 60.0f));
      } else if (dtype == DType::kF32) {
        reinterpret_cast<float*>(buffer.data())[i] = next(low, high);
      } else {
        reinterpret_cast<bf16*>(buffer.data())[i] = to_bf16(next(low, high));
      }
    }
  }

 private:
  uint64_t state_;
};

}  // namespace

Status Sequence::fill_random(int64_t n_tokens, uint64_t seed) {
  LH_RETURN_IF_ERROR(reserve(n_tokens));
  UniformBits random(seed);
  for (size_t i = 0; i < layers_.size(); ++i) {
    // Bytes of coded rows are codes and scales of any size that is finite.
    const DType element = layout(i).format.coding == RowCoding::kPlain ? format_.dtype : DType::kI8;
    for (auto& page : layers_[i].pages) random.fill(*page, element, -1.0f, 1.0f);
    random.fill(layers_[i].ring, element, -1.0f, 1.0f);
    // Some of what is kept in fixed blocks are sums of positive weights.
    random.fill(layers_[i].fixed, DType::kF32, 0.5f, 1.0f);
  }
  length_ = n_tokens;
  return {};
}

uint64_t Sequence::allocated_bytes() const {
  uint64_t bytes = 0;
  for (const Layer& layer : layers_) {
    bytes += layer.ring.size() + layer.fixed.size();
    for (const auto& page : layer.pages) bytes += page->size();
  }
  return bytes;
}

}  // namespace longhaul
