"""Computes what the traces of the scalarizers expect again, from the inputs that stand in them.

    python traces.py            compares with what is there
    python traces.py --write    writes new answers for the inputs that are there

One class for each scalarizer, written from the methods' formulas, in float64; the papers stand in the headers of
plugins/*/src/lib.rs. Inputs are drawn at random and rounded to nine digits. Where a trace says `compat`, the rule is
that of the released code. Needs numpy. Nothing here comes from moa.
"""
import itertools
import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
NAMES = ("linear", "tchebycheff-*", "hypervolume", "hypervolume-length", "gradient-*", "dynamic-*", "ctwa-*")
NAMES += ("lagrangian", "gradnorm", "mgda", "mgda-five-objectives", "pama")


class Scalarizer:
    def __init__(self, objectives, params):
        self.names = [o["name"] for o in objectives]
        self.signs = np.array([-1.0 if o["direction"] == "minimize" else 1.0 for o in objectives])
        self.m, self.params = len(objectives), params
        self.start = np.array(params.get("weights") or [1 / self.m] * self.m)

    def named(self, prefix, values):
        return {f"{prefix}/{name}": v for name, v in zip(self.names, values)}


class Linear(Scalarizer):
    def scalarize(self, event):
        return {"rewards": np.array(event["scores"]) @ self.start, "weights": self.start}


class Tchebycheff(Scalarizer):
    largest = -np.inf

    def scalarize(self, event):
        scores = np.array(event["scores"])
        self.largest = np.maximum(self.largest, scores.max(0))
        z = {
            "running-max": self.largest,
            "batch-max": scores.max(0),
            "fixed": np.array(self.params.get("reference_point")),
        }[self.params["reference"]]
        return {"rewards": -(self.start * (z - scores)).max(1)}


def volume(points, reference):
    """What the points dominate above the reference: the size of a union of boxes, by inclusion and exclusion."""
    boxes = [p for p in points if all(p > reference)]
    total = 0.0
    for k in range(1, len(boxes) + 1):
        for some in itertools.combinations(boxes, k):
            total += (-1) ** (k + 1) * np.prod(np.min(some, axis=0) - reference)
    return total


class Hypervolume(Scalarizer):
    reference, scale = None, 1.0

    def on_validation(self, event):
        assert self.params["normalize"] is False
        point = self.signs * np.array(event["values"])
        if self.reference is None:  # the validation before training
            self.reference, self.front = point, []
            return {}
        gain = volume(self.front + [point], self.reference) - volume(self.front, self.reference)
        if gain > 1e-15:  # not the rounding of a sum that is 0
            self.front.append(point)
        else:
            gain = 0.0
        self.scale = 0.5 + 1.5 * np.tanh(gain)
        return {"metrics": {"contribution": gain}}

    def scalarize(self, event):
        return {"weights": self.start, "advantage_scale": self.scale}


class Influence(Scalarizer):
    """gradient, and dynamic: mirror descent on the simplex, weights proportional to w·exp(step)."""

    def __init__(self, objectives, params):
        super().__init__(objectives, params)
        self.log_weights, self.seen = np.log(self.start), []

    def weigh_gradients(self, event):
        influence = np.array(event["gram"]).sum(1)
        self.seen.append(self.of_batch(influence, event["lr"]))
        if len(self.seen) == self.params["accumulation_steps"]:
            step = self.of_weights(np.mean(self.seen, 0), event["lr"])
            moved = self.log_weights + step / self.params["regularization"]
            self.log_weights, self.seen = moved - np.logaddexp.reduce(moved), []
        return {"weights": np.exp(self.log_weights)}


class Gradient(Influence):
    of_batch = staticmethod(lambda influence, lr: influence)
    of_weights = staticmethod(lambda mean, lr: lr * mean)


class Dynamic(Influence):
    of_batch = staticmethod(lambda influence, lr: lr * influence)

    def of_weights(self, mean, lr):
        return mean * (lr if self.params.get("compat") == "ctwa-repo" else 1.0)


class Ctwa(Scalarizer):
    average = None

    def __init__(self, objectives, params):
        super().__init__(objectives, params)
        self.weights = self.start

    def of_completion(self, advantage, old, new, event):
        ratio = np.exp(np.clip(np.array(new) - np.array(old), -20, 20))
        up, down = 1 + event["clip_high"], 1 - event["clip_low"]
        kept = (ratio <= up) if advantage >= 0 else (ratio >= down)
        total = (advantage * ratio * kept).sum()
        divisor = {"mean": len(ratio), "mean-unclipped": kept.sum() + 1e-8, "sum": 1.0}[self.params["aggregation"]]
        return total / divisor

    def statistic(self, s, v):
        covariance = ((s - s.mean()) * (v - v.mean())).mean()
        if self.params["statistic"] == "covariance":
            return covariance
        spread = s.std() * v.std()
        return covariance / spread if spread > 1e-8 else None  # such a prompt is left out of the mean

    def after_update(self, event):
        rows = zip(event["advantages"], event["old_logprobs"], event["new_logprobs"])
        v = np.array([self.of_completion(*row, event) for row in rows])
        scores, groups = np.array(event["scores"]), np.array(event["groups"])
        usable = np.isfinite(v)
        usable &= np.abs(np.where(usable, v, 0.0)) <= 100 * np.median(np.abs(v[usable]))
        prompts = [np.flatnonzero((groups == g) & usable) for g in np.unique(groups)]
        prompts = [rows for rows in prompts if len(rows) >= 2]
        if self.params["pooled"]:
            centred = np.concatenate([np.c_[scores[r] - scores[r].mean(0), v[r] - v[r].mean()] for r in prompts])
            of_prompts = [[self.statistic(centred[:, m], centred[:, -1])] for m in range(self.m)]
        else:
            of_prompts = [[self.statistic(scores[rows, m], v[rows]) for rows in prompts] for m in range(self.m)]
        defined = [[c for c in of if c is not None] for of in of_prompts]
        found, tau = np.array([np.mean(of) if of else 0.0 for of in defined]), self.params["ema_tau"]
        self.average = found if self.average is None else (1 - tau) * self.average + tau * found
        short = np.maximum(np.array(self.params["covariance_targets"]) - self.average, 0)
        short[scores.mean(0) >= np.array(self.params["objective_targets"])] = 0
        self.weights = self.weights * np.exp(self.params["weight_lr"] * short)
        return {"weights": self.weights, "metrics": self.named(self.params["statistic"], found)}


class Lagrangian(Scalarizer):
    multipliers = 0.0

    def scalarize(self, event):
        lack = np.array(self.params["constraints"]) - np.array(event["scores"]).mean(0)[1:]
        self.multipliers = np.maximum(self.multipliers + self.params["dual_lr"] * lack, 0)
        return {"weights": np.concatenate([[1.0], self.multipliers])}


class Gradnorm(Scalarizer):
    """The plain ratio of losses, as released: the losses of the trace stay positive."""

    weights = first = None

    def weigh_gradients(self, event):
        assert self.params["compat"] == "ctwa-repo"
        losses, norms = np.array(event["losses"]), np.sqrt(np.diag(event["gram"]))
        if self.first is None:
            self.first, self.weights = losses, np.ones(self.m)
        ratio = losses / self.first
        of_objective = self.weights * norms
        target = of_objective.mean() * (ratio / ratio.mean()) ** self.params["alpha"]
        moved = self.weights - self.params["weight_lr"] * np.sign(of_objective - target) * norms
        self.weights = moved * self.m / moved.sum()
        return {"weights": self.weights}


class Mgda(Scalarizer):
    """The least point of the convex hull: the best of the stationary points of all faces of the simplex."""

    def weigh_gradients(self, event):
        gram = np.array(event["gram"])
        best, least = None, np.inf
        for k in range(1, self.m + 1):
            for face in itertools.combinations(range(self.m), k):
                part = gram[np.ix_(face, face)]
                try:
                    x = np.linalg.solve(part, np.ones(k))
                except np.linalg.LinAlgError:
                    continue
                w = np.zeros(self.m)
                w[list(face)] = x / x.sum()
                if w.min() >= 0 and w @ gram @ w < least:
                    best, least = w, w @ gram @ w
        slope = gram @ best  # of the minimum: equal on the face, not less off it
        assert slope.min() >= least - 1e-9 * abs(np.diag(gram)).max()
        return {"weights": best}


class Pama(Scalarizer):
    def scalarize(self, event):
        assert self.params["compat"] == "ctwa-repo"
        noon = np.maximum(np.array(event["objective_advantages"]), 0)  # [B, M]
        ratios = [np.exp(np.array(o) - np.array(r)) for o, r in zip(event["old_logprobs"], event["ref_logprobs"])]
        kept = np.array([(u <= 1 + self.params["clip"]).sum() for u in ratios])
        means = (noon * kept[:, None]).sum(0) / sum(len(u) for u in ratios)
        nearest = np.clip(0.0, means.min(), means.max())
        return {
            "advantages": np.full(len(noon), nearest),
            "metrics": self.named("mean_positive_advantage", means),
        }


def compare(expected, made, where):
    """Each number that the trace expects, with the one made here, and the share of the trace's tolerance between."""
    for key, value in expected.items():
        if isinstance(value, dict):
            yield from compare(value, made[key], f"{where} {key}")
            continue
        stored, computed = np.atleast_1d(value).astype(float), np.atleast_1d(made[key])
        assert stored.shape == computed.shape, (where, key)
        off = np.abs(stored - computed)
        yield off.max(), (off / (1e-5 + 1e-4 * np.abs(stored))).max(), f"{where} {key}"


def answers(expected, made):
    """The answers made, for what the trace names."""
    if isinstance(expected, dict):
        return {key: answers(value, made[key]) for key, value in expected.items()}
    digits = lambda v: float(f"{float(v):.9g}")
    return [digits(v) for v in made] if isinstance(expected, list) else digits(made)


def main():
    for path in sorted(p for name in NAMES for p in HERE.glob(f"{name}.jsonl")):
        header, *events = [json.loads(line) for line in path.read_text().splitlines()]
        scalarizer = globals()[header["scalarizer"].capitalize()](header["objectives"], header["params"])
        found = []
        for number, event in enumerate(events):
            made = getattr(scalarizer, event["hook"])(event)
            if "expect" in event:
                found += compare(event["expect"], made, f"line {number + 2}")
                if "--write" in sys.argv:
                    event["expect"] = answers(event["expect"], made)
        difference, share, where = max(found, key=lambda f: f[1])
        print(f"{path.name}: {len(found)} answers, largest difference {max(f[0] for f in found):.1e}, ", end="")
        print(f"{share:.0e} of the tolerance ({where})")
        if "--write" in sys.argv:
            lines = [json.dumps(line, separators=(",", ":")) for line in [header] + events]
            path.write_text("\n".join(lines) + "\n")
        else:
            assert share < 0.05, path


main()
