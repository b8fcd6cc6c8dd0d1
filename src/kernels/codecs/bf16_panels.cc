// Elements of bf16, a pair of inputs a step: what one dot instruction eats.
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/plain_panels.h"

namespace longhaul {

constinit const Codec kBf16Codec = {
    .name = "BF16",
    .suffix = "bf16",
    .option = "bf16",
    .layout = plain_panels::kLayout<bf16>,
    .inputs = InputCoding::kBf16,
    .is_plain = true,
    .rms_error = 0.0018,
    .keeps = [](const StoredAs& stored) { return stored == StoredAs{DType::kBF16}; },
    .pack = plain_panels::pack<bf16>,
    .unpack = plain_panels::unpack<bf16>,
    .product = plain_panels::multiply<bf16>,
};

}  // namespace longhaul
