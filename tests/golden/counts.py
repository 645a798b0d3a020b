"""Compares hypervolume_values.json, clarity-counts.jsonl and json-schema.jsonl with other ways to the same answers.

    python counts.py            compares with what is there
    python counts.py --write    writes new answers for the inputs that are there

hypervolume_values.json: the volume of a union of boxes, slice by slice, in whole numbers: coordinates have nine digits.
clarity-counts.jsonl: Python's `re` counts what the published patterns match (plugins/clarity/src/lib.rs).
json-schema.jsonl: the validator `jsonschema` decides, as draft 2020-12 (written with 4.26.0 of PyPI).
Nothing here comes from moa.
"""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
DIGITS = 9


def whole(value):
    scaled = round(value * 10**DIGITS)
    assert scaled / 10**DIGITS == value, f"{value} has more than {DIGITS} digits"
    return scaled


def volume(points):
    """Of the union of the boxes between 0 and each point, all coordinates over 0: slices along the last coordinate."""
    if len(points[0]) == 1:
        return max(p[0] for p in points)
    points = sorted(set(points), key=lambda p: -p[-1])
    total, front = 0, []
    for i, point in enumerate(points):
        side = point[:-1]
        if not any(all(a >= b for a, b in zip(f, side)) for f in front):
            front = [f for f in front if not all(a <= b for a, b in zip(f, side))] + [side]
        height = point[-1] - (points[i + 1][-1] if i + 1 < len(points) else 0)
        if height:
            total += height * volume(front)
    return total


def hypervolume(case):
    reference = [whole(r) for r in case["reference"]]
    shifted = [tuple(whole(c) - r for c, r in zip(point, reference)) for point in case["points"]]
    inside = [point for point in shifted if min(point) > 0]
    return volume(inside) / 10 ** (DIGITS * len(reference)) if inside else 0.0


def hypervolumes():
    path = HERE / "hypervolume_values.json"
    table = json.loads(path.read_text())
    worst = 0.0
    for case in table["cases"]:
        made = hypervolume(case)
        worst = max(worst, abs(case["hypervolume"] - made) / max(made, 1e-300))
        case["hypervolume"] = made
    print(f"{path.name}: {len(table['cases'])} cases, largest relative difference {worst:.0e}")
    return path, worst < 1e-15, json.dumps(table, separators=(",", ":"))


def clarity():
    path = HERE / "clarity-counts.jsonl"
    any_case = re.IGNORECASE | re.MULTILINE
    words = "first second third fourth fifth sixth seventh eighth ninth tenth next then".split()
    patterns = [
        re.compile(r"(?:^|\s|\()(?:step\s*)?(?:[0-9]+|[a-zA-Z]|[ivxlcdmIVXLCDM]+)[).:-]", any_case),
        re.compile(r"^\s*[-*•]\s", any_case),
        re.compile(rf"\b(?:{'|'.join(words)})\b", any_case),
    ]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    made = [[text] + [sum(1 for _ in p.finditer(text)) for p in patterns] for text, *_ in rows]
    other = [(a, b) for a, b in zip(rows, made) if a != b]
    print(f"{path.name}: {len(rows)} texts, {len(other)} counted differently", *other[:5])
    return path, not other, "\n".join(json.dumps(row, ensure_ascii=False) for row in made)


def schemas():
    import jsonschema

    path = HERE / "json-schema.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    made = [[schema, value, jsonschema.Draft202012Validator(schema).is_valid(value)] for schema, value, _ in rows]
    other = [(a, b[2]) for a, b in zip(rows, made) if a[2] != b[2]]
    print(f"{path.name}: {len(rows)} pairs, {len(other)} decided differently", *other[:5])
    return path, not other, "\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in made)


def main():
    for path, agrees, text in (hypervolumes(), clarity(), schemas()):
        if "--write" in sys.argv:
            path.write_text(text + "\n")
        else:
            assert agrees, path


main()
