"""What ``make bench`` measured, as it is stored: ns an element, and multiples of the bound."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

STORED = Path(__file__).parent / "data" / "bench.json"
BOUND = "five streams"
SIZE = 10**7  # where other block sizes and other rules are measured too


@cache
def stored() -> dict[str, Any]:
    """All of it: machine, versions, and a row for each path, size and number of threads."""
    found: dict[str, Any] = json.loads(STORED.read_text("utf-8"))
    return found


def measured(path: str, n: int = SIZE, threads: int = 1, what: str = "ns") -> float:
    """The median over the turns.

    Parameters
    ----------
    path : str
        What was measured, as in the tables of the page on speed.
    n, threads : int
        At how many float32 numbers, on how many threads.
    what : "ns", "ratio", or these with "_low" or "_high"
        Nanoseconds an element; or the multiple of the bound, taken within each turn; or quartiles.

    Raises
    ------
    KeyError
        When it was not measured: says what was.
    """
    rows = {(r["path"], r["n"], r["threads"]): r for r in stored()["rows"]}
    if (path, n, threads) not in rows:
        known = ", ".join(sorted({r["path"] for r in stored()["rows"]}))
        raise KeyError(
            f"{path!r} with n={n}, threads={threads} was not measured: there are {known}"
        )
    return float(rows[path, n, threads][what])
