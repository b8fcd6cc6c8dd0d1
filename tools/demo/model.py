"""The demo model: a small Gemma 4 with every feature of the dense text architecture."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Gemma4ForCausalLM, Gemma4TextConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from . import tokenizer as tok

SHAPE = {
    "vocab_size": 2560,
    "vocab_size_per_layer_input": 2560,
    "hidden_size": 192,
    "intermediate_size": 256,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "global_head_dim": 64,
    "sliding_window": 64,
    "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 2,
    "num_kv_shared_layers": 4,
    "use_double_wide_mlp": True,
    "hidden_size_per_layer_input": 32,
    "final_logit_softcapping": 30.0,
    "max_position_embeddings": 2048,
}


def config_json():
    """config.json, with the keys of a published Gemma 4 text model."""
    return {
        "architectures": ["Gemma4ForCausalLM"],
        "model_type": "gemma4_text",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attention_k_eq_v": False,
        "bos_token_id": tok.BOS,
        "dtype": "bfloat16",
        "enable_moe_block": False,
        "eos_token_id": tok.EOS,
        "moe_intermediate_size": None,
        "hidden_activation": "gelu_pytorch_tanh",
        "initializer_range": 0.02,
        "num_experts": None,
        "num_global_key_value_heads": None,
        "pad_token_id": tok.PAD,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "full_attention": {
                "partial_rotary_factor": 0.25,
                "rope_theta": 1000000.0,
                "rope_type": "proportional",
            },
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
        "tie_word_embeddings": True,
        "top_k_experts": None,
        "use_bidirectional_attention": None,
        "use_cache": True,
        **SHAPE,
    }


def banded_attention(module, query, key, value, mask, scaling=1.0, **unused):
    """Causal attention for training; a sliding layer only computes the blocks within its window."""
    batch, heads, length, width = query.shape
    groups = heads // key.shape[1]
    key = key.repeat_interleave(groups, 1)
    value = value.repeat_interleave(groups, 1)
    window = module.sliding_window
    if window is None or window >= length:
        allowed = torch.ones(length, length, dtype=torch.bool).tril()
        if window is not None:
            allowed = allowed.triu(1 - window)
    else:
        # Each block of `window` queries sees its own keys and those of the block before.
        blocks = length // window

        def with_previous(x):
            x = x.reshape(batch, heads, blocks, window, width)
            return torch.cat([F.pad(x[:, :, :-1], (0, 0, 0, 0, 1, 0)), x], 3)

        query = query.reshape(batch, heads, blocks, window, width)
        key, value = with_previous(key), with_previous(value)
        row = torch.arange(window)[:, None] + window
        column = torch.arange(2 * window)[None]
        allowed = (column <= row) & (row - column < window)
        inside = (torch.arange(blocks)[:, None, None] > 0) | (column >= window)[None]
        allowed = allowed[None] & inside
    scores = torch.matmul(query, key.transpose(-1, -2)).float() * scaling
    weights = torch.softmax(scores.masked_fill(~allowed, -1e9), -1).to(value.dtype)
    result = torch.matmul(weights, value).reshape(batch, heads, length, width)
    return result.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register("demo_banded", banded_attention)
NO_MASKS = {"full_attention": None, "sliding_attention": None}


def new_model(seed):
    """A freshly initialised model whose layer scalars are trained too."""
    torch.manual_seed(seed)
    model = Gemma4ForCausalLM(Gemma4TextConfig(**{**config_json(), "dtype": "float32"}))
    with torch.no_grad():
        for layer in model.model.layers:
            attention = layer.self_attn
            # Attention scores have no 1/sqrt(width) factor: start the norms with it.
            attention.q_norm.weight.fill_(attention.head_dim**-0.25)
            if not attention.is_kv_shared_layer:
                attention.k_norm.weight.fill_(attention.head_dim**-0.25)
            # Each block starts with a small contribution to the residual stream.
            for norm in (layer.post_attention_layernorm, layer.post_feedforward_layernorm):
                norm.weight.fill_(0.3)
            layer.post_per_layer_input_norm.weight.fill_(0.1)
            scalar = layer.layer_scalar
            del layer.layer_scalar
            layer.layer_scalar = nn.Parameter(scalar.clone())
    model.set_attn_implementation("demo_banded")
    return model


def training_loss(model, ids, bf16=True):
    """Mean loss of predicting ids[:, 1:] from ids[:, :-1]."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = model(input_ids=ids[:, :-1], attention_mask=NO_MASKS, use_cache=False)
    logits = output.logits.reshape(-1, output.logits.shape[-1]).float()
    return F.cross_entropy(logits, ids[:, 1:].reshape(-1), ignore_index=tok.PAD)


def load(folder):
    """Loads an exported model in f32, through the ordinary loader."""
    return Gemma4ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def check_equivalence(model, ids):
    """Compares three ways to compute the same logits; returns the largest difference.

    The ways: the training attention, the library's eager attention without a cache, and token
    by token with a cache. They agree only if KV sharing holds in each.
    """
    with torch.no_grad():
        model.set_attn_implementation("eager")
        plain = model(input_ids=ids, use_cache=False).logits
        steps, cache = [], None
        for index in range(ids.shape[1]):
            output = model(input_ids=ids[:, index : index + 1], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            steps.append(output.logits)
        cached = torch.cat(steps, 1)
        model.set_attn_implementation("demo_banded")
        banded = model(input_ids=ids, attention_mask=NO_MASKS, use_cache=False).logits
        model.set_attn_implementation("eager")
    return max((plain - cached).abs().max().item(), (plain - banded).abs().max().item())


def write_config(folder):
    folder = Path(folder)
    (folder / "config.json").write_text(json.dumps(config_json(), indent=2) + "\n")
    generation = {
        "bos_token_id": tok.BOS,
        "do_sample": True,
        "eos_token_id": [tok.EOS, tok.TURN_END],
        "pad_token_id": tok.PAD,
        "temperature": 0.7,
        "top_k": 40,
        "top_p": 0.95,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
