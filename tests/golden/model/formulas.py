"""Computes the numbers of */reference.json again: logits, log-probabilities, and a gradient for each parameter.

    python formulas.py            compares with what is there
    python formulas.py --write    writes new numbers for the weights and token ids that are there

transformers 5.23 made the files, in float32. Here the three families are written out in PyTorch (1.13.1, CPU), in
float64, with autograd. Nothing here comes from moa.
"""
import json
import math
import pathlib
import struct
import sys

import torch

HERE = pathlib.Path(__file__).parent
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        values = torch.frombuffer(bytearray(data[start:end]), dtype=DTYPES[entry["dtype"]])
        yield name, values.reshape(entry["shape"]).double().requires_grad_()


def frequencies(config, dim):
    rope = config.get("rope_parameters") or {**(config.get("rope_scaling") or {}), "rope_theta": config["rope_theta"]}
    base = rope["rope_theta"] ** (-torch.arange(0, dim, 2).double() / dim)
    if rope.get("rope_type", "default") == "default":
        return base
    assert rope["rope_type"] == "llama3"
    wavelength = 2 * math.pi / base
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    smooth = ((old / wavelength - low) / (high - low)).clamp(0, 1)  # 1 keeps a frequency, 0 divides it
    return smooth * base + (1 - smooth) * base / rope["factor"]


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def logits(p, config, ids):  # [T] -> [T, vocab]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    eps, length = config["rms_norm_eps"], len(ids)
    angles = torch.outer(torch.arange(length).double(), frequencies(config, dim))
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]

    def rotate(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    x = p["model.embed_tokens.weight"][ids]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    for i in range(config["num_hidden_layers"]):
        w = lambda name: p[f"model.layers.{i}.{name}"]
        h = rms_norm(x, w("input_layernorm.weight"), eps)

        def project(name, count):
            y = h @ w(f"self_attn.{name}_proj.weight").T
            if config["model_type"] == "qwen2":
                y = y + w(f"self_attn.{name}_proj.bias")
            y = y.reshape(length, count, dim)
            if config["model_type"] == "qwen3" and name != "v":
                y = rms_norm(y, w(f"self_attn.{name}_norm.weight"), eps)
            return y

        q, k, v = rotate(project("q", heads)), rotate(project("k", kv_heads)), project("v", kv_heads)
        k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        attention = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(dim)
        attention = attention.masked_fill(future, -math.inf).softmax(-1)
        x = x + torch.einsum("hqk,khd->qhd", attention, v).reshape(length, -1) @ w("self_attn.o_proj.weight").T
        h = rms_norm(x, w("post_attention_layernorm.weight"), eps)
        gate = torch.nn.functional.silu(h @ w("mlp.gate_proj.weight").T)
        x = x + (gate * (h @ w("mlp.up_proj.weight").T)) @ w("mlp.down_proj.weight").T
    tied = config.get("tie_word_embeddings", False)
    return rms_norm(x, p["model.norm.weight"], eps) @ p["model.embed_tokens.weight" if tied else "lm_head.weight"].T


def logprobs(p, config, ids):
    logs = logits(p, config, ids)[:-1].log_softmax(-1)
    return logs[torch.arange(len(ids) - 1), torch.tensor(ids[1:], dtype=torch.long)]


def worst(found, expected):
    found, expected = torch.tensor(found).double(), expected.detach()
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return (found - expected).abs().max().item() if found.numel() else 0.0


def main():
    for path in sorted(HERE.glob("*/reference.json")):
        config, table = json.loads((path.parent / "config.json").read_text()), json.loads(path.read_text())
        p = dict(t for file in sorted(path.parent.glob("*.safetensors")) for t in read_safetensors(file))
        difference = 0.0
        for sequence in table["sequences"]:
            ids = sequence["ids"]
            made = {"logits": logits(p, config, ids), "logprobs": logprobs(p, config, ids)}
            for key, value in made.items():
                if sequence.get(key) is None:
                    continue  # the logits of a long sequence were not kept
                difference = max(difference, worst(sequence[key], value))
                if "--write" in sys.argv:
                    sequence[key] = value.tolist()
        grad = table["grad"]
        loss = (torch.tensor(grad["c"]).double() * logprobs(p, config, table["sequences"][grad["sequence"]]["ids"])).sum()
        loss.backward()
        assert abs(loss.item() - grad["loss"]) < 1e-4
        assert set(grad["params"]) <= set(p), path
        of_gradients = 0.0
        for name, stored in grad["params"].items():
            g = p[name].grad
            assert list(g.shape) == stored["shape"], (path, name)
            made = {"l2": g.norm(), "sum": g.sum(), "first8": g.flatten()[:8]}
            for key, value in made.items():
                of_gradients = max(of_gradients, worst(stored[key], value) / g.norm().item())
                if "--write" in sys.argv:
                    stored[key] = value.tolist()
        print(f"{path.parent.name}: logits within {difference:.1e}, gradients within {of_gradients:.1e} of their norm")
        if "--write" in sys.argv:
            path.write_text(json.dumps(table))
        else:
            assert difference < 5e-5 and of_gradients < 1e-4, path


main()
