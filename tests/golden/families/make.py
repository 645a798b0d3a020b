"""Makes tiny random models of the families that people have, and what transformers computes with them.

    python make.py            reads the models that are there, computes the rest and compares
    python make.py --write    makes models from the seeds below, and writes all files

Needs PyTorch and transformers; versions.json says with which ones the files were written. Computed in float32 on a
CPU, attention "eager". Nothing here comes from moa.

Each folder has
    config.json, model.safetensors   as `save_pretrained` of transformers 5 writes them
    config-hub.json                  the same with the keys of transformers 4, as published models have them: it must
                                     give the same logits
    reference.json                   as ../model/*/reference.json, and `greedy`: the continuation of a prompt
    gradients.safetensors            the gradient of reference.json's loss by each parameter, whole
Windows are shorter than the sequences; soft caps are low enough to matter.
"""
import importlib.metadata
import json
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.simplefilter("ignore")

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

transformers.utils.logging.disable_progress_bar()
HERE = pathlib.Path(__file__).parent
LENGTHS = (1, 7, 20, 60)
PROMPT, NEW = 12, 16
CONVENTION = (
    "logits: [T][V] at every position; logprobs[t] = log softmax(logits[t])[ids[t+1]], length T-1. gradient: of "
    "loss = sum_t c[t]*logprobs[t] over sequence index grad.sequence; names are those of named_parameters(), a tied "
    "head is counted into the embedding. greedy.tokens continue greedy.prompt with a cache; margin is the least lead "
    "of a token over the second best"
)
SMALL = {
    "vocab_size": 64,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Per folder: model type; what its config has besides SMALL; rope as transformers 5 has it; what config-hub.json has in
# place of that; keys that config-hub.json leaves out.
CASES = {
    "mistral": (
        "mistral",
        {"head_dim": 8, "sliding_window": 8},
        {"rope_type": "default", "rope_theta": 1e6},
        {"rope_theta": 1e6},
        ["layer_types"],
    ),
    "llama3": (
        "llama",
        {"head_dim": 8, "tie_word_embeddings": True},
        LLAMA3 | {"rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_scaling": LLAMA3},
        [],
    ),
    "llama-bias": (
        "llama",
        {"attention_bias": True, "mlp_bias": True},
        {"rope_type": "default", "rope_theta": 1e4},
        {},  # no rope_theta: the default
        ["head_dim"],
    ),
    "qwen2-yarn": (
        "qwen2",
        {},
        YARN | {"rope_theta": 1e4},
        {"rope_theta": 1e4, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
        ["layer_types"],
    ),
    "qwen2-sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "tie_word_embeddings": True},
        {"rope_type": "default", "rope_theta": 1e4},
        {"rope_theta": 1e4},
        ["layer_types"],
    ),
    "smollm3": (
        "smollm3",
        {"num_hidden_layers": 3, "no_rope_layer_interval": 2, "tie_word_embeddings": True},
        {"rope_type": "default", "rope_theta": 2e6},
        {"rope_theta": 2e6},
        ["layer_types"],
    ),
    "olmo2": (
        "olmo2",
        {},
        {"rope_type": "default", "rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_scaling": None},
        [],
    ),
    "phi3": (
        "phi3",
        {"sliding_window": 8},
        {"rope_type": "default", "rope_theta": 1e4},
        {"rope_theta": 1e4, "rope_scaling": None},
        ["layer_types"],
    ),
    "gemma2": (
        "gemma2",
        {
            "num_hidden_layers": 3,
            "head_dim": 8,
            "query_pre_attn_scalar": 12,
            "sliding_window": 8,
            "attn_logit_softcapping": 4.0,
            "final_logit_softcapping": 3.0,
            "hidden_activation": "gelu_pytorch_tanh",
        },
        {"rope_type": "default", "rope_theta": 1e4},
        {"rope_theta": 1e4, "hidden_act": "gelu_pytorch_tanh"},
        ["layer_types"],
    ),
    "gemma3": (
        "gemma3_text",
        {
            "num_hidden_layers": 3,
            "head_dim": 8,
            "query_pre_attn_scalar": 12,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        },
        {
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "sliding_window_pattern": 2,
        },
        ["layer_types"],
    ),
}


# With these the greedy tokens do not repeat, and none is nearly a tie.
SEEDS = {name: seed for seed, name in enumerate(CASES)} | {"mistral": 20, "gemma3": 139}


def make_model(folder, seed):
    kind, options, rope, hub, left_out = CASES[folder.name]
    config = AutoConfig.for_model(kind, **{**SMALL, **options, "rope_parameters": rope})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "embed_tokens" in name:  # a tied head with large rows would repeat the last token
                parameter.normal_(std=0.15 if config.tie_word_embeddings else 1.0)
            else:
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    published = {k: v for k, v in config.items() if k not in ["rope_parameters", "dtype", *left_out] and k[0] != "_"}
    published |= {"torch_dtype": "float32", "transformers_version": "4.50.0", **hub}
    (folder / "config-hub.json").write_text(json.dumps(published, indent=2, sort_keys=True) + "\n")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def logprobs(logits, ids):
    return logits[:-1].log_softmax(-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:], dtype=torch.long)]


def published_config_agrees(folder, ids, logits):
    with tempfile.TemporaryDirectory() as other:
        shutil.copy(folder / "model.safetensors", other)
        shutil.copy(folder / "config-hub.json", pathlib.Path(other) / "config.json")
        with torch.no_grad():
            assert torch.equal(load(other)(torch.tensor([ids])).logits[0], logits), f"{folder}: config-hub.json"


def compute(folder, seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    model = load(folder)
    sequences, kept = [], []
    for length in LENGTHS:
        ids = torch.randint(3, SMALL["vocab_size"], (length,), generator=generator).tolist()
        logits = model(torch.tensor([ids])).logits[0]
        published_config_agrees(folder, ids, logits.detach())
        of = {"logits": logits.tolist()} if length <= 20 else {"logits": None, "logits_last": logits[-1].tolist()}
        sequences.append({"ids": ids, **of, "logprobs": logprobs(logits, ids).tolist()})
        kept.append(logits)
    which = 2
    ids = sequences[which]["ids"]
    c = [round(v, 6) for v in torch.randn(len(ids) - 1, generator=generator).tolist()]
    loss = (torch.tensor(c) * logprobs(kept[which], ids)).sum()
    loss.backward()
    gradients = {name: p.grad.contiguous() for name, p in model.named_parameters()}
    params = {
        name: {"shape": list(g.shape), "l2": g.norm().item(), "sum": g.sum().item(), "first8": g.flatten()[:8].tolist()}
        for name, g in gradients.items()
    }
    prompt = sequences[3]["ids"][:PROMPT]
    settings = {"do_sample": False, "max_new_tokens": NEW, "eos_token_id": None, "pad_token_id": 0, "use_cache": True}
    tokens = model.generate(torch.tensor([prompt]), **settings)[0, PROMPT:].tolist()
    with torch.no_grad():  # the same without a cache
        logits = model(torch.tensor([prompt + tokens])).logits[0, PROMPT - 1:-1]
    assert logits.argmax(-1).tolist() == tokens, f"{folder}: greedy tokens with a cache and without"
    assert len(set(tokens)) > 4, f"{folder}: greedy tokens repeat: {tokens}"
    best = logits.topk(2).values
    reference = {
        "note": f"{folder.name}, random weights, f32",
        "convention": CONVENTION,
        "sequences": sequences,
        "grad": {"sequence": which, "c": c, "loss": loss.item(), "params": params},
        "greedy": {"prompt": prompt, "tokens": tokens, "margin": (best[:, 0] - best[:, 1]).min().item()},
    }
    return reference, gradients


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def difference(found, made, path=""):
    """The largest difference between numbers, by their size where that is over 1; all else must be equal."""
    if isinstance(made, dict):
        assert found.keys() == made.keys(), path
        return max(difference(found[k], made[k], f"{path}.{k}") for k in made)
    if isinstance(made, list):
        assert len(found) == len(made), path
        return max([0.0] + [difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(found, made))])
    if isinstance(made, torch.Tensor):
        assert found.shape == made.shape, path
        return (found - made).abs().max().item() / max(1.0, made.norm().item())
    if isinstance(made, float):
        return abs(found - made) / max(1.0, abs(made))
    assert found == made, (path, found, made)
    return 0.0


def main():
    for name, seed in SEEDS.items():
        folder = HERE / name
        if "--write" in sys.argv:
            make_model(folder, seed)
        reference, gradients = compute(folder, seed)
        if "--write" in sys.argv:
            (folder / "reference.json").write_text(json.dumps(rounded(reference), separators=(",", ":")) + "\n")
            save_file(gradients, folder / "gradients.safetensors")
        there = json.loads((folder / "reference.json").read_text())
        off = difference(there, reference), difference(load_file(folder / "gradients.safetensors"), gradients)
        size = max(abs(v) for row in reference["sequences"][2]["logits"] for v in row)
        print(f"{name}: largest difference {off[0]:.1e} in reference.json, {off[1]:.1e} in gradients; ", end="")
        print(f"logits up to {size:.1f}, greedy margin {reference['greedy']['margin']:.3f}")
        assert max(off) < 2e-5, name
    if "--write" in sys.argv:
        versions = {n: importlib.metadata.version(n) for n in ("torch", "transformers", "safetensors")}
        (HERE / "versions.json").write_text(json.dumps(versions) + "\n")


main()
