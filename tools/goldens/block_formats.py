"""FP8 and FP4 weights with a scale a block, as released checkpoints store them. Encoding what decoding gave loses nothing."""

import torch

FP8_BLOCK = 128  # rows and columns that share a scale
FP8_MAX = 448.0
FP4_BLOCK = 32  # columns of one row that share a scale
FP4_VALUES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def encode_fp8(weight: torch.Tensor, scale_dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """[out, in] -> E4M3 codes and scales [ceil(out/128), ceil(in/128)]: powers of two as E8M0, or float32."""
    largest = torch.stack([torch.stack([b.abs().max() for b in rows.split(FP8_BLOCK, 1)]) for rows in weight.split(FP8_BLOCK, 0)])
    scale = _round_up(largest / FP8_MAX, bits=1 if scale_dtype == torch.float8_e8m0fnu else 8)
    codes = (weight / _spread_fp8(scale, weight.shape)).to(torch.float8_e4m3fn)
    return codes, scale.to(scale_dtype)


def decode_fp8(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The inverse, f32."""
    return codes.float() * _spread_fp8(scale.float(), codes.shape)


def encode_fp4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[out, in] -> bytes [out, in/2], the even column in the low half, and E8M0 scales [out, in/32]."""
    n_out, n_in = weight.shape
    blocks = weight.view(n_out, n_in // FP4_BLOCK, FP4_BLOCK)
    scale = _round_up(blocks.abs().amax(-1) / FP4_VALUES[-1], bits=1)
    scaled = (blocks / scale.unsqueeze(-1)).view(n_out, n_in)
    codes = (scaled.abs().unsqueeze(-1) - FP4_VALUES).abs().argmin(-1) + 8 * (scaled < 0)
    return (codes[:, 0::2] | codes[:, 1::2] << 4).to(torch.uint8).view(torch.int8), scale.to(torch.float8_e8m0fnu)


def decode_fp4(packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The inverse, f32."""
    packed = packed.view(torch.uint8).int()
    codes = torch.stack([packed & 15, packed >> 4], -1).flatten(1)
    values = FP4_VALUES[codes & 7] * torch.where(codes > 7, -1.0, 1.0)
    return values * scale.float().repeat_interleave(FP4_BLOCK, 1)


def _spread_fp8(scale: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """A scale for every element."""
    whole = scale.repeat_interleave(FP8_BLOCK, 0).repeat_interleave(FP8_BLOCK, 1)
    return whole[: shape[0], : shape[1]]


def _round_up(scale: torch.Tensor, bits: int) -> torch.Tensor:
    """To `bits` significant bits: a product with any code is exact then, and encoding again gives the same scale."""
    mantissa, exponent = torch.frexp(scale)
    return torch.ldexp(torch.ceil(mantissa * 2**bits) / 2**bits, exponent)
