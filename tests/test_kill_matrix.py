"""The page of the kill matrix says what the oracle and the published tests say today."""

import random
import sys
from pathlib import Path

BOOK = Path(__file__).parents[1] / "book"
sys.path.insert(0, str(BOOK))

import kill_matrix  # noqa: E402

from rmsprop_ref.course.mutants import MUTANTS  # noqa: E402

PAGE = (BOOK / "kill_matrix.md").read_text(encoding="utf-8")
ROWS = kill_matrix.read(PAGE)
STALE = "the page is out of date: run python book/kill_matrix.py"


def test_every_mutant_stands_in_the_page_and_is_killed():
    assert [row.name for row in ROWS] == [mutant.name for mutant in MUTANTS], STALE
    assert len(ROWS) >= 60
    assert [row.name for row in ROWS if not (row.killed and row.named)] == []


def test_the_numbers_in_the_prose_are_those_of_the_matrix():
    assert kill_matrix.page(ROWS) == PAGE, STALE


def test_a_sample_of_the_matrix_is_as_computed_anew():
    """Twelve mutants before the oracle, and each before one of the tests that take no time."""
    rng = random.Random(0)
    sample = rng.sample(ROWS, 12)
    quick = [name for name in kill_matrix.TESTS if name != "optax, convergence"]
    tests = [rng.sample(quick, 1) for _ in sample]
    for row, anew in zip(sample, kill_matrix.rows([r.name for r in sample], tests), strict=True):
        assert (anew.verdict, anew.diagnosis) == (row.verdict, row.diagnosis), STALE
        assert anew.answers.items() <= row.answers.items(), f"{row.name}: {STALE}"
