"""Makes grpo.safetensors and reinforce.safetensors: the parameters after one step, computed by PyTorch in float64.

    python make.py            writes both files
    python make.py --check    compares them with what is there

Needs PyTorch (written with 1.13.1, CPU). Reads what moa-host reads: the config of the step, the tiny Llama of
../model/llama. The completions and their scores (completions.jsonl) are those that moa-host sampled; from them on
nothing here comes from moa: advantages, loss and model are written out, gradients are autograd's, clipping and AdamW
are torch.nn.utils.clip_grad_norm_ and torch.optim.AdamW.
"""
import json
import math
import pathlib
import struct
import sys
import tomllib

import torch

HERE = pathlib.Path(__file__).parent
MODEL = HERE.parent / "model" / "llama"


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        assert entry["dtype"] == "F32", entry
        values = torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name in sorted(tensors):
        values = tensors[name].detach().to(torch.float32).contiguous()
        raw = struct.pack(f"<{values.numel()}f", *values.flatten().tolist())
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rotate(x, theta):  # [T, heads, dim]
    length, _, dim = x.shape
    frequencies = theta ** (-torch.arange(0, dim, 2, dtype=x.dtype) / dim)
    angles = torch.outer(torch.arange(length, dtype=x.dtype), frequencies)  # [T, dim / 2]
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def logits(p, config, ids):  # [T] -> [T, vocab]
    heads, kv_heads, dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    theta, eps = config["rope_parameters"]["rope_theta"], config["rms_norm_eps"]
    x, length = p["model.embed_tokens.weight"][ids], len(ids)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    for i in range(config["num_hidden_layers"]):
        w = lambda name: p[f"model.layers.{i}.{name}.weight"]
        h = rms_norm(x, w("input_layernorm"), eps)
        q = rotate((h @ w("self_attn.q_proj").T).reshape(length, heads, dim), theta)
        k = rotate((h @ w("self_attn.k_proj").T).reshape(length, kv_heads, dim), theta)
        v = (h @ w("self_attn.v_proj").T).reshape(length, kv_heads, dim)
        k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(dim)
        attention = scores.masked_fill(future, -math.inf).softmax(-1)
        x = x + torch.einsum("hqk,khd->qhd", attention, v).reshape(length, -1) @ w("self_attn.o_proj").T
        h = rms_norm(x, w("post_attention_layernorm"), eps)
        gate = torch.nn.functional.silu(h @ w("mlp.gate_proj").T)
        x = x + (gate * (h @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T
    return rms_norm(x, p["model.norm.weight"], eps) @ p["lm_head.weight"].T


def score(p, config, completion, temperature):
    """Log-probabilities and entropies [T] of a response."""
    prompt, response = completion["prompt"], completion["response"]
    rows = logits(p, config, torch.tensor(prompt + response))[len(prompt) - 1:-1] / temperature
    logs = rows.log_softmax(-1)
    return logs[torch.arange(len(response)), torch.tensor(response)], -(logs.exp() * logs).sum(-1)


def advantages(name, completions, rewards):
    """[B]"""
    if name == "grpo":
        rows = [c["row"] for c in completions]
        groups = [rewards[[i for i, other in enumerate(rows) if other == row]] for row in rows]
        return torch.stack([(r - g.mean()) / (g.std() + 1e-6) for r, g in zip(rewards, groups)])
    assert name == "reinforce++"  # z-score over the tokens of the batch
    lengths = torch.tensor([len(c["response"]) for c in completions])
    of_tokens = rewards.repeat_interleave(lengths)
    return (rewards - of_tokens.mean()) / torch.sqrt(of_tokens.var() + 1e-8)


def step(settings):
    config = json.loads((MODEL / "config.json").read_text())
    p = {name: t.double().requires_grad_() for name, t in read_safetensors(MODEL / "model.safetensors").items()}
    completions = [json.loads(line) for line in (HERE / "completions.jsonl").read_text().splitlines()]
    temperature, algorithm, optimizer = settings["rollout"]["temperature"], settings["algorithm"], settings["optimizer"]
    weights = torch.tensor(settings["scalarizer"]["weights"], dtype=torch.float64)
    scores = torch.tensor([c["scores"] for c in completions], dtype=torch.float64)  # [B, M]
    advantage = advantages(algorithm["estimator"], completions, scores @ weights)
    with torch.no_grad():  # the reference is the model that the step begins with
        old = [score(p, config, c, temperature)[0] for c in completions]

    decayed = [t for t in p.values() if t.dim() > 1]
    plain = [t for t in p.values() if t.dim() < 2]
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": optimizer["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
        lr=optimizer["lr"], betas=tuple(optimizer["betas"]), eps=optimizer["eps"],
    )
    order = list(dict.fromkeys(c["row"] for c in completions))  # prompts as they were sampled
    size = algorithm["minibatch"] or len(order)
    kl = algorithm.get("kl", {"coefficient": 0.0})
    assert kl["coefficient"] == 0.0 or (kl["estimator"], kl["placement"]) == ("k3", "loss")
    assert algorithm["aggregation"] == "token-mean" and optimizer["schedule"] == "constant"
    for _ in range(algorithm["epochs"]):
        for first in range(0, len(order), size):
            chosen = [b for b, c in enumerate(completions) if c["row"] in order[first:first + size]]
            tokens = sum(len(old[b]) for b in chosen)
            loss = 0.0
            for b in chosen:
                new, entropy = score(p, config, completions[b], temperature)
                a, ratio = advantage[b], (new - old[b]).exp()
                clipped = ratio.clamp(1 - algorithm["clip_low"], 1 + algorithm["clip_high"])
                term = torch.maximum(-a * ratio, -a * clipped)
                if algorithm["dual_clip"] > 0 and a < 0:
                    term = term.clamp(max=float(-a * algorithm["dual_clip"]))
                d = new - old[b]
                k3 = ((-d).exp() - 1 + d).clamp(-10, 10)  # the bound is verl's
                term = term + kl["coefficient"] * k3 - algorithm.get("entropy", 0.0) * entropy
                loss = loss + term.sum() / tokens
            adamw.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(p.values()), optimizer["clip_norm"])
            adamw.step()
    return p


def main():
    for name in ("grpo", "reinforce"):
        after = step(tomllib.loads((HERE / f"{name}.toml").read_text()))
        path = HERE / f"{name}.safetensors"
        if "--check" in sys.argv:
            there = read_safetensors(path)
            assert there.keys() == after.keys(), path
            worst = max((there[n].double() - after[n]).abs().max().item() for n in after)
            assert worst < 1e-6, f"{path}: differs by {worst}"
            print(f"{path.name}: reproduced, largest difference {worst:.1e}")
        else:
            write_safetensors(path, after)


main()
