"""What was promised, and whether it is kept; and the tables both are shown in."""

from __future__ import annotations

import math
from typing import NamedTuple


class Verdict(NamedTuple):
    """A promise and what became of it."""

    what: str
    kept: bool | None
    """None: it could not be measured here."""
    why: str

    def __str__(self) -> str:
        """The promise in one line."""
        word = {True: "pass", False: "FAIL", None: "not measured"}[self.kept]
        return f"{word}: {self.what}: {self.why}" if self.why else f"{word}: {self.what}"


def at_least(what: str, value: float, limit: float, form: str = "{:g}") -> Verdict:
    """Judge a value that must not be smaller; NaN where it is not known."""
    return _judge(what, value, limit, form, kept=value >= limit, sign=">=")


def at_most(what: str, value: float, limit: float, form: str = "{:g}") -> Verdict:
    """Judge a value that must not be larger; NaN where it is not known."""
    return _judge(what, value, limit, form, kept=value <= limit, sign="<=")


def _judge(what: str, value: float, limit: float, form: str, *, kept: bool, sign: str) -> Verdict:
    bound = f"{sign} {form.format(limit)}"
    if math.isnan(value):
        return Verdict(what, None, f"must be {bound}")
    return Verdict(what, bool(kept), f"{form.format(value)} ({bound})")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a Markdown table; numbers to the right."""
    rule = ("---", *["--:"] * (len(head) - 1))
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def failed(verdicts: list[Verdict]) -> bool:
    """Whether a promise is broken."""
    return any(verdict.kept is False for verdict in verdicts)
