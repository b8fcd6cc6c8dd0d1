// Elements of f32, one input a step.
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/plain_panels.h"

namespace longhaul {

constinit const Codec kF32Codec = {
    .name = "F32",
    .suffix = "f32",
    .option = "f32",
    .layout = plain_panels::kLayout<float>,
    .inputs = InputCoding::kF32,
    .is_plain = true,
    // What is f16 in a file is widened, which loses nothing.
    .keeps =
        [](const StoredAs& stored) {
          return stored == StoredAs{DType::kF32} || stored == StoredAs{DType::kF16};
        },
    .pack = plain_panels::pack<float>,
    .unpack = plain_panels::unpack<float>,
    .product = plain_panels::multiply<float>,
};

}  // namespace longhaul
