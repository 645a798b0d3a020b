"""Share of the equations in a response whose arithmetic is right, in [0, 1].

    score = right / max(found, at_least)

An equation is one "=" between two sums or products of plain numbers, at least one of them with an operator:
"9 + 7 = 16 cups" has one, "3 * 3 = 9 + 5 = 14" has two (the first is wrong), "so x = 4" has none. "at_least" is how
many a response is expected to show, so that one that shows nothing scores 0, and "tolerance" is how far the two
sides may be apart, for answers that are rounded.

Each line is read once, from left to right, so the time is linear in the length of the response.
"""

import json
import math
import re

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports.scorer import Description, Performance

PARAMS = {
    "at_least": {"kind": "integer", "default": 1, "doc": "equations that a response is expected to show, 1 or more"},
    "tolerance": {"kind": "number", "default": 0.0, "doc": "how far the two sides may be apart, 0 or more"},
}

# A list's bullet would otherwise be a minus.
BULLET = re.compile(r"^\s*[-*+•]\s+")
# Numbers of at most 15 digits: what a float holds exactly. Longer ones are read in pieces, which belong to nothing.
TOKEN = re.compile(
    r"(?P<number>(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,15})?)"
    r"|(?P<operator>[-+*/×·÷−]|\\times|\\cdot|\\div)"
    r"|(?P<equals>=)"
    r"|(?P<other>[^\s\d+\-*/×·÷−=\\][^\d+\-*/×·÷−=\\]*|\\)"
)
SAME = {"×": "*", "·": "*", "\\times": "*", "\\cdot": "*", "÷": "/", "\\div": "/", "−": "-"}


class Side:
    """A sum of products, evaluated while it is read: `total` plus `product`, which the next * or / still changes."""

    def __init__(self):
        self.total = 0.0
        self.product = None  # nothing read yet
        self.pending = None  # an operator that waits for its number
        self.sign = 1.0
        self.operators = 0  # of this side and those before it in a chain a = b = c

    def number(self, value):
        """Takes the next number; False where it cannot stand, as in "3 4"."""
        value *= self.sign
        self.sign = 1.0
        if self.product is None:
            self.product = value
        elif self.pending == "*":
            self.product *= value
        elif self.pending == "/":
            self.product = self.product / value if value else math.nan
        elif self.pending:
            self.total += self.product
            self.product = value if self.pending == "+" else -value
        else:
            return False
        self.pending = None
        return True

    def operator(self, symbol):
        """Takes the next operator; a minus where a number is due is its sign."""
        if self.product is not None and self.pending is None:
            self.pending = symbol
            self.operators += 1
            return True
        if symbol == "-" and self.sign > 0:
            self.sign = -1.0
            return True
        return False

    def value(self):
        """The value, or None if the side is empty or ends with an operator."""
        if self.product is None or self.pending:
            return None
        return self.total + self.product


def equations(line):
    """Yields (left, right), two Sides, for each equation of a line."""
    left, side = None, None
    skipping = False  # after an operator whose left operand is no number, as in "2x + 3 = 7": up to the next break
    for token in TOKEN.finditer(BULLET.sub("", line, count=1)):
        text, kind = token.group(), token.lastgroup
        if kind == "number":
            value = float(text.replace(",", ""))
            if skipping or (side and side.number(value)):
                continue
            yield from pair(left, side)
            left, side = None, Side()
            side.number(value)
        elif kind == "operator":
            if side and side.operator(SAME.get(text, text)):
                continue
            yield from pair(left, side)
            left, side, skipping = None, None, True
        elif kind == "equals":
            yield from pair(left, side)
            left, side, skipping = (side if side and side.value() is not None else None), Side(), False
            side.operators = left.operators if left else 0
        else:
            yield from pair(left, side)
            left, side, skipping = None, None, False
    yield from pair(left, side)


def pair(left, right):
    """The equation that two sides make, if they make one."""
    if left and right and left.value() is not None and right.value() is not None:
        if right.operators:
            yield left, right


def is_right(left, right, tolerance):
    """Whether the two sides are finite and equal, up to the rounding of floats and `tolerance`."""
    left, right = left.value(), right.value()
    return math.isfinite(left) and math.isclose(left, right, rel_tol=1e-9, abs_tol=max(tolerance, 1e-9))


def grade(response, at_least, tolerance):
    """The score of one response."""
    found = right = 0
    for line in response.splitlines():
        for sides in equations(line) if "=" in line else ():
            found += 1
            right += is_right(*sides, tolerance)
    return right / max(found, at_least)


def read(params):
    """The params as a dictionary with every key; raises Err with one line for the user."""
    given = json.loads(params)
    for key, value in given.items():
        if key not in PARAMS:
            raise Err(f"unknown param {key!r}; known: {', '.join(PARAMS)}")
        least, kinds = (1, int) if key == "at_least" else (0, (int, float))
        if isinstance(value, bool) or not isinstance(value, kinds) or value < least:
            raise Err(f"param {key!r} is {json.dumps(value)}, expected {PARAMS[key]['doc']}")
    return {key: given.get(key, about["default"]) for key, about in PARAMS.items()}


settings = read("{}")


class Scorer(exports.Scorer):
    """The interface that the world exports. What is configured stands in the module, which lives with the instance."""

    def describe(self):
        listed = [{"name": name, **about} for name, about in PARAMS.items()]
        return Description(
            name="shows-steps",
            about="Share of the equations in the response whose arithmetic is right.",
            validation=Performance.SCORE,
            needs_means=False,
            params=json.dumps(listed),
        )

    def configure(self, params):
        settings.update(read(params))

    def score(self, completions):
        return [Ok(grade(c.response, settings["at_least"], settings["tolerance"])) for c in completions]
