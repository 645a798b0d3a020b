"""Computes the numbers of head.json, policy_loss.json, kl.json, advantages.json and gdpo.json again.

    python formulas.py            compares with what is there
    python formulas.py --write    writes new numbers for the inputs that are there

The inputs of each case stay; what follows from them is computed here in float64: formulas written out, derivatives
by autograd. Needs PyTorch (written with 1.13.1, CPU). Nothing here comes from moa.
"""
import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent
torch.set_default_dtype(torch.float64)


def head(case, width):
    hidden = torch.tensor(case["hidden"]).reshape(-1, width).requires_grad_()
    matrix = torch.tensor(case["head"]).reshape(-1, width).requires_grad_()
    logs = (hidden[case["predictors"]] @ matrix.T / case["temperature"]).log_softmax(-1)
    logprobs = logs[torch.arange(len(case["targets"])), torch.tensor(case["targets"])]
    entropies = -(logs.exp() * logs).sum(-1)
    total = (torch.tensor(case["by_logprob"]) * logprobs + torch.tensor(case["by_entropy"]) * entropies).sum()
    by_hidden, by_head = torch.autograd.grad(total, [hidden, matrix])
    return {"logprobs": logprobs, "entropies": entropies, "grad_hidden": by_hidden, "grad_head": by_head}


def kl(case):
    new = torch.tensor(case["logprobs"]).requires_grad_()
    d = new - torch.tensor(case["ref_logprobs"])
    log_ratio = (-d).clamp(-20, 20)
    value = {
        "k1": d,
        "abs": d.abs(),
        "k2": d * d / 2,
        "k3": (log_ratio.exp() - 1 - log_ratio).clamp(-10, 10),
    }[case["estimator"]]
    (slope,) = torch.autograd.grad(value.sum(), new)
    return {"kl": value, "grad_logprobs": slope}


def policy_loss(case):
    new = [torch.tensor(t).requires_grad_() for t in case["new_logprobs"]]
    old = [torch.tensor(t) for t in case["old_logprobs"]]
    terms, clipped, bounded, kls = [], [], [], []
    for n, o, a in zip(new, old, case["advantages"]):
        ratio = (n - o).clamp(-20, 20).exp()
        plain = -a * ratio
        inside = -a * ratio.clamp(1 - case["clip_low"], 1 + case["clip_high"])
        term = torch.maximum(plain, inside)
        clipped.append(inside > plain)
        bound = torch.full_like(term, -a * case["dual_clip"]) if a < 0 else torch.full_like(term, float("inf"))
        bounded.append(bound < term)
        terms.append(torch.minimum(term, bound))
        kls.append(-(n - o).clamp(-20, 20))
    mean = lambda parts: torch.cat(parts).double().mean()
    loss = {
        "token-mean": lambda: mean(terms),
        "seq-mean-token-sum": lambda: torch.stack([t.sum() for t in terms]).mean(),
        "seq-mean-token-mean": lambda: torch.stack([t.mean() for t in terms]).mean(),
        "seq-mean-token-sum-norm": lambda: torch.stack([t.sum() for t in terms]).mean() / case["padded_length"],
    }[case["aggregation"]]()
    return {
        "loss": loss,
        "grad_new_logprobs": list(torch.autograd.grad(loss, new)),
        "clip_fraction": mean(clipped),
        "dual_clip_fraction": mean(bounded),
        "approx_kl": mean(kls),
    }


def whitened(values, lengths):
    of_tokens = values.repeat_interleave(lengths)
    return (values - of_tokens.mean()) / torch.sqrt(of_tokens.var() + 1e-8)


def advantages(case):
    rewards, groups = torch.tensor(case["rewards"]), torch.tensor(case["groups"])
    lengths = torch.tensor(case["lengths"])
    names = ("grpo", "dr_grpo", "rloo", "opo", "grpo_passk", "mean")
    found = {name: torch.zeros_like(rewards) for name in names}
    for group in groups.unique():
        rows = (groups == group).nonzero().flatten()
        r, n = rewards[rows], len(rows)
        alone = n == 1
        std = torch.tensor(1.0) if alone else r.std()
        centred = r if alone else r - r.mean()
        weighted = (r * lengths[rows]).sum() / lengths[rows].sum()
        found["mean"][rows] = r.mean()
        found["dr_grpo"][rows] = centred
        found["grpo"][rows] = centred / (std + 1e-6)
        found["rloo"][rows] = r if alone else r - (r.sum() - r) / (n - 1)
        found["opo"][rows] = r if alone else r - weighted
        if not alone:
            best = r.topk(2)
            found["grpo_passk"][rows[best.indices[0]]] = (best.values[0] - best.values[1]) / (std + 1e-6)
    found["reinforce_plus_plus"] = whitened(rewards, lengths)
    found["reinforce_plus_plus_baseline"] = whitened(rewards - found.pop("mean"), lengths)
    found["remax"] = rewards - torch.tensor(case["greedy_rewards"])
    spread = lambda values: [[float(v)] * n for v, n in zip(values, case["lengths"])]
    return {"advantages": {name: spread(found[name]) for name in case["advantages"]}}


def gdpo(case):
    scores, groups = torch.tensor(case["scores"]), torch.tensor(case["groups"])
    z = torch.zeros_like(scores)
    for group in groups.unique():
        rows = groups == group
        s = scores[rows]
        z[rows] = (s - s.mean(0)) / (s.std(0) + 1e-4)
    mixed = z @ torch.tensor(case["weights"])
    return {"advantages": (mixed - mixed.mean()) / (mixed.std() + 1e-4)}


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.detach().flatten().tolist() if value.dim() else float(value)
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def numbers(value):
    if isinstance(value, dict):
        return [n for key in sorted(value) for n in numbers(value[key])]
    return [n for v in value for n in numbers(v)] if isinstance(value, list) else [value]


def main():
    for name in ("head", "policy_loss", "kl", "advantages", "gdpo"):
        path = HERE / f"{name}.json"
        table = json.loads(path.read_text())
        worst = 0.0
        for case in table["cases"]:
            made = plain(head(case, table["width"]) if name == "head" else globals()[name](case))
            for key, value in made.items():
                found, expected = numbers(case[key]), numbers(value)
                assert len(found) == len(expected), (path, key)
                worst = max([worst] + [abs(a - b) / max(1.0, abs(b)) for a, b in zip(found, expected)])
                if "--write" in sys.argv:
                    case[key] = value
        print(f"{path.name}: {len(table['cases'])} cases, largest difference {worst:.1e}")
        if "--write" in sys.argv:
            path.write_text(json.dumps(table, separators=(",", ":")) + "\n")
        else:
            assert worst < 5e-6, path


main()
