"""Makes and checks one golden folder."""

import dataclasses
import datetime
import shutil
import tempfile
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file

from . import checkpoint, reference, weights
from .variants import Scores, Variant

MIN_MARGIN = 2e-3  # a greedy choice closer than this could flip on rounding alone
MIN_ROUTER_GAP = 2e-5  # the same for the last expert chosen
MIN_SPREAD = 1.0  # standard deviation of the logits
MIN_INFLUENCE = 1e-2  # how far some logit must move when a tensor's values are disturbed by a tenth
MAX_ATTEMPTS = 60
MAX_WEIGHT_BYTES = 190_000
MAX_NOISE = 4e-5  # the reference's own difference between decoding through the cache and one pass
MIN_DISTINCT = 10  # ids in the greedy texts

ORIGIN = """{path}: {about}.

Made by tools/make_goldens.py with transformers {transformers}, torch {torch}, safetensors {safetensors}, on {date}.
Weights: random, from SHA-256 of the variant's name, the seed and each tensor's name; seed {seed}. Saved as {dtype} by {model_class}.
Logits: {model_class}, weights read as float32, eager attention, use_cache on, one pass over the prompt.
Greedy: {n_greedy} tokens a prompt, no id stops it; the smallest gap between the best two logits is {margin:.4f}.
{notes}"""


def make(variant: Variant, folder: Path, path: str) -> None:
    """Replaces `folder` with a fresh golden; tries seeds until no choice is a near tie and rounding noise is small."""
    for seed in range(1, MAX_ATTEMPTS + 1):
        with tempfile.TemporaryDirectory() as temporary:
            built = Path(temporary) / variant.name
            checkpoint.write(variant, seed, built)
            model = reference.load(built, variant.amend)
            answers = _answers(variant, model, seed)
            if answers is None:
                continue
            tensors, margin = answers
            checkpoint.respell(variant, built)
            save_file(tensors, built / "golden.safetensors", metadata={"format": "pt", "seed": str(seed)})
            (built / "ORIGIN.txt").write_text(_origin(variant, model, seed, margin, path))
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(built, folder)
            return
    raise RuntimeError(f"{variant.name}: no seed up to {MAX_ATTEMPTS} makes a golden that is finite, varied and clear")


def _answers(variant: Variant, model, seed: int) -> tuple[dict[str, torch.Tensor], float] | None:
    """The tensors of golden.safetensors and the smallest greedy margin, or None where this seed makes a poor test."""
    tensors, margin = {}, float("inf")
    prompts = variant.prompts(seed)
    continuations = reference.greedy(model, prompts)
    if len(set(sum(continuations, []))) < MIN_DISTINCT:
        return None
    cache_prompts = _cache_prompts(variant)
    for i, (prompt, continuation) in enumerate(zip(prompts, continuations)):
        with RouterGap(model, variant.scores) as gap:
            forced = reference.teacher_forced(model, prompt, continuation)
        margin = min(margin, forced.margin)
        if margin < MIN_MARGIN or gap.smallest < MIN_ROUTER_GAP or forced.choices != continuation:
            return None
        if variant.cache_is_exact and i in cache_prompts:
            if _cache_difference(model, prompt, continuation, forced) > MAX_NOISE:
                return None
        tensors[f"prompt.{i}"] = torch.tensor(prompt, dtype=torch.int32)
        tensors[f"logits.{i}"] = reference.logits(model, prompt)
        tensors[f"greedy.{i}"] = torch.tensor(continuation, dtype=torch.int32)
        for name, value in reference.choices(model, prompt + continuation[:-1], variant.scores).items():
            tensors[f"chosen.{i}.{name}"] = value.contiguous()
    tapped = tap_index(variant)
    for name, value in reference.taps(model, prompts[tapped]).items():
        tensors[f"tap.{tapped}.{name}"] = value.contiguous()
    if variant.dtype == torch.bfloat16 and RoundedEmbedScale.applies_to(model):
        with RoundedEmbedScale(model):
            for i, prompt in enumerate(prompts):
                tensors[f"logits_rounded_scale.{i}"] = reference.logits(model, prompt)
    return tensors, margin


def tap_index(variant: Variant) -> int:
    """The prompt whose intermediate values are stored: the first that is longer than the window."""
    return next(i for i, n in enumerate(variant.prompt_lengths()) if n > max(variant.window, 2))


def _origin(variant: Variant, model, seed: int, margin: float, path: str) -> str:
    notes = []
    if variant.edit_config:
        notes.append(f"config.json was then rewritten ({variant.edit_config.__name__} in tools/goldens/families); the reference read the result.")
    if variant.edit_tensors:
        notes.append(f"Tensors were then renamed and stacked ({variant.edit_tensors.__name__} in tools/goldens/families); the reference read the result.")
    if variant.amend:
        notes.append(f"The reference was amended ({variant.amend.__name__} in tools/goldens/families), which is where the answers are not its own.")
    if variant.respell:
        notes.append(f"After the reference had answered, the files were respelled ({variant.respell.__name__} in tools/goldens/families).")
    if variant.weights_of:
        notes.append(f"The weights are those of {variant.weights_of}; the same seed gives the same answers.")
    if variant.extra_tensors:
        notes.append("Unused tensors were added to the file; the reference ignores them.")
    if variant.f32_leaves:
        notes.append(f"Kept in float32: {', '.join(variant.f32_leaves)}.")
    if variant.dtype == torch.bfloat16 and RoundedEmbedScale.applies_to(model):
        notes.append("logits_rounded_scale.N: the same with sqrt(hidden_size) and sqrt(P) rounded to bf16, as a bf16 model has them.")
    return ORIGIN.format(
        path=path, about=variant.about, transformers=transformers.__version__, torch=torch.__version__,
        safetensors=safetensors.__version__, date=datetime.date.today().isoformat(), seed=seed,
        dtype=str(variant.dtype).removeprefix("torch."), model_class=type(model).__name__,
        n_greedy=reference.GREEDY_TOKENS, margin=margin, notes="".join(f"{n}\n" for n in notes),
    )


class RouterGap:
    """Watches every router: `smallest` is the least distance between the last expert chosen and the first left out."""

    def __init__(self, model, scores: Scores):
        self.smallest = float("inf")
        self._routers = reference.routers(model)
        self._scores = scores
        self._handles = []

    def _see(self, module, _inputs, output):
        probabilities, chosen = self._scores(module, output), output[2]
        k = chosen.shape[-1]
        if k < probabilities.shape[-1]:
            top = probabilities.topk(k + 1).values
            self.smallest = min(self.smallest, float((top[:, k - 1] - top[:, k]).min()))

    def __enter__(self):
        self._handles = [r.register_forward_hook(self._see) for r in self._routers]
        return self

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()


class RoundedEmbedScale:
    """Rounds the embedding scales to bf16, which is what they are when the reference runs in bf16."""

    @staticmethod
    def applies_to(model) -> bool:
        """Whether the model scales its embeddings by a constant."""
        return any(hasattr(m, "embed_scale") for m in model.modules())

    def __init__(self, model):
        self._scales = [m.embed_scale for m in model.modules() if hasattr(m, "embed_scale")]
        self._saved = [s.clone() for s in self._scales]

    def __enter__(self):
        for scale in self._scales:
            scale.copy_(scale.to(torch.bfloat16).float())

    def __exit__(self, *_):
        for scale, saved in zip(self._scales, self._saved):
            scale.copy_(saved)


@dataclasses.dataclass
class Report:
    """What a check found."""

    name: str
    weight_bytes: int
    golden_bytes: int
    spread: float = 0.0
    largest: float = 0.0
    n_distinct: int = 0
    margin: float = float("inf")
    cache_difference: float = 0.0
    inert: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)

    def line(self) -> str:
        verdict = "; ".join(self.problems) or "ok"
        inert = f", no influence: {', '.join(self.inert)}" if self.inert else ""
        return (
            f"{self.name:16} weights {self.weight_bytes:7} B  golden {self.golden_bytes:6} B  "
            f"logits std {self.spread:5.2f} max {self.largest:5.2f}  distinct greedy ids {self.n_distinct:3}  margin {self.margin:.4f}  "
            f"cache vs whole {self.cache_difference:.1e}  {verdict}{inert}"
        )


def check(variant: Variant, folder: Path) -> Report:
    """Reloads a golden folder and checks: finite, spread, reproducible, margins, cache = whole, every tensor matters."""
    golden = load_file(folder / "golden.safetensors")
    report = Report(variant.name, checkpoint.size_bytes(folder), (folder / "golden.safetensors").stat().st_size)
    model = _readable(variant, folder, report)
    stored = [golden[f"logits.{i}"] for i in range(len(variant.prompt_lengths()))]
    everything = torch.cat(stored)
    report.spread, report.largest = float(everything.std()), float(everything.abs().max())
    if any(t.is_floating_point() and not torch.isfinite(t).all() for t in golden.values()):
        report.problems.append("a value is not finite")
    if report.spread < MIN_SPREAD:
        report.problems.append(f"logits spread over {report.spread:.2f} only")
    if report.weight_bytes > MAX_WEIGHT_BYTES:
        report.problems.append(f"checkpoint is larger than {MAX_WEIGHT_BYTES} bytes")
    ids = set()
    for i, want in enumerate(stored):
        prompt, continuation = golden[f"prompt.{i}"].tolist(), golden[f"greedy.{i}"].tolist()
        ids.update(continuation)
        again = float((reference.logits(model, prompt) - want).abs().max())
        if again > 1e-5:
            report.problems.append(f"logits.{i} differ by {again:.1e} when computed again")
        _check_greedy(variant, model, prompt, continuation, i, report)
        for name, chosen in reference.choices(model, prompt + continuation[:-1], variant.scores).items():
            if not torch.equal(golden.get(f"chosen.{i}.{name}", torch.empty(0)), chosen):
                report.problems.append(f"chosen.{i}.{name} is not what the router chooses")
    report.n_distinct = len(ids)
    if report.n_distinct < MIN_DISTINCT:
        report.problems.append(f"greedy text uses {report.n_distinct} ids only")
    _check_influence(model, golden, variant, report)
    return report


def _readable(variant: Variant, folder: Path, report: Report):
    """The reference's model; one in a spelling of its own is made again from its seed, and the folder compared with that."""
    if variant.respell is None:
        return reference.load(folder, variant.amend)
    with safetensors.safe_open(folder / "golden.safetensors", "pt") as file:
        seed = int(file.metadata()["seed"])
    with tempfile.TemporaryDirectory() as temporary:
        again = Path(temporary) / variant.name
        checkpoint.write(variant, seed, again)
        model = reference.load(again, variant.amend)
        checkpoint.respell(variant, again)
        if (again / "config.json").read_bytes() != (folder / "config.json").read_bytes():
            report.problems.append("config.json is not what the respelling gives")
        made, stored = load_file(again / "model.safetensors"), load_file(folder / "model.safetensors")
        if made.keys() != stored.keys() or not all(torch.equal(made[n], stored[n]) for n in made):
            report.problems.append("the tensors are not what the respelling gives")
    return model


def _cache_prompts(variant: Variant) -> set[int]:
    """The prompts decoded again through the cache: one that fills the window on the way, and the longest."""
    return {tap_index(variant) - 2, len(variant.prompt_lengths()) - 1}


def _cache_difference(model, prompt: list[int], continuation: list[int], forced: reference.Forced) -> float:
    """How far decoding through the cache is from one pass: the reference's own rounding noise."""
    text = prompt + continuation[:-1]
    steps = reference.logits_in_steps(model, text, [len(prompt)] + [1] * (len(continuation) - 1))
    return float((steps - forced.logits).abs().max())


def _check_greedy(variant: Variant, model, prompt: list[int], continuation: list[int], i: int, report: Report) -> None:
    """Teacher-forced argmax equals the greedy text; the decode cache agrees with one pass over the whole."""
    forced = reference.teacher_forced(model, prompt, continuation)
    if forced.choices != continuation:
        report.problems.append(f"greedy.{i} is not what teacher forcing gives")
    report.margin = min(report.margin, forced.margin)
    if forced.margin < MIN_MARGIN:
        report.problems.append(f"greedy.{i} has a choice with a margin of {forced.margin:.1e}")
    if variant.cache_is_exact and i in _cache_prompts(variant):
        difference = _cache_difference(model, prompt, continuation, forced)
        report.cache_difference = max(report.cache_difference, difference)
        if difference > MAX_NOISE:
            report.problems.append(f"decoding {i} through the cache differs by {difference:.1e}")


@torch.no_grad()
def _check_influence(model, golden: dict[str, torch.Tensor], variant: Variant, report: Report) -> None:
    """Disturbs each text tensor in turn; one that moves no logit tests nothing."""
    i = tap_index(variant)
    prompt, want = golden[f"prompt.{i}"].tolist(), golden[f"logits.{i}"]
    stack = reference.text_model(model)
    for name, tensor in stack.state_dict().items():
        saved = tensor.clone()
        noise = weights.make_tensor("noise." + name, tuple(tensor.shape), 1, lambda n, s, r: r.standard_normal(s))
        tensor.add_(noise * 0.1 * saved.abs().mean())
        moved = float((reference.logits(model, prompt) - want).abs().max())
        tensor.copy_(saved)
        if moved < MIN_INFLUENCE:
            report.inert.append(f"{name} ({moved:.0e})")
