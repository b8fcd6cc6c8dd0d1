"""The reference's answers: transformers, f32, eager attention, use_cache on."""

import dataclasses
import json
from pathlib import Path
from typing import Callable

import torch
import transformers
from safetensors.torch import load_file
from transformers import PreTrainedModel

from .variants import Scores, first_output

GREEDY_TOKENS = 64


def quiet() -> None:
    """One thread, no progress bars, errors only: unused tensors in a checkpoint are intended here."""
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def load(folder: Path, amend: Callable[[PreTrainedModel], None] | None = None) -> PreTrainedModel:
    """Loads a model folder by the class its config.json names, every weight as f32; `amend` may change the model then.

    use_cache stays on: without a cache, versions of transformers before the fix of KV sharing gave wrong logits.
    """
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    for config in (model.config, model.config.get_text_config()):
        if config._attn_implementation != "eager":
            raise RuntimeError(f"{folder}: attention is {config._attn_implementation}, wanted eager")
    _put_back(model, folder)
    if amend:
        amend(model)
    return model.eval()


@torch.no_grad()
def _put_back(model: PreTrainedModel, folder: Path) -> None:
    """Takes values from the file again where loading replaced them.

    transformers 5.18 sets ZAYA's bias of the skip expert to -1 on loading, whatever the file says.
    """
    state = model.state_dict()
    for path in folder.glob("model*.safetensors"):
        for name, stored in load_file(path).items():
            if name in state and state[name].shape == stored.shape:
                state[name].copy_(stored)


@torch.no_grad()
def logits(model: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    """[T, vocab] f32, in one pass."""
    out = model(input_ids=torch.tensor([tokens]), use_cache=True)
    return out.logits[0].float().contiguous()


@torch.no_grad()
def logits_in_steps(model: PreTrainedModel, tokens: list[int], sizes: list[int]) -> torch.Tensor:
    """[T, vocab] f32, through the cache, `sizes[i]` tokens at a time."""
    if sum(sizes) != len(tokens):
        raise ValueError(f"steps cover {sum(sizes)} of {len(tokens)} tokens")
    cache, rows, start = None, [], 0
    for size in sizes:
        out = model(input_ids=torch.tensor([tokens[start : start + size]]), past_key_values=cache, use_cache=True)
        cache, start = out.past_key_values, start + size
        rows.append(out.logits[0].float())
    return torch.cat(rows).contiguous()


@torch.no_grad()
def greedy(model: PreTrainedModel, prompts: list[list[int]], n_tokens: int = GREEDY_TOKENS) -> list[list[int]]:
    """Greedy continuation of each prompt; no id stops it.

    Each step is a pass over the whole texts, padded on the right, where a causal model does not look: no decode cache is
    involved. `teacher_forced` tells by how much each choice was the best.
    """
    texts = [list(prompt) for prompt in prompts]
    for _ in range(n_tokens):
        longest = max(map(len, texts))
        batch = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
        rows = model(input_ids=batch, use_cache=True).logits
        for i, text in enumerate(texts):
            text.append(int(rows[i, len(text) - 1].argmax()))
    return [text[len(prompt) :] for text, prompt in zip(texts, prompts)]


@dataclasses.dataclass(frozen=True)
class Forced:
    """One pass over prompt + continuation: the choice at each continued position, and how clear it was."""

    logits: torch.Tensor
    choices: list[int]
    margin: float


def teacher_forced(model: PreTrainedModel, prompt: list[int], continuation: list[int]) -> Forced:
    """Choices equal to `continuation` mean that greedy decoding gives it."""
    whole = logits(model, prompt + continuation[:-1])
    best = whole[len(prompt) - 1 :].topk(2)
    margin = float((best.values[:, 0] - best.values[:, 1]).min())
    return Forced(whole, best.indices[:, 0].tolist(), margin)


def text_model(model: PreTrainedModel) -> torch.nn.Module:
    """The stack of decoder layers, also inside a multimodal wrapper."""
    inner = model.model
    return getattr(inner, "language_model", inner)


@torch.no_grad()
def choices(model: PreTrainedModel, tokens: list[int], scores: Scores = first_output) -> dict[str, torch.Tensor]:
    """What was chosen out of many at every token, [T, k] i32, ascending:

    layers.N.experts  where a layer has a router: the experts chosen by `scores`
    layers.N.entries  where an indexer chooses compressed entries: those chosen, then -1; k is the smaller of its top k
                      and all entries there are
    """
    found: dict[str, torch.Tensor] = {}

    def keep_experts(name):
        def hook(router, _inputs, output):
            found[name] = scores(router, output).topk(output[2].shape[-1]).indices.sort().values.to(torch.int32)

        return hook

    def keep_entries(name):
        def hook(_indexer, _inputs, output):
            last = torch.iinfo(torch.int32).max
            chosen = output[0].masked_fill(output[0] < 0, last).sort().values
            found[name] = chosen.masked_fill(chosen == last, -1).to(torch.int32)

        return hook

    handles = []
    for i, layer in enumerate(text_model(model).layers):
        handles += [m.register_forward_hook(keep_experts(f"layers.{i}.experts")) for m in routers(layer)]
        handles += [m.register_forward_hook(keep_entries(f"layers.{i}.entries")) for m in indexers(layer)]
    try:
        logits(model, tokens)
    finally:
        for handle in handles:
            handle.remove()
    return found


def routers(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Those that choose experts."""
    return [m for m in module.modules() if type(m).__name__.endswith("Router")]


def indexers(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Those that choose compressed entries."""
    return [m for m in module.modules() if type(m).__name__.endswith("Indexer")]


@torch.no_grad()
def taps(model: PreTrainedModel, tokens: list[int]) -> dict[str, torch.Tensor]:
    """Values on the way, f32, [T, ...]:

    embed             what enters layer 0: token embeddings, scaled; [T, S, D] where there are S streams, as for out
    ple               per-layer inputs [T, L, P], where the model has them
    layers.N.attn     attention output, after o_proj, before the norm or scaling that follows
    layers.N.mlp      MLP output, before the norm or scaling that follows; the whole mixture where `mlp` is one
    layers.N.out      residual stream that leaves the layer
    norm              after the final norm
    """
    found: dict[str, torch.Tensor] = {}
    stack = text_model(model)

    def keep(name):
        def hook(_module, _inputs, output):
            value = output[0] if isinstance(output, tuple) else output
            found[name] = value.detach().reshape(len(tokens), *value.shape[2:]).clone()

        return hook

    def keep_input(_module, inputs):
        found["embed"] = inputs[0].detach().reshape(len(tokens), *inputs[0].shape[2:]).clone()

    handles = [stack.layers[0].register_forward_pre_hook(keep_input), stack.norm.register_forward_hook(keep("norm"))]
    for i, layer in enumerate(stack.layers):
        handles.append(layer.self_attn.register_forward_hook(keep(f"layers.{i}.attn")))
        handles.append(layer.mlp.register_forward_hook(keep(f"layers.{i}.mlp")))
        handles.append(layer.register_forward_hook(keep(f"layers.{i}.out")))
    project = getattr(stack, "project_per_layer_inputs", None)
    if project is not None:

        def spy(*args, **kwargs):
            value = project(*args, **kwargs)
            found["ple"] = value[0].detach().clone()
            return value

        stack.project_per_layer_inputs = spy
    try:
        logits(model, tokens)
    finally:
        for handle in handles:
            handle.remove()
        if project is not None:
            del stack.project_per_layer_inputs
    return found
