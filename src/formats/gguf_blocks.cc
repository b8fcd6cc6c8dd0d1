#include "formats/gguf_blocks.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "formats/gguf_block_layouts.h"
#include "formats/gguf_codebook_layouts.h"

namespace longhaul {
namespace {

// The largest level of a type whose scale can be so large is 12.
constexpr float kLargestScale = 0x1p124f;

template <class Layout>
void decode(const std::byte* block, GroupedCodes& codes) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(block);
  Layout::scales(bytes, codes);
  Layout::levels(bytes, codes);
}

// The values of all levels, in the order of operations that defines them (grouped_codes.h). This
// file is compiled without fused multiply-adds: they would round once where two roundings are
// meant.
template <class Layout>
void widen(const GroupedCodes& codes, float* out) {
  constexpr CodeGrouping kGrouping = Layout::kGrouping;
  constexpr size_t kGroup = kGrouping.group;
  for (size_t g = 0; g < kGrouping.n_groups(); ++g) {
    const int8_t* levels = codes.levels.data() + g * kGroup;
    const float scale =
        codes.scales[g * kGroup / kGrouping.run] * static_cast<float>(codes.multipliers[g]);
    float min = 0.0f;
    if constexpr (kGrouping.has_mins) min = codes.min_scale * static_cast<float>(codes.mins[g]);
    for (size_t i = 0; i < kGroup; ++i) {
      const float product = scale * static_cast<float>(levels[i]);
      out[g * kGroup + i] = kGrouping.has_mins ? product - min : product;
    }
  }
}

template <class Layout>
void unpack(const std::byte* blocks, int64_t n_blocks, float* out) {
  const size_t block_bytes = info_of(Layout::kType).block_bytes;
  GroupedCodes codes;
  for (int64_t b = 0; b < n_blocks; ++b) {
    decode<Layout>(blocks, codes);
    widen<Layout>(codes, out);
    blocks += block_bytes;
    out += Layout::kGrouping.n_weights;
  }
}

template <class Layout>
int64_t first_damaged(const std::byte* blocks, int64_t n_blocks) {
  constexpr CodeGrouping kGrouping = Layout::kGrouping;
  const size_t block_bytes = info_of(Layout::kType).block_bytes;
  GroupedCodes codes;
  for (int64_t b = 0; b < n_blocks; ++b) {
    Layout::scales(reinterpret_cast<const uint8_t*>(blocks), codes);
    bool is_sound = !kGrouping.has_mins || std::abs(codes.min_scale) <= kLargestScale;
    for (size_t s = 0; s < kGrouping.n_scales(); ++s)
      is_sound = is_sound && std::abs(codes.scales[s]) <= kLargestScale;  // false where it is NaN
    if (!is_sound) return b;
    blocks += block_bytes;
  }
  return n_blocks;
}

template <class Layout>
constexpr GgufBlockType block_type() {
  constexpr CodeGrouping kGrouping = Layout::kGrouping;
  static_assert(kGrouping.n_weights <= GroupedCodes::kMaxWeights);
  static_assert(kGrouping.n_groups() <= GroupedCodes::kMaxGroups);
  static_assert(kGrouping.n_scales() <= GroupedCodes::kMaxScales);
  return {Layout::kType, kGrouping, decode<Layout>, unpack<Layout>, first_damaged<Layout>};
}

using namespace gguf_layouts;
constexpr std::array kBlockTypes = {
    block_type<Q4_0>(),    block_type<Q4_1>(),   block_type<Q5_0>(),    block_type<Q5_1>(),
    block_type<Q8_0>(),    block_type<Q2_K>(),   block_type<Q3_K>(),    block_type<Q4_K>(),
    block_type<Q5_K>(),    block_type<Q6_K>(),   block_type<IQ2_XXS>(), block_type<IQ2_XS>(),
    block_type<IQ3_XXS>(), block_type<IQ1_S>(),  block_type<IQ4_NL>(),  block_type<IQ3_S>(),
    block_type<IQ2_S>(),   block_type<IQ4_XS>(), block_type<IQ1_M>(),   block_type<MXFP4>(),
    block_type<NVFP4>(),
};

}  // namespace

std::span<const GgufBlockType> gguf_block_types() { return kBlockTypes; }

const GgufBlockType* gguf_block_type(GgufType type) {
  const auto row = std::find_if(kBlockTypes.begin(), kBlockTypes.end(),
                                [&](const GgufBlockType& t) { return t.type == type; });
  return row == kBlockTypes.end() ? nullptr : &*row;
}

void unpack_blocks(GgufType type, const std::byte* blocks, int64_t n_blocks, float* out) {
  const GgufBlockType* row = gguf_block_type(type);
  LH_CHECK(row != nullptr && n_blocks >= 0);
  row->unpack(blocks, n_blocks, out);
}

Status check_blocks(GgufType type, std::span<const std::byte> blocks, std::string_view where) {
  const GgufBlockType* row = gguf_block_type(type);
  const GgufTypeInfo& info = info_of(type);
  LH_CHECK(row != nullptr && blocks.size() % info.block_bytes == 0);
  const auto n_blocks = static_cast<int64_t>(blocks.size() / info.block_bytes);
  const int64_t damaged = row->first_damaged(blocks.data(), n_blocks);
  if (damaged == n_blocks) return {};
  return corrupt(
      "{}: block {} of {} ({}, at byte {} of the tensor) has a scale that is not finite "
      "or beyond f32; the file is damaged, download it again",
      where, damaged, n_blocks, info.name, damaged * info.block_bytes);
}

}  // namespace longhaul
