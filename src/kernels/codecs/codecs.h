// The table of weight formats. A format is one file in this folder and one row here; a tier that
// multiplies by it faster than the portable product adds its own (KernelSet::products).
#pragma once

#include <span>
#include <string_view>

#include "kernels/codecs/codec.h"

namespace longhaul {

extern const Codec kF32Codec, kBf16Codec, kQ8Codec, kQ4Codec, kE4m3Codec, kMxfp4Codec;

// In the order in which options are listed.
std::span<const Codec* const> codecs();

// Null where no row has it.
const Codec* codec_of_option(std::string_view option);
const Codec* codec_of_suffix(std::string_view suffix);
// What keeps a tensor stored so without loss; null where none does.
const Codec* codec_that_keeps(const StoredAs& stored);

// Puts one more row at the end of the table while it lives. Not while another thread loads or
// describes a model.
class RegisteredCodec {
 public:
  explicit RegisteredCodec(const Codec& codec);
  ~RegisteredCodec();
  RegisteredCodec(const RegisteredCodec&) = delete;
  RegisteredCodec& operator=(const RegisteredCodec&) = delete;
};

}  // namespace longhaul
