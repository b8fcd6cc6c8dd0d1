#!/usr/bin/env python3
"""Writes the integers that src/cost must reproduce, from an independent calculator of the published formulas.

  tools/make_cost_goldens.py path/to/cost_reference.py [tests/golden/cost]
"""
import importlib.util
import json
import sys

CONTEXTS = [4096, 32768, 131072, 262144]
LONG_CONTEXTS = CONTEXTS + [1048576]
PRESETS = {"gemma-4-E2B": "Gemma 4 E2B", "gemma-4-E4B": "Gemma 4 E4B", "gemma-4-12B": None,
           "gemma-4-26B-A4B": "Gemma 4 26B-A4B", "gemma-4-31B": "Gemma 4 31B"}
WHAT_IFS = {
    "no-kv-sharing": dict(sharing=False),
    "no-window": dict(window=False),
    "no-ple": dict(ple=False),
    "mha": dict(mha=True),
    "uniform-heads": dict(uniform="local"),
    "no-kv-sharing,no-window": dict(sharing=False, window=False),
    "no-kv-sharing,mha": dict(sharing=False, mha=True),
    "uniform-heads,no-kv-sharing": dict(uniform="local", sharing=False),
    "no-ple,mha,no-window": dict(ple=False, mha=True, window=False),
}


def config_12b(ref):
    """The reference has no 12B: these are the values of its published config.json."""
    return dict(
        model_type="gemma4_text", vocab_size=262144, hidden_size=3840, intermediate_size=15360,
        num_hidden_layers=48, num_attention_heads=16, num_key_value_heads=8, head_dim=256,
        global_head_dim=512, num_global_key_value_heads=1, attention_k_eq_v=True,
        sliding_window=1024, layer_types=ref._pattern(5, 48), num_kv_shared_layers=0,
        use_double_wide_mlp=False, hidden_size_per_layer_input=0, enable_moe_block=False,
        tie_word_embeddings=True, max_position_embeddings=262144)


def applies(name, cfg):
    if "no-kv-sharing" in name and not cfg["num_kv_shared_layers"]:
        return False
    return "no-ple" not in name or bool(cfg["hidden_size_per_layer_input"])


def leaves_state(m, t):
    """Whether every row needs this tensor for what it leaves to later tokens: convolutions mix queries and keys of all rows."""
    convolves = any(other.name == "conv_dw" for other in m.tensors)
    return t.name in ("kv_proj", "kv", "compressor", "index_compressor", "kv_a", "index_k") or (convolves and t.name in ("q_proj", "conv_dw", "conv_group"))


def connected_streams(m, last, n):
    """Hyper-connections: what a layer's attention reads is read for every row, even where only the last row goes on."""
    if not any(t.name == "mhc" for t in m.tensors):
        return 0
    d, k = m.cfg["hidden_size"], m.cfg["hc_mult"]
    read, write = 2 * (k * k + 2 * k) * k * d + 2 * k * d, 2 * k * d + 2 * k * k * d
    assert 2 * (read + write) == sum(t.flops for t in m.tensors if t.name == "mhc" and t.layer == 0) + m.extra_flops[0][2]
    head = 2 * k * k * d + 2 * k * d
    return last * 2 * (read + write) * n + read * n + read + 2 * write + head


def needed_rows_prefill(ref, m, n):
    """FLOPs where behind the last layer with a cache of its own, and in that layer's queries, only the last row goes on."""
    last = max(L.idx for L in m.layers if L.producer == L.idx)
    flops = connected_streams(m, last, n)
    for t in m.tensors:
        if t.name == "mhc":
            continue
        rows = n if t.layer is not None and (t.layer < last or (t.layer == last and leaves_state(m, t))) else 1
        flops += t.flops * rows
    for L in m.layers:
        if L.idx < last:
            flops += ref.layer_attn_prefill(L, n)
        else:
            flops += sum(f for _, _, f in ref.layer_attn_flops(L, n))
    return flops


def open_windows(m):
    """Bytes of windows that are not full yet: a running softmax (largest gate, sum, weighted sum in f32) a channel, two of them where windows overlap.
    The calculator counts the rows of the reference instead."""
    sizes = {"csa": lambda L: 2 * 3 * 4 * (L.c + L.dI), "hca": lambda L: 3 * 4 * L.c}
    return sum(sizes[L.kind](L) for L in m.layers if L.kind in sizes)


def taps_in_f32(m):
    """Bytes of convolution taps beyond what the calculator counts, which has them in the cache's two bytes."""
    return sum(2 * getattr(L, "conv_state", 0) for L in m.layers)


def cache_bytes(m, n):
    cache = m.cache(n)
    compresses = any(L.kind in ("csa", "hca") for L in m.layers)
    return int(cache["total"] - cache["state"] + open_windows(m) if compresses else cache["total"] + taps_in_f32(m))


def figures(ref, m, n):
    return dict(kv_bf16=cache_bytes(m, n), decode_flops=m.decode_flops(n), prefill_flops=m.prefill_flops(n),
                prefill_flops_skip=needed_rows_prefill(ref, m, n),
                decode_read={str(b): round(m.bytes_per_step(n, b)) for b in (1, 8)})


def growth(m):
    """Per token, over a stretch that completes whole windows of every ratio."""
    before, after = m.cache(128), m.cache(256)
    return int(sum(after[part] - before[part] for part in ("growing", "index")) // 128)


def model(ref, m, contexts=CONTEXTS):
    return dict(params=m.params(), active_with_head=m.active_params(True),
                growth_per_token=growth(m),
                contexts={str(n): figures(ref, m, n) for n in contexts})


def gemma(ref):
    out = {}
    for preset, name in PRESETS.items():
        cfg = ref.CONFIGS[name] if name else config_12b(ref)
        out[preset] = model(ref, ref.build_gemma4(preset, cfg))
        out[preset]["what_if"] = {w: model(ref, ref.build_gemma4(preset, cfg, **kw))
                                  for w, kw in WHAT_IFS.items() if applies(w, cfg)}
    return out


def laguna(ref):
    build = lambda **kw: model(ref, ref.build_laguna("laguna", ref.CONFIGS["Laguna XS.2"], **kw), LONG_CONTEXTS)
    return {"laguna-xs.2": build() | {"what_if": {"uniform-heads": build(heads=64), "no-window": build(window=False), "mha": build(mha=True)}}}


def zaya(ref):
    build = lambda **kw: model(ref, ref.build_zaya("zaya", ref.CONFIGS["ZAYA1-8B"], **kw), LONG_CONTEXTS)
    return {"zaya1-8b": build() | {"what_if": {"mha": build(variant="mha")}}}


def with_collapse(ref, name, **kw):
    m = ref.build_v4(name, ref.CONFIGS[name], **kw)
    if kw.get("mhc", True):  # the collapse's base and scale, which the calculator leaves out
        m.add("norms", None, m.cfg["hc_mult"] + 1, kind="small", store="fp32")
    return m


FP8_EQUIVALENT = dict(fp8=1, bf16=2, fp4=.5, fp32=2)


def whole(x):
    assert x == int(x), x
    return int(x)


def released(ref, m):
    """The caches as deployed and the weights as published. Of weights, what a decode step reads is an expectation, and rounded."""
    growing = lambda n, mode: sum(m.cache(n, mode=mode)[part] for part in ("growing", "index"))
    contexts = {}
    for n in LONG_CONTEXTS:
        state = m.cache(n, mode="deployed")
        contexts[str(n)] = dict(
            fp8_equivalent_flops=whole(m.decode_fp8_equiv(n, FP8_EQUIVALENT)), growing_bf16=whole(growing(n, "bf16")),
            growing=whole(growing(n, "deployed")), state=whole(state["total"] - state["state"] + open_windows(m)),
            cache_read=whole(m.kv_read(n, "deployed")),
            decode_read={str(b): round(m.bytes_per_step(n, b, store="ckpt", mode="deployed")) for b in (1, 8)})
    return dict(growth_per_token=(growing(256, "deployed") - growing(128, "deployed")) / 128,
                weight_bytes=whole(m.weight_bytes("ckpt")),
                layer_bytes=[whole(m.layer_bytes(i)) for i in range(len(m.layers))], contexts=contexts)


def deepseek_v4(ref):
    out = {}
    for preset, name in {"deepseek-v4-flash": "DeepSeek V4 Flash", "deepseek-v4-pro": "DeepSeek V4 Pro"}.items():
        build = lambda **kw: model(ref, with_collapse(ref, name, **kw), LONG_CONTEXTS)
        out[preset] = build() | {"released": released(ref, with_collapse(ref, name)),
                                 "what_if": {"no-top-k": build(attn="csa_dense"), "all-sparse": build(attn="all_csa"),
                                             "all-heavy": build(attn="all_hca"), "no-hyper-connections": build(mhc=False)}}
    return out


def deepseek_v32(ref):
    cfg = ref.CONFIGS["DeepSeek V3.2"]
    shipped, unheeded, as_released = (ref.build_v32("v32", cfg) for _ in range(3))
    for L in unheeded.layers:
        L.topk = 10 ** 12
    # The release keeps F32 scales, four bytes a block of 128 x 128. The latent's 576 rows end in half a block, which has a scale as a whole one.
    as_released.extra_bytes = {L.idx: 4 * (cfg["hidden_size"] // 128) // 2 for L in as_released.layers}
    bytes_with_e8m0 = ref.BYTES["fp8"]
    ref.BYTES["fp8"] = 1 + 4 / 128 ** 2
    as_released.weight_read = lambda b=1, store="bf16": ref.Model.weight_read(as_released, b, store) + sum(as_released.extra_bytes.values())
    out = model(ref, shipped, LONG_CONTEXTS) | {"released": released(ref, as_released),
                                                "what_if": {"no-top-k": model(ref, unheeded)}}  # at 1M a prompt leaves 63 bits
    ref.BYTES["fp8"] = bytes_with_e8m0
    return {"deepseek-v3.2": out}


def main():
    spec = importlib.util.spec_from_file_location("cost_reference", sys.argv[1])
    ref = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ref)
    folder = sys.argv[2] if len(sys.argv) > 2 else "tests/golden/cost"
    origin = {"origin": "an independent calculator in Python (tools/make_cost_goldens.py), never the engine's own output"}
    for family in (gemma, laguna, zaya, deepseek_v4, deepseek_v32):
        with open(f"{folder}/{family.__name__}.json", "w", encoding="utf-8") as f:
            json.dump(origin | family(ref), f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
