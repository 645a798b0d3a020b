"""Makes the LoRA files: adapters that peft saved for models of ../model, and what peft and PyTorch compute with them.

    python make.py            reads the adapters that are there, computes the rest and compares
    python make.py --write    makes adapters from the seeds below, and writes all files

Needs PyTorch, transformers and peft; versions.json says with which ones the files were written. Computed in float32 on
a CPU, attention "eager", dropout 0. Nothing here comes from moa.

Each folder has
    adapter_model.safetensors, adapter_config.json   as `save_pretrained` writes them; B is random, not 0
    reference.json            token ids; log-probabilities with the adapter, and of the base alone; cotangents c and
                              losses of three objectives, loss[m] = Σ_s Σ_t c[m][s][t]·logprobs[s][t]; their Gramian
                              over the adapter's parameters; the optimizer of the step
    gradients.safetensors     the gradient of loss[m] by each A and B, as "m.<name in adapter_model>"
    stepped.safetensors       the adapter after one step of torch.optim.AdamW down loss[0]
"""
import importlib.metadata
import json
import os
import pathlib
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.simplefilter("ignore")

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

transformers.utils.logging.disable_progress_bar()
HERE = pathlib.Path(__file__).parent
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {  # folder: base, seed, what LoraConfig gets
    "llama": ("llama", 1, {"r": 4, "lora_alpha": 8, "target_modules": ALL}),
    "qwen2": ("qwen2", 2, {"r": 4, "lora_alpha": 8, "target_modules": ALL}),
    "qwen3": ("qwen3", 3, {"r": 4, "lora_alpha": 8, "target_modules": ALL}),
    "llama-rslora": ("llama", 4, {"r": 3, "lora_alpha": 8, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]}),
}
ADAMW = {"lr": 1e-2, "betas": [0.9, 0.99], "eps": 1e-3, "weight_decay": 0.1}
OBJECTIVES = 3


def base(name):
    path = HERE.parent / "model" / name
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def make_adapter(folder):
    name, seed, options = CASES[folder.name]
    torch.manual_seed(seed)
    model = base(name)
    model.name_or_path = model.config._name_or_path = f"tests/golden/model/{name}"
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # an empty model card
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"].sort()  # a set: its order changes from run to run
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))


def sequences(name):
    """Token ids of 7, 13 and 40 tokens, from the base's own reference, and cotangents [M][S][T - 1]."""
    stored = json.loads((HERE.parent / "model" / name / "reference.json").read_text())["sequences"]
    ids = [s["ids"][:40] for s in stored[1:4]]
    generator = torch.Generator().manual_seed(0)
    c = [[torch.randn(len(s) - 1, generator=generator) for s in ids] for _ in range(OBJECTIVES)]
    return ids, [[[round(v, 6) for v in t.tolist()] for t in of] for of in c]


def logprobs(model, ids):
    logs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return logs[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


def parameters(model):
    """The adapter's parameters under the names that the file has."""
    return {n.replace(".default.", "."): p for n, p in model.named_parameters() if "lora_" in n}


def compute(folder):
    name, _, _ = CASES[folder.name]
    ids, c = sequences(name)
    model = PeftModel.from_pretrained(base(name), folder, is_trainable=True).eval()
    found = [logprobs(model, s) for s in ids]
    with torch.no_grad(), model.disable_adapter():
        alone = [logprobs(model, s) for s in ids]
    losses = [sum((torch.tensor(t) * l).sum() for t, l in zip(of, found)) for of in c]
    trained = parameters(model)
    assert sorted(trained) == sorted(get_peft_model_state_dict(model))
    sets = [torch.autograd.grad(loss, list(trained.values()), retain_graph=True) for loss in losses]
    flat = torch.stack([torch.cat([g.flatten() for g in grads]) for grads in sets]).double()
    adamw = torch.optim.AdamW(list(trained.values()), **{**ADAMW, "betas": tuple(ADAMW["betas"])})
    for parameter, gradient in zip(trained.values(), sets[0]):
        parameter.grad = gradient
    adamw.step()
    stepped = {n: p.detach().clone() for n, p in trained.items()}

    # the same once more without peft's layers: W + s·B·A put into the base
    merged = PeftModel.from_pretrained(base(name), folder).merge_and_unload().eval()
    with torch.no_grad():
        off = max((logprobs(merged, s) - l).abs().max().item() for s, l in zip(ids, found))
    assert off < 1e-4, f"{folder}: the merged model is off by {off}"
    reference = {
        "base": f"model/{name}",
        "sequences": [
            {"ids": s, "logprobs": l.tolist(), "base_logprobs": b.tolist()} for s, l, b in zip(ids, found, alone)
        ],
        "c": c,
        "losses": [loss.item() for loss in losses],
        "gramian": (flat @ flat.T).tolist(),
        "adamw": ADAMW,
    }
    gradients = {f"{m}.{n}": g.contiguous() for m, grads in enumerate(sets) for n, g in zip(trained, grads)}
    return reference, gradients, stepped


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
        return (found - made).abs().max().item() / max(1.0, made.abs().max().item())
    if isinstance(made, float):
        return abs(found - made) / max(1.0, abs(made))
    assert found == made, (path, found, made)
    return 0.0


def main():
    for name in CASES:
        folder = HERE / name
        if "--write" in sys.argv:
            make_adapter(folder)
        reference, gradients, stepped = compute(folder)
        if "--write" in sys.argv:
            (folder / "reference.json").write_text(json.dumps(rounded(reference), separators=(",", ":")) + "\n")
            save_file(gradients, folder / "gradients.safetensors")
            save_file(stepped, folder / "stepped.safetensors")
        there = json.loads((folder / "reference.json").read_text())
        off = {
            "reference.json": difference(there, reference),
            "gradients": difference(load_file(folder / "gradients.safetensors"), gradients),
            "stepped": difference(load_file(folder / "stepped.safetensors"), stepped),
        }
        print(f"{name}: largest difference {', '.join(f'{v:.1e} in {k}' for k, v in off.items())}")
        assert max(off.values()) < 2e-5, name
    if "--write" in sys.argv:
        versions = {n: importlib.metadata.version(n) for n in ("torch", "transformers", "peft", "safetensors")}
        (HERE / "versions.json").write_text(json.dumps(versions) + "\n")


main()
