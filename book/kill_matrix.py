"""The page kill_matrix.md: every mutant before the oracle, and before six published tests.

    python book/kill_matrix.py

It takes two minutes of CPU time. tests/test_kill_matrix.py compares a sample with the page.
"""

import inspect
import multiprocessing
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rmsprop_ref import check
from rmsprop_ref.course import mutants
from rmsprop_ref.course.mutants import MUTANTS, Mutant
from rmsprop_ref.course.published_tests import PUBLISHED, PublishedTest, verdict
from rmsprop_ref.oracle.report import PASSING

PAGE = Path(__file__).with_suffix(".md")
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
WIDE = "precision-computed-in-float32"  # no fault in float32
TESTS = tuple(test.name for test in PUBLISHED)
HEADINGS = dict(zip(TESTS, ("TF", "tfK", "K3", "oxE", "oxC", "PyT"), strict=True))
MARKS = {True: "✓", False: "×", None: "–"}


class Row(NamedTuple):
    """What was said of one mutant."""

    name: str
    verdict: str
    diagnosis: str
    answers: dict[str, bool | None]  # of the published tests: accepts, rejects, not applicable

    @property
    def killed(self) -> bool:
        """Whether the oracle rejects it."""
        return self.verdict not in PASSING

    @property
    def named(self) -> bool:
        """Whether the diagnosis says a word that is expected of it."""
        words = BY_NAME[self.name].keywords
        return self.killed and any(word in self.diagnosis.lower() for word in words)

    @property
    def cells(self) -> list[str]:
        """What stands in the page."""
        said = [escaped(BY_NAME[self.name].fault), escaped(f"{self.verdict}: {self.diagnosis}")]
        return said + [MARKS[self.answers[name]] for name in TESTS]


def ask(name: str, tests: Sequence[str] = TESTS) -> Row:
    """Put one mutant before the oracle and then the tests.

    Some mutants keep state in a module: asked in another order, they may answer otherwise.
    """
    mutant = BY_NAME[name]
    _seed()
    report = check(mutant.run, mutant.rule, "float64" if name == WIDE else "float32")
    diagnosis = report.diagnosis.partition(" (input ")[0]  # a report says more: which inputs
    answers = {test.name: _answer(test, mutant) for test in PUBLISHED if test.name in tests}
    return Row(name, report.verdict, diagnosis, answers)


def rows(names: Iterable[str], tests: Iterable[Sequence[str]] = repeat(TESTS)) -> Iterator[Row]:
    """Put mutants before the oracle and each before its tests, in fresh processes."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=fresh) as pool:
        yield from pool.map(ask, names, tests)


def read(text: str) -> list[Row]:
    """The rows of the page."""
    named = {escaped(mutant.fault): mutant.name for mutant in MUTANTS}
    answers = {mark: answer for answer, mark in MARKS.items()}
    found = []
    for line in text.splitlines():
        fault, *cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
        if len(cells) == 1 + len(TESTS) and fault in named:
            said, _, diagnosis = re.sub(r"\\(.)", r"\1", cells[0]).partition(": ")
            marks = dict(zip(TESTS, map(answers.__getitem__, cells[1:]), strict=True))
            found.append(Row(named[fault], said, diagnosis, marks))
    return found


def _answer(test: PublishedTest, mutant: Mutant) -> bool | None:
    _seed()
    return verdict(test, mutant)


def _seed() -> None:
    """Make the random faults the same each time: so is the page."""
    mutants.RANDOM = np.random.default_rng(0)


def escaped(text: str) -> str:
    """Text as it stands in a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>|$#])", r"\\\1", " ".join(text.split()))


def table(heading: Sequence[str], lines: Sequence[Sequence[str]], align: str) -> str:
    """A table in Markdown; the letters l, c and r align its columns."""
    rule = [{"l": ":--", "c": ":-:", "r": "--:"}[letter] for letter in align]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *lines))


def source(test: PublishedTest) -> str:
    """What a test does and where it stands, from its docstring, with links."""
    said, where = inspect.getdoc(test.accepts).split("\n\n")
    # An underscore inside a word is none of Markdown's; that of `_src` and `_internal` is.
    where = " ".join(where.split()).replace("/_", r"/\_")

    def link(match: re.Match[str]) -> str:
        repo, path, commit = match.groups()
        url = f"https://github.com/{repo}/blob/{commit}/{path}".replace("\\", "")
        return f"[{repo}, {path}]({url}), commit {commit}"

    where = re.sub(r"([\w-]+/[\w-]+), (\S+\.py), commit\s([0-9a-f]{40})", link, where)
    return f"{' '.join(said.split())} {where}"


def page(found: Sequence[Row]) -> str:
    """The page, in MyST."""
    asked = {name: [r for r in found if r.answers[name] is not None] for name in TESTS}
    accepted = {name: [r for r in asked[name] if r.answers[name]] for name in TESTS}
    some = [r for r in found if any(r.answers.values())]
    none = [r for r in found if set(r.answers.values()) == {None}]
    killed, named = [r for r in found if r.killed], [r for r in found if r.named]
    every = [r for r in some if False not in r.answers.values()]

    def counts(said: str, rejected: int, asked: int, named: str) -> list[str]:
        return [said, str(asked), str(asked - rejected), str(rejected), named]

    lines = [counts("the oracle", len(killed), len(found), str(len(named)))]
    for name, short in HEADINGS.items():
        rejected = len(asked[name]) - len(accepted[name])
        lines.append(counts(f"{name} ({short})", rejected, len(asked[name]), "not judged"))
    summary = table(["", "asked", "accepts", "rejects", "names the fault"], lines, "lrrrr")
    tests = "\n\n".join(
        f"{test.name} ({HEADINGS[test.name]})\n: {source(test)}" for test in PUBLISHED
    )
    marked = [f"{{abbr}}`{HEADINGS[name]} ({name})`" for name in TESTS]
    sections = []
    for kind, group in groupby(found, key=lambda row: BY_NAME[row.name].kind):
        lines = [row.cells for row in group]
        cells = table(["the fault", "the oracle says", *marked], lines, "ll" + "c" * len(TESTS))
        title = kind[0].upper() + kind[1:]
        sections.append(f"### {title}\n\n```{{table}}\n:class: kill-matrix\n\n{cells}\n```\n")
    text = TEXT.format(
        count=len(found),
        tests_count=len(TESTS),
        wide=escaped(BY_NAME[WIDE].fault),
        summary=summary,
        killed=_all(len(killed), len(found)),
        named=_all(len(named), len(found)),
        some=len(some),
        every=len(every),
        none=len(none),
        tests=tests,
        sections="\n".join(sections),
    )
    return text.rstrip("\n") + "\n"


def _all(part: int, whole: int) -> str:
    return f"all {whole}" if part == whole else f"{part} of the {whole}"


TEXT = """\
# What the oracle catches

<!-- Written by book/kill_matrix.py: change that, and run it. -->

Whoever relies on an oracle wants to know what it would miss. So here are {count} implementations
of RMSProp, each with one fault, of the kind that people make: the {{term}}`epsilon` on the other
side of the root, an average that starts at one, a vector whose last elements are forgotten. The
page shows what the oracle says of each, its verdict and its diagnosis, and beside it what
{tests_count} published tests of RMSProp say of the same implementations. In the language of
mutation testing, a faulty implementation is a mutant, a test that rejects it kills it, and this
page is a kill matrix.

The mutants are in `rmsprop_ref/course/mutants.py`. Each claims to compute a {{term}}`Rule`, and the
oracle's column is what `rmsprop_ref.check` says of that claim in float32 (in float64 for the fault
“{wide}”). The published tests are not run
themselves. They are restated in NumPy, in `rmsprop_ref/course/published_tests.py`: the inputs, the
numbers of steps and the tolerances are theirs, the code is not.

## The count

{summary}

The oracle kills {killed} and names the fault of {named}. That a fault is named means that the
diagnosis says one of the words that stand beside the fault in `mutants.py`. It need not be the same
sentence, for two faults may give the same numbers: where β is 0.9, a learning rate ten times too
small is one multiplied by 1-β.

The mutants were at hand when the oracle was written. So the count is no estimate of how many
faults that nobody thought of would be named. The verdict needs no list of faults: what leaves the
enclosure is wrong, and where nothing known explains it the diagnosis gives the nearest rule.

Of the {count} faults, {some} are accepted by at least one of the published tests and {every} by
every one that was asked; {none} could be put to none of them. This is no reproach to the tests.
Each guards one library, on the rules and inputs that it has, against changes that break it. None
was written to tell one RMSProp from another, and a fault that it accepts need not be one that the
library has. That a test rejects a fault says that it fails, and nothing about how well its message
names the fault.

## The published tests

{tests}

## Every fault

The oracle's verdict is one of three here. *Wrong rule*: it computes another rule. *Imprecise*: the
right rule, in worse arithmetic. *Broken*: no trajectory, or none that any rule would give. The
columns after it are the published tests, by the letters that stand beside their names above.

| mark | the published test |
|:-:|:--|
| ✓ | accepts: it passes, though the implementation is faulty |
| × | rejects: it fails |
| – | is not applicable: under its rules the fault makes no difference |

{sections}
```{{raw}} html
<style>
.bd-article dd {{ overflow-wrap: anywhere; }}
.bd-article .kill-matrix {{ font-size: 0.875rem; line-height: 1.35; }}
.bd-article .kill-matrix :is(th, td):nth-child(-n+2) {{ min-width: 7.5rem; }}
.bd-article .kill-matrix :is(th, td):nth-child(n+3) {{ padding-inline: 0.3rem; }}
</style>
```
"""


def main() -> None:
    """Write the page."""
    found = []
    for row in rows(list(BY_NAME)):
        found.append(row)
        sys.stderr.write(f"\r{len(found)} of {len(BY_NAME)} mutants")
    sys.stderr.write("\n")
    PAGE.write_text(page(found), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
