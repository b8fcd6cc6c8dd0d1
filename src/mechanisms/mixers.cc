#include "mechanisms/mixers.h"

namespace longhaul {

template <class M>
static auto find_attention(M& mixer) {
  auto* plain = mixer.template as<AttentionSpec>();
  if (auto* s = mixer.template as<CcaSpec>()) return &s->attention;
  if (auto* s = mixer.template as<CompressedAttentionSpec>()) return &s->attention;
  if (auto* s = mixer.template as<LatentAttentionSpec>()) return &s->attention;
  return plain;
}

const AttentionSpec* attention_of(const Mixer& mixer) { return find_attention(mixer); }
AttentionSpec* attention_of(Mixer& mixer) { return find_attention(mixer); }

}  // namespace longhaul
