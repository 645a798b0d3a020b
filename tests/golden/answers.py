"""Compares the labels of answers.jsonl, which were set by hand, with what math-verify decides.

    pip install "math-verify[antlr4-13-2]"    (written with 0.9.0)
    python answers.py                         about half a minute

The labels are an input: no program made them. Where math-verify decides otherwise, the pair must stand in
answers-disputed.json under the reason for which the label stays; a pair that is missing there, or that is there for
nothing, is an error. Nothing here comes from moa.
"""
import json
import logging
import pathlib

from math_verify import parse, verify

HERE = pathlib.Path(__file__).parent
SECONDS = 5  # for a pair; after that math-verify says "not the same"


def decided(pair):
    answer, truth = (parse(f"${pair[key]}$", parsing_timeout=SECONDS) for key in ("answer", "truth"))
    return verify(truth, answer, timeout_seconds=SECONDS)


def main():
    logging.disable(logging.ERROR)  # of math-verify, on what it cannot read
    pairs = [json.loads(line) for line in (HERE / "answers.jsonl").read_text().splitlines()]
    disputed = json.loads((HERE / "answers-disputed.json").read_text())
    of_pair = {tuple(pair): reason for reason, listed in disputed.items() for pair in listed}
    counts, unknown = dict.fromkeys(disputed, 0), []
    for pair in pairs:
        if decided(pair) == pair["same"]:
            continue
        reason = of_pair.pop((pair["answer"], pair["truth"]), None)
        if reason is None:
            unknown.append(pair)
        else:
            counts[reason] += 1
    print(f"answers.jsonl: {len(pairs)} pairs, math-verify decides {sum(counts.values()) + len(unknown)} otherwise:")
    for reason, count in counts.items():
        print(f"{count:5}  {reason}")
    assert not unknown, f"not in answers-disputed.json: {unknown}"
    assert not of_pair, f"in answers-disputed.json, but not disputed: {of_pair}"


main()
