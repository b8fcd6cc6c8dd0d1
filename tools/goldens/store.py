"""Makes and checks one golden folder."""

import dataclasses
import datetime
import functools
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
MIN_CHOICE_GAP = 2e-5  # the same for the last expert and the last compressed entry chosen
MIN_SPREAD = 1.0  # standard deviation of the logits
MIN_INFLUENCE = 1e-2  # how far some logit must move when a tensor's values are disturbed by a tenth
MAX_ATTEMPTS = 60
MAX_NOISE = 4e-5  # the reference's own difference between decoding through the cache and one pass
MIN_DISTINCT = 10  # ids in the greedy texts

ORIGIN = """{path}: {about}.

Made by tools/make_goldens.py with transformers {transformers}, torch {torch}, safetensors {safetensors}, on {date}.
Weights: random, from SHA-256 of the variant's name, the seed and each tensor's name; seed {seed}. Saved as {dtype} by {model_class}.
Logits: {model_class}, weights read as float32, eager attention, use_cache on, one pass over the prompt.
Greedy: {n_greedy} tokens a prompt{continued}, no id stops it; the smallest gap between the best two logits is {margin:.4f}.
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
    for i, prompt in enumerate(prompts):
        with ChoiceGap(model, variant.scores) as gap:
            tensors[f"logits.{i}"] = reference.logits(model, prompt)
        if gap.smallest < MIN_CHOICE_GAP:
            return None
        tensors[f"prompt.{i}"] = torch.tensor(prompt, dtype=torch.int32)
    asked = _continued(variant)
    continuations = dict(zip(asked, reference.greedy(model, [prompts[i] for i in asked])))
    if len(set(sum(continuations.values(), []))) < MIN_DISTINCT:
        return None
    cache_prompts = _cache_prompts(variant)
    for i, continuation in continuations.items():
        with ChoiceGap(model, variant.scores) as gap:
            forced = reference.teacher_forced(model, prompts[i], continuation)
        margin = min(margin, forced.margin)
        if margin < MIN_MARGIN or gap.smallest < MIN_CHOICE_GAP or forced.choices != continuation:
            return None
        if variant.cache_is_exact and i in cache_prompts:
            if _cache_difference(model, prompts[i], continuation, forced) > MAX_NOISE:
                return None
        tensors[f"greedy.{i}"] = torch.tensor(continuation, dtype=torch.int32)
    for i, prompt in enumerate(prompts):
        for name, value in reference.choices(model, prompt + continuations.get(i, [])[:-1], variant.scores).items():
            tensors[f"chosen.{i}.{name}"] = value.contiguous()
    tapped = _tap_index(variant)
    if tapped is not None:
        for name, value in reference.taps(model, prompts[tapped]).items():
            tensors[f"tap.{tapped}.{name}"] = value.contiguous()
    if variant.dtype == torch.bfloat16 and RoundedEmbedScale.applies_to(model):
        with RoundedEmbedScale(model):
            for i, prompt in enumerate(prompts):
                tensors[f"logits_rounded_scale.{i}"] = reference.logits(model, prompt)
    return tensors, margin


def _tap_index(variant: Variant) -> int | None:
    """The prompt whose intermediate values are stored: the first that is longer than the window, or the variant's own choice."""
    if variant.tap_length == 0:
        return None
    if variant.tap_length is not None:
        return variant.prompt_lengths().index(variant.tap_length)
    return next(i for i, n in enumerate(variant.prompt_lengths()) if n > max(variant.window, 2))


def _continued(variant: Variant) -> list[int]:
    """The prompts that are continued greedily."""
    lengths = variant.prompt_lengths()
    return [i for i, n in enumerate(lengths) if variant.continued is None or n in variant.continued]


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
        n_greedy=reference.GREEDY_TOKENS,
        continued="" if variant.continued is None else f" of {', '.join(map(str, variant.continued))} tokens", margin=margin,
        notes="".join(f"{n}\n" for n in notes),
    )


class ChoiceGap:
    """Watches every router and indexer: `smallest` is the least distance between the last one chosen and the first left out."""

    def __init__(self, model, scores: Scores):
        self.smallest = float("inf")
        self._model = model
        self._scores = scores
        self._handles = []

    def _see_experts(self, module, _inputs, output):
        self._see(self._scores(module, output), output[2].shape[-1])

    def _see_entries(self, indexer, inputs, _output):
        self._see(indexer.seen_scores.masked_fill(hidden_entries(indexer, inputs), float("-inf")), indexer.index_topk)

    def _see(self, scores: torch.Tensor, k: int) -> None:
        if k < scores.shape[-1]:
            top = scores.topk(k + 1).values
            gaps = top[..., k - 1] - top[..., k]  # nan where neither exists
            self.smallest = min(self.smallest, float(gaps.nan_to_num(float("inf")).min()))

    def __enter__(self):
        self._handles = [router.register_forward_hook(self._see_experts) for router in reference.routers(self._model)]
        for indexer in reference.indexers(self._model):
            self._handles.append(indexer.scorer.register_forward_hook(functools.partial(_keep_scores, indexer)))
            self._handles.append(indexer.register_forward_hook(self._see_entries))
        return self

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()


def _keep_scores(indexer, _scorer, _inputs, output) -> None:
    indexer.seen_scores = output


def hidden_entries(indexer, inputs) -> torch.Tensor:
    """[B, T, entries] bool: compressed entries whose last token comes after the query, given an indexer's inputs."""
    positions, entries = inputs[2], indexer.seen_scores.shape[-1]
    return torch.arange(entries) >= ((positions + 1) // indexer.compress_rate).unsqueeze(-1)


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
    if report.weight_bytes > variant.max_weight_bytes:
        report.problems.append(f"checkpoint is larger than {variant.max_weight_bytes} bytes")
    ids, asked = set(), _continued(variant)
    for i, want in enumerate(stored):
        prompt = golden[f"prompt.{i}"].tolist()
        again = float((reference.logits(model, prompt) - want).abs().max())
        if again > 1e-5:
            report.problems.append(f"logits.{i} differ by {again:.1e} when computed again")
        continuation = golden[f"greedy.{i}"].tolist() if i in asked else []
        if continuation:
            ids.update(continuation)
            _check_greedy(variant, model, prompt, continuation, i, report)
        for name, chosen in reference.choices(model, prompt + continuation[:-1], variant.scores).items():
            if not torch.equal(golden.get(f"chosen.{i}.{name}", torch.empty(0)), chosen):
                report.problems.append(f"chosen.{i}.{name} is not what the reference chooses")
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
    """The continued prompts decoded again through the cache: one that fills the window on the way, and the longest."""
    asked, lengths = _continued(variant), variant.prompt_lengths()
    shorter = [i for i in asked if lengths[i] < variant.window]
    return {shorter[-1] if shorter else asked[0], asked[-1]}


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
    """Disturbs each text tensor in turn; one that moves no logit of the longest prompt tests nothing."""
    i = len(variant.prompt_lengths()) - 1
    prompt, want = golden[f"prompt.{i}"].tolist(), golden[f"logits.{i}"]
    stack = reference.text_model(model)
    for name, tensor in stack.state_dict().items():
        saved = tensor.clone()
        if tensor.is_floating_point():
            noise = weights.make_tensor("noise." + name, tuple(tensor.shape), 1, lambda n, s, r: r.standard_normal(s))
            tensor.add_(noise * 0.1 * saved.abs().mean())
        else:
            tensor.copy_(saved.roll(1, 0))
        moved = float((reference.logits(model, prompt) - want).abs().max())
        tensor.copy_(saved)
        if moved < MIN_INFLUENCE:
            report.inert.append(f"{name} ({moved:.0e})")
