#include "kernels/codecs/grouped.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/check.h"
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/integer_blocks.h"
#include "kernels/codecs/rounding.h"

namespace longhaul {
namespace {

constexpr CodeLevels counted_from(int first) {
  CodeLevels levels{};
  for (size_t i = 0; i < levels.size(); ++i)
    levels[i] = static_cast<int8_t>(first + static_cast<int>(i));
  return levels;
}
constexpr CodeLevels with_signs(std::initializer_list<int8_t> magnitudes) {
  CodeLevels levels{};
  size_t i = 0;
  for (int8_t m : magnitudes) {
    levels[i++] = m;
    levels[i++] = static_cast<int8_t>(-m);
  }
  return levels;
}

// The levels of each type in 4 bits.
constexpr CodeLevels levels_of(DType type) {
  switch (type) {
    case DType::kQ4_0: return counted_from(-8);
    case DType::kQ3_K: return counted_from(-4);
    case DType::kQ4_1:
    case DType::kQ4_K:
    case DType::kQ2_K: return counted_from(0);
    case DType::kIQ1_S:
    case DType::kIQ1_M: return with_signs({1, 7, 9});
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S: return with_signs({8, 25, 43});
    case DType::kIQ3_XXS: return with_signs({4, 12, 20, 28, 36, 44, 52, 62});
    case DType::kIQ3_S: return with_signs({1, 3, 5, 7, 9, 11, 13, 15});
    case DType::kIQ4_NL:
    case DType::kIQ4_XS: return kIq4Levels;
    case DType::kNVFP4: return kE2m1Levels;
    default: return {};
  }
}

// Levels as a panel's codes, in place.
template <class Panels, DType kType>
void to_codes(GroupedCodes& codes, size_t n) {
  static constexpr CodeLevels kLevels = levels_of(kType);
  constexpr bool kIsCounted = kLevels == counted_from(kLevels[0]);
  static constexpr auto kCodes = codes_by_level(kLevels);
  for (size_t i = 0; i < n; ++i) {
    int8_t& level = codes.levels[i];
    if constexpr (Panels::kBits == 8) {
      level = static_cast<int8_t>(level ^ -kCodeOffset);
    } else if constexpr (kIsCounted) {
      level = static_cast<int8_t>(level - kLevels[0]);
    } else {
      level = static_cast<int8_t>(kCodes[static_cast<uint8_t>(level)]);
    }
  }
}

// Scales of files are f16 where panels keep f16.
void put_scale(f16& out, float scale) { out = to_f16(scale); }
void put_scale(float& out, float scale) { out = scale; }
float scale_of(f16 x) { return to_f32(x); }
float scale_of(float x) { return x; }

// What is the same for weights [i, i + kGroup) of an output.
struct GroupTerms {
  float scale = 0, min = 0;
};

template <class Panels>
struct GroupedReader {
  const GroupedHeader* header;
  const uint8_t* block;
  size_t output;

  static size_t at(int64_t row, size_t o) { return static_cast<size_t>(row * kPanel) + o; }
  GroupTerms terms(int64_t group) const {
    auto* b = const_cast<uint8_t*>(block);
    const size_t own = at(group, output), scale = Panels::kHasMultipliers ? output : own;
    GroupTerms t{scale_of(Panels::scales(b)[scale]), 0.0f};
    if constexpr (Panels::kHasMins) t.min = scale_of(Panels::min_scales(b)[scale]);
    if constexpr (Panels::kHasMultipliers) t.scale *= Panels::multipliers(b)[own];
    if constexpr (Panels::kHasMultipliers && Panels::kHasMins) t.min *= Panels::mins(b)[own];
    return t;
  }
  int level(int64_t i) const {
    const uint8_t* codes = block + Panels::kCodesAt;
    const auto o = static_cast<int64_t>(output);
    if constexpr (Panels::kBits == 8) return int{codes[byte_code_at(o, i)]} - kCodeOffset;
    return header->levels[nibble_of(codes[nibble_code_at(o, i)], i)];
  }
};

template <class Panels>
GroupedReader<Panels> reader(const std::byte* panel, int64_t output, int64_t block) {
  return {reinterpret_cast<const GroupedHeader*>(panel),
          reinterpret_cast<const uint8_t*>(panel) + Panels::kLayout.header(0) +
              block * Panels::kLayout.block_bytes,
          static_cast<size_t>(output)};
}

template <class Panels>
void unpack(const PackedMatrix& m, int64_t row, float* out) {
  const std::byte* panel = m.data + row / kPanel * m.panel_bytes();
  for (int64_t i = 0; i < m.k; ++i) {
    const auto in = reader<Panels>(panel, row % kPanel, i / kQuantBlock);
    const GroupTerms t = in.terms(i % kQuantBlock / Panels::kGroup);
    float w = t.scale * static_cast<float>(in.level(i % kQuantBlock));
    if constexpr (Panels::kHasMins) w -= t.min;
    out[i] = w * in.header->factor;
  }
}

// Integer sums are exact, the rest in f64.
template <class Panels>
double block_product(const GroupedReader<Panels>& in, const InputBlock& x) {
  double sum = 0.0;
  for (int64_t g = 0; g < Panels::kGroups; ++g) {
    int32_t dot = 0, inputs = 0;
    for (int64_t i = g * Panels::kGroup; i < (g + 1) * Panels::kGroup; ++i) {
      dot += in.level(i) * x.codes[static_cast<size_t>(i)];
      inputs += x.codes[static_cast<size_t>(i)];
    }
    const GroupTerms t = in.terms(g);
    sum += double{x.scale[static_cast<size_t>(g * Panels::kGroup / kQuantGroup)]} *
           (double{t.scale} * dot - double{t.min} * inputs);
  }
  return sum * double{in.header->factor};
}

template <class Panels>
void multiply(const MatmulTile& t) {
  integer_blocks::multiply_outputs(
      t, [&](const std::byte* panel, int64_t output, const InputBlock* inputs) {
        double sum = 0.0;
        for (int64_t b = 0; b < blocks_of(t.k); ++b)
          sum += block_product<Panels>(reader<Panels>(panel, output, b), inputs[b]);
        return sum;
      });
}

// Where what a block of a file shares with a block of a panel stands in both, in weights.
struct Shared {
  int64_t from, to, n;
};

// The scales of an output.
template <class Panels>
void put_scales(const GroupedCodes& codes, const CodeGrouping& grouping, const Shared& shared,
                size_t output, uint8_t* block) {
  for (int64_t g = 0; g < shared.n / Panels::kGroup; ++g) {
    const auto source = static_cast<size_t>(shared.from / Panels::kGroup + g);
    const auto at = static_cast<size_t>((shared.to / Panels::kGroup + g) * kPanel) + output,
               of_scale = Panels::kHasMultipliers ? output : at;
    put_scale(Panels::scales(block)[of_scale],
              codes.scales[source * grouping.group / grouping.run]);
    if constexpr (Panels::kHasMins) put_scale(Panels::min_scales(block)[of_scale], codes.min_scale);
    if constexpr (Panels::kHasMultipliers)
      Panels::multipliers(block)[at] = codes.multipliers[source];
    if constexpr (Panels::kHasMultipliers && Panels::kHasMins)
      Panels::mins(block)[at] = codes.mins[source];
  }
}

uint32_t word_at(const GroupedCodes& codes, int64_t i) {
  uint32_t word;
  std::memcpy(&word, codes.levels.data() + i, sizeof word);
  return word;
}

// Lines of codes, each of all outputs.
template <class Panels>
void put_lines(std::span<const GroupedCodes> codes, const Shared& shared, uint8_t* block) {
  constexpr int64_t kLineInputs = Panels::kBits == 8 ? 4 : 8, kLineBytes = 64;
  uint8_t* line = block + Panels::kCodesAt + shared.to / kLineInputs * kLineBytes;
  for (int64_t i = 0; i < shared.n; i += kLineInputs, line += kLineBytes) {
    for (size_t o = 0; o < codes.size(); ++o) {
      uint32_t word = word_at(codes[o], shared.from + i);
      if constexpr (Panels::kBits == 4) word |= word_at(codes[o], shared.from + i + 4) << 4;
      std::memcpy(line + 4 * o, &word, sizeof word);
    }
  }
}

// Rows of one panel, at most 16.
template <class Panels, DType kType>
void pack_panel(const SourceRows& rows, int64_t first, int64_t n_rows, int64_t k, std::byte* out) {
  const BlockDecoder& from = *rows.blocks;
  const int64_t weights = from.grouping.n_weights, row_blocks = k / weights,
                shared = std::min(weights, kQuantBlock);
  *reinterpret_cast<GroupedHeader*>(out) = {levels_of(kType), rows.factor, {}};
  std::array<GroupedCodes, kPanel> codes;
  for (int64_t b = 0; b < row_blocks; ++b) {
    for (int64_t o = 0; o < n_rows; ++o) {
      GroupedCodes& own = codes[static_cast<size_t>(o)];
      from.decode(rows.data + ((first + o) * row_blocks + b) * from.block_bytes, own);
      to_codes<Panels, kType>(own, static_cast<size_t>(weights));
    }
    for (int64_t at = 0; at < weights; at += shared) {
      const int64_t input = b * weights + at;
      const Shared part{at, input % kQuantBlock, shared};
      uint8_t* block = rounding::block_of(Panels::kLayout, out, k, 0, input / kQuantBlock);
      for (int64_t o = 0; o < n_rows; ++o)
        put_scales<Panels>(codes[static_cast<size_t>(o)], from.grouping, part,
                           static_cast<size_t>(o), block);
      put_lines<Panels>(std::span(codes).first(static_cast<size_t>(n_rows)), part, block);
    }
  }
}

template <class Panels, DType kType>
Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(rows.blocks != nullptr);
  const CodeGrouping& grouping = rows.blocks->grouping;
  LH_CHECK(k % grouping.n_weights == 0 && int64_t{grouping.group} == Panels::kGroup &&
           grouping.has_mins == Panels::kHasMins);
  rounding::clear_panels(Panels::kLayout, n_rows, k, out);
  for (int64_t first = 0; first < n_rows; first += kPanel)
    pack_panel<Panels, kType>(rows, first, std::min(kPanel, n_rows - first), k,
                              out + first / kPanel * Panels::kLayout.panel_bytes(k));
  return QuantError{};
}

template <DType kType>
bool keeps(const StoredAs& stored) {
  return stored.elements == kType;
}

template <DType kType, class Panels>
constexpr Codec codec(const char* name) {
  return {.name = name,
          .suffix = name,
          .layout = Panels::kLayout,
          .inputs = InputCoding::kInt8,
          .keeps = keeps<kType>,
          .pack = pack<Panels, kType>,
          .unpack = unpack<Panels>,
          .product = multiply<Panels>};
}

}  // namespace

namespace grouped_codecs {
#define LH_DEFINE(type, panels) constinit const Codec type = codec<DType::type, panels>(&#type[1]);
LH_GROUPED_CODECS(LH_DEFINE)
#undef LH_DEFINE
}  // namespace grouped_codecs

}  // namespace longhaul
