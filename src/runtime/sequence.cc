#include "runtime/sequence.h"

#include <algorithm>

#include "base/numbers.h"

namespace longhaul {

uint64_t state_bytes(const Architecture& arch, int64_t n_tokens, int64_t max_tokens,
                     const StateFormat& format) {
  uint64_t bytes = 0;
  for (const StateSpec& spec : arch.states) {
    bytes += kv_bytes(spec, spec.is_paged() ? n_tokens : max_tokens, format);
  }
  return bytes;
}

uint64_t state_bytes(const Architecture& arch, int64_t n_tokens, const StateFormat& format) {
  return state_bytes(arch, n_tokens, n_tokens, format);
}

int64_t tokens_that_fit(const Architecture& arch, const StateFormat& format, int64_t max_tokens,
                        uint64_t free_bytes) {
  // Bytes never fall with more tokens, so the most that fit are found by halving.
  int64_t fits = 0, too_many = max_tokens + 1;
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    (state_bytes(arch, middle, max_tokens, format) <= free_bytes ? fits : too_many) = middle;
  }
  return fits;
}

Result<Sequence> Sequence::create(const Architecture& arch, const StateFormat& format,
                                  int64_t max_tokens, PagePool pool) {
  if (max_tokens < 1)
    return invalid("a sequence needs room for at least 1 token, asked for {}", max_tokens);
  return allocate(arch, format, max_tokens, max_tokens, std::move(pool));
}

Result<Sequence> Sequence::allocate(const Architecture& arch, const StateFormat& format,
                                    int64_t ring_tokens, int64_t max_tokens, PagePool pool) {
  Sequence s;
  s.arch_ = &arch;
  s.format_ = format;
  s.pool_ = std::move(pool);
  s.max_tokens_ = max_tokens;
  s.layers_.resize(arch.states.size());
  for (size_t i = 0; i < arch.states.size(); ++i) {
    Layer& layer = s.layers_[i];
    if (s.spec(i).is_fixed()) {
      LH_TRY(layer.fixed, s.pool_.draw(kv_bytes(s.spec(i), max_tokens, format)));
    } else if (s.spec(i).is_ring()) {
      layer.ring_slots = kv_slots(s.spec(i), ring_tokens);
      LH_TRY(layer.ring, s.pool_.draw(s.layout(i).block_bytes(layer.ring_slots)));
    }
  }
  return s;
}

bool Sequence::writes_to_shared(size_t state, int64_t n_tokens) const {
  const int64_t ratio = spec(state).ratio, row = length_ / ratio;
  const auto page = static_cast<size_t>(row / page_slots(spec(state)));
  const std::vector<Page>& pages = layers_[state].pages;
  return n_tokens / ratio > row && page < pages.size() && pages[page].is_shared();
}

uint64_t Sequence::bytes_to_reserve(int64_t n_tokens) const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (!spec(i).is_paged()) continue;
    const auto held = static_cast<int64_t>(layers_[i].pages.size());
    const int64_t more = std::max<int64_t>(0, pages_for(i, n_tokens) - held);
    bytes += page_bytes(i) * static_cast<uint64_t>(more + writes_to_shared(i, n_tokens));
  }
  return bytes;
}

Status Sequence::reserve(int64_t n_tokens) {
  if (n_tokens > max_tokens_) {
    return make_error(
        ErrorCode::kOverBudget,
        "the context of {} tokens is full: {} needed; start again with a larger --context",
        max_tokens_, n_tokens);
  }
  Status status;
  for (size_t i = 0; i < layers_.size() && status.ok(); ++i) {
    if (spec(i).is_paged()) status = grow(i, n_tokens);
  }
  if (status.ok()) {
    reserved_ = std::max(reserved_, n_tokens);
    return status;
  }
  // Half a reserve is no use: others may have it.
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (!spec(i).is_paged()) continue;
    const auto n = static_cast<size_t>(pages_for(i, reserved_));
    layers_[i].pages.resize(n);
    layers_[i].segments.resize(n);
  }
  return status;
}

Status Sequence::grow(size_t state, int64_t n_tokens) {
  Layer& layer = layers_[state];
  const int64_t slots = page_slots(spec(state));
  if (writes_to_shared(state, n_tokens)) {
    LH_RETURN_IF_ERROR(own_page(state, static_cast<size_t>(length_ / spec(state).ratio / slots)));
  }
  for (auto n = static_cast<int64_t>(layer.pages.size()); n < pages_for(state, n_tokens); ++n) {
    LH_TRY(Page page, pool_.draw(page_bytes(state)));
    layer.segments.push_back({page.data(), slots, 0, slots, n * slots});
    layer.pages.push_back(std::move(page));
  }
  return {};
}

Status Sequence::own_page(size_t state, size_t page) {
  Layer& layer = layers_[state];
  LH_TRY(layer.pages[page], copy_of(layer.pages[page]));
  layer.segments[page].block = layer.pages[page].data();
  return {};
}

Result<Page> Sequence::copy_of(const Page& page) const {
  LH_TRY(Page copy, pool_.draw(page.size()));
  std::copy_n(page.data(), page.size(), copy.data());
  return copy;
}

Result<StateSnapshot> Sequence::snapshot() const {
  StateSnapshot s;
  s.arch_ = arch_;
  s.format_ = format_;
  s.length_ = length_;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& copy = s.layers_.emplace_back();
    const Layer& layer = layers_[i];
    copy.ring_slots = layer.ring_slots;
    LH_TRY(copy.ring, copy_of(layer.ring));
    LH_TRY(copy.fixed, copy_of(layer.fixed));
    if (!spec(i).is_paged()) continue;
    const int64_t n = pages_for(i, length_);
    copy.pages.assign(layer.pages.begin(), layer.pages.begin() + n);
    copy.segments.assign(layer.segments.begin(), layer.segments.begin() + n);
  }
  return s;
}

Result<Sequence> Sequence::fork() const {
  LH_TRY(StateSnapshot now, snapshot());
  Sequence copy;
  copy.arch_ = arch_;
  copy.format_ = format_;
  copy.pool_ = pool_;
  copy.max_tokens_ = max_tokens_;
  copy.length_ = copy.reserved_ = length_;
  copy.layers_ = std::move(now.layers_);
  return copy;
}

bool Sequence::can_rewind(const StateSnapshot& snapshot) const {
  return snapshot.arch_ == arch_ && snapshot.format_ == format_ &&
         snapshot.length_ <= max_tokens_ &&
         std::equal(layers_.begin(), layers_.end(), snapshot.layers_.begin(),
                    [](const Layer& a, const Layer& b) { return a.ring_slots == b.ring_slots; });
}

Status Sequence::rewind(const StateSnapshot& snapshot) {
  if (!can_rewind(snapshot))
    return invalid("the snapshot is of a sequence of another kind; take one of this sequence");
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& from = snapshot.layers_[i];
    Layer& layer = layers_[i];
    layer.pages = from.pages;
    layer.segments = from.segments;
    std::copy_n(from.ring.data(), from.ring.size(), layer.ring.data());
    std::copy_n(from.fixed.data(), from.fixed.size(), layer.fixed.data());
  }
  length_ = reserved_ = snapshot.length_;
  ++revision_;
  return {};
}

namespace {

class UniformBits {
 public:
  explicit UniformBits(uint64_t seed) : state_(seed) {}
  float next(float low, float high) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return low + (high - low) * static_cast<float>(state_ >> 40) * 0x1p-24f;
  }
  void fill(const Page& buffer, DType dtype, float low, float high) {
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
    for (size_t p = 0; p < layers_[i].pages.size(); ++p) {
      if (layers_[i].pages[p].is_shared()) LH_RETURN_IF_ERROR(own_page(i, p));
      random.fill(layers_[i].pages[p], element, -1.0f, 1.0f);
    }
    random.fill(layers_[i].ring, element, -1.0f, 1.0f);
    // Some of what is kept in fixed blocks are sums of positive weights.
    random.fill(layers_[i].fixed, DType::kF32, 0.5f, 1.0f);
  }
  length_ = n_tokens;
  ++revision_;
  return {};
}

uint64_t Sequence::bytes_of(std::span<const Layer> layers) {
  uint64_t bytes = 0;
  for (const Layer& layer : layers) {
    bytes += layer.ring.size() + layer.fixed.size();
    for (const Page& page : layer.pages) bytes += page.size();
  }
  return bytes;
}

uint64_t Sequence::allocated_bytes() const { return bytes_of(layers_); }
uint64_t StateSnapshot::allocated_bytes() const { return Sequence::bytes_of(layers_); }

}  // namespace longhaul
