"""What a golden or parity variant is."""

import dataclasses
from typing import Any, Callable

import torch
from transformers import PreTrainedModel

from . import weights

Tensors = dict[str, torch.Tensor]
Scores = Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], torch.Tensor]


def first_output(_router: torch.nn.Module, output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """A router that returns what it chooses by."""
    return output[0]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One architecture: how to build it, how its checkpoint deviates from what transformers writes, what to ask it.

    name            folder name
    about           one sentence for ORIGIN.txt: what this variant is there to catch
    build           makes the model, weights still to be filled
    rule            the family's weight rule
    window          sliding window; prompt lengths are chosen around it
    vocab           ids are drawn from [0, vocab)
    dtype           dtype of the saved tensors
    edit_config     rewrites the dict of config.json: other spellings of the same thing
    edit_tensors    rewrites the tensors of the file by name: other layouts that the reference reads too
    amend           gives the loaded reference what it lacks: semantics of other released code
    respell         (config, tensors) -> both in a spelling which the reference cannot read; applied after it has answered
    weights_of      another variant's name, to have the same weights and answers
    f32_leaves      last parts of tensor names that stay f32 whatever `dtype` is
    scores          (router, its output) -> [T, E] what the router chooses by
    extra_tensors   (model, seed) -> tensors added to the file, which a reader must skip
    max_shard_size  given: the checkpoint is split, with an index
    save_options    more arguments for save_pretrained
    cache_is_exact  false where transformers' own decode cache is wrong for this variant
    bos             id that every prompt begins with
    lengths         prompt lengths, ascending; None for those around the window
    continued       lengths whose prompts are continued greedily; None for all
    tap_length      length of the prompt whose intermediate values are stored; None for the first longer than the window, 0 for none
    max_weight_bytes  how large the checkpoint may be
    """

    name: str
    about: str
    build: Callable[[], PreTrainedModel]
    rule: weights.Rule
    window: int
    vocab: int
    dtype: torch.dtype = torch.float32
    edit_config: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    edit_tensors: Callable[[Tensors], Tensors] | None = None
    amend: Callable[[PreTrainedModel], None] | None = None
    respell: Callable[[dict[str, Any], Tensors], tuple[dict[str, Any], Tensors]] | None = None
    weights_of: str | None = None
    f32_leaves: tuple[str, ...] = ()
    scores: Scores = first_output
    extra_tensors: Callable[[PreTrainedModel, int], dict[str, torch.Tensor]] | None = None
    max_shard_size: str | None = None
    save_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    cache_is_exact: bool = True
    bos: int = 2
    lengths: tuple[int, ...] | None = None
    continued: tuple[int, ...] | None = None
    tap_length: int | None = None
    max_weight_bytes: int = 190_000

    def prompt_lengths(self) -> list[int]:
        """1, 2, around the window, three windows, and one odd length, all short; or the variant's own."""
        if self.lengths is not None:
            return list(self.lengths)
        w = self.window
        lengths = {1, 2, w - 1, w, w + 1, 3 * w, 3 * w + 5}
        return sorted(n for n in lengths if n > 0)

    def prompts(self, seed: int) -> list[list[int]]:
        """Token ids; the first is always the BOS id, the others random."""
        rng = weights.generator("prompts", seed)
        return [[self.bos] + rng.integers(0, self.vocab, n - 1).tolist() for n in self.prompt_lengths()]
