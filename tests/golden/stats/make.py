#!/usr/bin/env python3
"""Makes the golden files of the statistics: random cases, answered by scipy, statsmodels, rliable and moocore, and by
enumeration in exact fractions where no library has the statistic.

    python3 -m venv venv && venv/bin/pip install scipy statsmodels rliable moocore
    venv/bin/python make.py            # writes the files
    venv/bin/python make.py --check    # compares them

Written with scipy 1.17.1, statsmodels 0.15.0, rliable 1.2.0 and moocore 0.3.2; `versions` in a file says what made it.
"""

import importlib.metadata
import itertools
import json
import math
import pathlib
import sys
from fractions import Fraction

import moocore
import numpy as np
from rliable import metrics as rliable
from scipy import stats
from statsmodels.stats.multitest import multipletests

HERE = pathlib.Path(__file__).parent
CASES = 200


def sample(rng, n):
    """Numbers as runs have them: a few digits, sometimes with ties."""
    digits = int(rng.integers(1, 5))
    scale = float(rng.choice([0.05, 1.0, 30.0]))
    return [round(float(x), digits) for x in rng.normal(rng.normal(), scale, n)]


def student(rng):
    for _ in range(CASES):
        df = int(rng.choice([1, 2, 3, 4, 9, 19, 199, 5000]))
        p = round(float(rng.uniform(0.0005, 0.9995)), 4)
        t = round(float(rng.normal(0, 4)), 3)
        yield {"df": df, "p": p, "quantile": float(stats.t.ppf(p, df)), "t": t, "below": float(stats.t.cdf(t, df))}


def summary(rng):
    for _ in range(CASES):
        x = sample(rng, int(rng.integers(2, 13)))
        mean, sem = float(np.mean(x)), float(stats.sem(x))
        half = float(stats.t.ppf(0.975, len(x) - 1)) * sem
        iqm = float(rliable.aggregate_iqm(np.array(x).reshape(-1, 1)))
        yield {"x": x, "mean": mean, "sd": float(np.std(x, ddof=1)), "half": half, "iqm": iqm}


def permutation(rng):
    for case in range(CASES):
        n = int(rng.integers(2, 9))
        a, b = sample(rng, n), sample(rng, n)
        paired = stats.permutation_test(
            (np.array(a) - np.array(b),), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
        ).pvalue
        m = int(rng.integers(2, 6))
        c = sample(rng, m)
        unpaired = stats.permutation_test(
            (a, c), lambda x, y: np.mean(x) - np.mean(y), permutation_type="independent", n_resamples=np.inf,
            vectorized=False,
        ).pvalue
        yield {"a": a, "b": b, "paired": float(paired), "c": c, "unpaired": float(unpaired)}


def holm(rng):
    for _ in range(CASES):
        p = [round(float(x), 5) for x in rng.uniform(0, 1, int(rng.integers(1, 12))) ** 3]
        adjusted = multipletests(p, method="holm")[1]
        yield {"p": p, "adjusted": [float(x) for x in adjusted]}


def improvement(rng):
    for _ in range(CASES):
        x, y = sample(rng, int(rng.integers(1, 9))), sample(rng, int(rng.integers(1, 9)))
        p = rliable.probability_of_improvement(np.array(x).reshape(-1, 1), np.array(y).reshape(-1, 1))
        yield {"x": x, "y": y, "probability": float(p)}


def front(rng):
    """Points of M objectives, some to be minimized; moocore minimizes, so the others are turned."""
    for _ in range(CASES):
        m, n = int(rng.integers(2, 5)), int(rng.integers(1, 10))
        higher = [bool(x) for x in rng.integers(0, 2, m)]
        points = [[round(float(x), 3) for x in row] for row in rng.uniform(0, 1, (n, m))]
        reference = [0.1 if h else 0.9 for h in higher]
        sign = np.array([-1.0 if h else 1.0 for h in higher])
        turned = np.array(points) * sign
        yield {
            "higher": higher,
            "points": points,
            "reference": reference,
            "front": [bool(x) for x in moocore.is_nondominated(turned, keep_weakly=True)],
            "volume": float(moocore.hypervolume(turned, ref=np.array(reference) * sign)),
        }


def attainment(rng):
    """The surfaces that at least half and all of some fronts attain, two objectives to be minimized."""
    for _ in range(CASES):
        runs = int(rng.integers(1, 6))
        rows = []
        for run in range(runs):
            for _ in range(int(rng.integers(1, 6))):
                rows.append([round(float(rng.uniform()), 2), round(float(rng.uniform()), 2), run + 1])
        rows = np.array(rows)
        surfaces = {}
        for level in sorted({(runs + 1) // 2, runs}):
            eaf = moocore.eaf(rows[:, :2], sets=rows[:, 2], percentiles=[100 * level / runs])
            surface = sorted({(float(x), float(y)) for x, y, _ in eaf})
            surfaces[str(level)] = [list(point) for point in surface]
        fronts = [[[float(x), float(y)] for x, y, r in rows if r == run + 1] for run in range(runs)]
        yield {"fronts": fronts, "surfaces": surfaces}


def pass_at_k(rng):
    for _ in range(CASES):
        n = int(rng.integers(1, 12))
        c, k = int(rng.integers(0, n + 1)), int(rng.integers(1, n + 1))
        without = Fraction(math.comb(n - c, k), math.comb(n, k))
        yield {"n": n, "c": c, "k": k, "pass": float(1 - without)}


def maj_at_k(rng):
    """Every subset of k answers votes; a tie is drawn by lot."""
    for _ in range(CASES):
        n = int(rng.integers(1, 10))
        classes = [int(x) for x in rng.integers(0, int(rng.integers(1, 5)), n)]
        right = int(rng.integers(0, 4))
        k = int(rng.integers(1, n + 1))
        total, count = Fraction(0), 0
        for subset in itertools.combinations(classes, k):
            votes = {c: subset.count(c) for c in set(subset)}
            best = [c for c, v in votes.items() if v == max(votes.values())]
            total += Fraction(int(right in best), len(best))
            count += 1
        sizes = {c: classes.count(c) for c in sorted(set(classes))}
        of_right = sizes.pop(right, 0)
        yield {"right": of_right, "others": list(sizes.values()), "k": k, "majority": float(total / count)}


FILES = {
    "student": (student, ["scipy"]),
    "summary": (summary, ["scipy", "rliable"]),
    "permutation": (permutation, ["scipy"]),
    "holm": (holm, ["statsmodels"]),
    "improvement": (improvement, ["rliable"]),
    "front": (front, ["moocore"]),
    "attainment": (attainment, ["moocore"]),
    "pass_at_k": (pass_at_k, []),
    "maj_at_k": (maj_at_k, []),
}


def close(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    return a == b


def main():
    check = "--check" in sys.argv[1:]
    for number, (name, (make, packages)) in enumerate(FILES.items()):
        cases = list(make(np.random.default_rng(number)))
        versions = {package: importlib.metadata.version(package) for package in packages}
        path = HERE / f"{name}.json"
        if check:
            assert close(json.loads(path.read_text())["cases"], cases), f"{path.name} differs"
            print(f"{path.name}: {len(cases)} cases agree")
            continue
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        path.write_text(f'{{"versions":{json.dumps(versions)},"cases":[\n{lines}\n]}}\n')
        print(f"{path.name}: {len(cases)} cases")


if __name__ == "__main__":
    main()
