"""The pages of the atlas: one table of all dialects, and a page for each; for `atlas.py`."""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kill_matrix import escaped, table

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.dialects import DIALECTS, Dialect, Setting
from rmsprop_ref.dialects.dialect import canonical
from rmsprop_ref.oracle.report import PASSING, short
from rmsprop_ref.rule import Rule

HERE = Path(__file__).parent
FOLDER = HERE / "atlas"
WRITTEN = "<!-- Written by book/atlas.py: change that, and run it. -->"
NONE = "–"
STATUS = {
    "run": "the library itself was put before the oracle",
    "read": "its source was read; it was not run",
    "told": "neither it nor its source could be had: from secondary sources",
}

Answers = dict[str, Any]


def write_pages(stored: Answers) -> None:
    """Write the overview, and one page for each dialect."""
    FOLDER.mkdir(exist_ok=True)
    pages = dict(all_pages(stored))
    for old in FOLDER.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        where = HERE / "atlas.md" if name == "" else FOLDER / f"{name}.md"
        where.write_text(text, "utf-8")


def all_pages(stored: Answers) -> Iterator[tuple[str, str]]:
    """The overview, under the empty name, and the pages by the names of the dialects."""
    yield "", overview(stored)
    for dialect in DIALECTS.values():
        answers = [stored[name] for name in ADAPTERS if _is_of(stored.get(name), dialect)]
        yield dialect.name, page(dialect, answers)


def _is_of(answer: Answers | None, dialect: Dialect) -> bool:
    return answer is not None and answer["dialect"] == dialect.name


# The overview


def overview(stored: Answers) -> str:
    """The table of all dialects, the deviations from documentation, the special values."""
    asked = [answer for answer in stored.values() if "failed" not in answer]
    verdicts = [
        verdict
        for answer in asked
        for row in answer["rules"]
        for verdict in row["verdicts"].values()
        if verdict["verdict"] != "unsupported"
    ]
    passing = sum(v["verdict"] in PASSING for v in verdicts)
    run = {answer["dialect"] for answer in asked}
    heading = ["", "ε", "starts at", "momentum", "centered", "weight decay", "defaults", ""]
    rows = [[f"[{escaped(title(d))}](atlas/{d.name}.md)", *axes(d)] for d in _sorted()]
    for row, dialect in zip(rows, _sorted(), strict=True):
        row.append(_mark(dialect, asked))
    return f"""# The atlas

{WRITTEN}

“RMSProp” is what {len(DIALECTS)} implementations on this page call what they compute. Each has a
{{term}}`dialect`: a function of the library's own arguments that gives the {{term}}`Rule`. Of
{len(run)} of them the library itself was run, by {len(asked)} paths, on every rule and in every
dtype that it has: {passing} of {len(verdicts)} pairs of a rule and a dtype pass the oracle. Of the
others the source was read.

<div id="atlas-filter"></div>

{table(heading, rows, "llllllll")}

“starts at”: the average, before the first step. “η in” and “η out”: the learning rate enters the
momentum buffer, or multiplies what leaves it. In the last column, what the oracle said: ✓ all
passes; × something does not, and the page of the dialect says what; 3/4 all passes on three of
its four paths. r: the source was read, the library not run. t: told by a secondary source.

The measurements are in [atlas.json](_root/atlas.json), with versions. `make atlas` makes them anew.

## Where a library does not do what its documentation says

{_claims(asked)}

## Special values

One step from θ = 1 with the library's defaults, in float32, but for what the heading says.

{_special(asked, "float32")}

In float16:

{_special(asked, "float16")}

## Bits

Whether the reference, in the {{term}}`arithmetic` of the dialect, gives the library's own bits.

{_bits(asked)}
{_failures(stored)}"""


def title(dialect: Dialect) -> str:
    """The library; and its optimiser, where the library has several here."""
    library, _, optimiser = dialect.library.partition(", ")
    shared = [d for d in DIALECTS.values() if d.library.partition(", ")[0] == library]
    return f"{library}, {optimiser.rpartition('.')[2]}" if len(shared) > 1 else library


def _sorted() -> list[Dialect]:
    return sorted(DIALECTS.values(), key=lambda d: (d.status != "run", d.library.lower()))


def axes(dialect: Dialect) -> list[str]:
    """Where a dialect stands on the axes that tell most of them apart, and its defaults."""
    try:
        rule = defaults(dialect).rule
    except Unsupported:
        return ["no Rule", *[NONE] * 5]  # its page says why
    decay = _with(dialect, weight_decay=0.125)
    centered = _with(dialect, centered=True, momentum=rule.momentum)
    moving = _with(dialect, momentum=0.75) if not rule.momentum else rule
    words = {"l2": "in g", "decoupled": "ηλθ", "decoupled_unscaled": "λθ"}
    return [
        _epsilon(rule),
        _start(rule),
        _momentum(moving),
        f"ε {_epsilon(centered)}" if centered is not None and centered.centered else NONE,
        words[decay.weight_decay_form] if decay is not None and decay.weight_decay else NONE,
        _defaults(dialect),
    ]


def _with(dialect: Dialect, **fields: Any) -> Rule | None:
    """The rule of the dialect nearest to its default rule with these fields."""
    base = defaults(dialect).rule
    changed = {"eps_in": base.eps_in, "eps_out": base.eps_out, "eps_floor": base.eps_floor}
    wanted = Rule(**{"lr": (0.5, 0.25), "beta": base.beta, "v0": base.v0, **changed, **fields})
    try:
        return dialect.nearest(wanted).rule
    except Unsupported:
        return None


def _epsilon(rule: Rule) -> str:
    places = {"inside": rule.eps_in, "outside": rule.eps_out, "floor": rule.eps_floor}
    return " and ".join(name for name, value in places.items() if value) or "none"


def _start(rule: Rule) -> str:
    if rule.v0 == "first_square":
        return "g²"
    corrected = ", corrected" if rule.bias_correction else ""
    return f"{rule.v0:g}{corrected}"


def _momentum(rule: Rule | None) -> str:
    if rule is None or not rule.momentum:
        return NONE
    if rule.momentum_on == "gradient":
        return "on gradients"
    return "η in" if rule.lr_in_buffer else "η out"


def _defaults(dialect: Dialect) -> str:
    """The numbers for which the library has defaults: those that it asks for are left out."""
    rule = defaults(dialect).rule
    moved = dialect(**{name: value / 2 for name, value in dialect.required.items()}).rule

    def numbers(rule: Rule) -> dict[str, float]:
        eps = rule.eps_in or rule.eps_out or rule.eps_floor
        return {"η": rule.lr, "β": rule.beta, "ε": eps, "μ": rule.momentum}

    found, other = numbers(rule), numbers(moved)
    shown = {s: x for s, x in found.items() if x == other[s] and (s != "μ" or x)}
    return ", ".join(f"{symbol} {value:g}" for symbol, value in shown.items())


def _mark(dialect: Dialect, asked: Sequence[Answers]) -> str:
    paths = [
        all(
            verdict["verdict"] in (*PASSING, "unsupported")
            for row in answer["rules"]
            for verdict in row["verdicts"].values()
        )
        for answer in asked
        if answer["dialect"] == dialect.name
    ]
    if not paths:
        return "t" if dialect.status == "told" else "r"
    if any(paths) and not all(paths):
        return f"{sum(paths)}/{len(paths)}"
    return "✓" if all(paths) else "×"


def _claims(asked: Sequence[Answers]) -> str:
    rows = []
    for answer in asked:
        for claim in answer["claims"]:
            arguments = ", ".join(f"{k}={v}" for k, v in claim["arguments"].items())
            said = f"{claim['verdict']}: {claim['diagnosis']}"
            first = [answer["adapter"], f"`{arguments}`", escaped(claim["source"]), escaped(said)]
            rows.append(first)
    heading = ["", "arguments", "what is promised", "what the oracle says of it"]
    return table(heading, rows, "llll") if rows else "Nowhere."


def _special(asked: Sequence[Answers], dtype: str) -> str:
    found = {a["adapter"]: a["special"][dtype] for a in asked if dtype in a["special"]}
    columns = list(dict.fromkeys(name for outcomes in found.values() for name in outcomes))
    rows = [
        [name, *(escaped(outcomes.get(column, NONE)) for column in columns)]
        for name, outcomes in found.items()
    ]
    return table(["", *columns], rows, "l" * (1 + len(columns)))


def _bits(asked: Sequence[Answers]) -> str:
    rows = []
    for answer in asked:
        cells = [answer["adapter"]]
        for dtype in ("float32", "float64"):
            cells.append(_bits_cell(answer, dtype))
        rows.append(cells)
    return table(["", "float32", "float64"], rows, "lll")


def _bits_cell(answer: Answers, dtype: str) -> str:
    found = [row["bits"][dtype] for row in answer["rules"] if dtype in row["bits"]]
    found = [bits for bits in found if "share" in bits]
    if not found:
        return NONE
    same = sum(bits["differs"] is None for bits in found)
    first = found[0]
    said = f"{same} of {len(found)} rules over {max(b['steps'] for b in found)} steps of "
    said += f"{first['elements']:,}".replace(",", " ")
    long = answer.get("long_run", {}).get(dtype)
    if long is not None:
        steps, elements = (f"{long[x]:,}".replace(",", " ") for x in ("steps", "elements"))
        until = f"differs from step {long['differs']}" if long["differs"] else "all the same"
        said += f"; {steps} steps of {elements}: {until}"
    if same < len(found):
        worst = min(bits["share"] for bits in found)
        said += f"; at least {100 * worst:.0f} % of the bits at the end"
    return said


def _failures(stored: Answers) -> str:
    """The adapters that are in the catalogue and have no verdicts."""
    rows = [
        [name, escaped(stored[name]["failed"] if name in stored else "not yet asked")]
        for name in ADAPTERS
        if name not in stored or "failed" in stored[name]
    ]
    if not rows:
        return ""
    return "\n## What did not run\n\n" + table(["", "why"], rows, "ll") + "\n"


# One dialect


def page(dialect: Dialect, answers: Sequence[Answers]) -> str:
    """What is known of one dialect, and what was measured."""
    about = (inspect.getdoc(dialect.function) or "").replace("``", "`")
    parts = [f"# {escaped(title(dialect))}\n\n{WRITTEN}\n\n{about}"]
    facts = [
        ["called", escaped(dialect.library)],
        ["here", f"`rmsprop_ref.dialects.{dialect.name}`"],
        ["version", escaped(dialect.version)],
        ["source", escaped(dialect.source)],
        ["language", dialect.language],
        ["known from", STATUS[dialect.status]],
    ]
    if dialect.discussions:
        facts.append(["discussed in", ", ".join(map(link, dialect.discussions))])
    parts.append(table(["", ""], facts, "ll"))
    parts.append(f"## The rule\n\n{_rule(dialect)}")
    if dialect.not_expressible:
        listed = "\n".join(f"- {escaped(sentence)}" for sentence in dialect.not_expressible)
        parts.append(f"## What no Rule says\n\n{listed}")
    parts += [_measured(answer) for answer in answers]
    return "\n\n".join(parts) + "\n"


def _rule(dialect: Dialect) -> str:
    said = f"Its arguments and defaults: `{dialect.spoken}`.\n\n"
    try:
        setting = defaults(dialect)
    except Unsupported as error:
        return said + f"There is none: {escaped(str(error))}"
    required = ", ".join(f"{name}={value}" for name, value in dialect.required.items())
    given = f" (and `{required}`, for want of a default)" if required else ""
    said += f"With these{given} it computes\n\n```python\n{short(setting.rule)}\n```"
    same = [
        f"[{escaped(title(other))}]({other.name}.md)"
        for other in _sorted()
        if other.name != dialect.name and _speaks(other, setting.rule)
    ]
    if same:
        said += f"\n\nThe same rule can be had from {', '.join(same)}."
    if setting.arithmetic is not None:
        program = setting.arithmetic.program(setting.rule, 2)
        said += "\n\nIn this order, as far as its bits have been followed, its hyper-parameters "
        said += f"{NUMBERS[setting.arithmetic.numbers]}:\n\n```text\n{program}\n```"
    return said


NUMBERS = {
    "exact": "exact until they meet an array",
    "float64": "in float64 until they meet an array",
    "float32": "in float32",
    "dtype": "in the dtype of the parameters",
}


def _speaks(dialect: Dialect, rule: Rule) -> bool:
    try:
        return canonical(dialect.nearest(rule).rule) == canonical(rule)
    except Unsupported:
        return False


def defaults(dialect: Dialect) -> Setting:
    """The library's defaults, and usual values where it requires some."""
    return dialect(**dialect.required)


def _measured(answer: Answers) -> str:
    if "failed" in answer:
        return f"## {answer['adapter']}\n\nNot run: {escaped(answer['failed'])}"
    versions = ", ".join(f"{name} {version}" for name, version in answer["versions"].items())
    dtypes = list(answer["special"])
    rows: list[list[str]] = []
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in answer["rules"]:
        rule = Rule(**{k: tuple(v) if isinstance(v, list) else v for k, v in row["rule"].items()})
        verdicts = {dtype: row["verdicts"][dtype] for dtype in dtypes}
        rows.append([f"`{short(rule)}`", *(verdict["verdict"] for verdict in verdicts.values())])
        for dtype, verdict in verdicts.items():
            if verdict["verdict"] not in PASSING:
                said = f"{verdict['verdict']}: {escaped(verdict['diagnosis'])}"
                reasons.setdefault(said, {}).setdefault(dtype, []).append(short(rule))
    found = [v["verdict"] for row in answer["rules"] for v in row["verdicts"].values()]
    asked = len(found) - found.count("unsupported")
    text = f"## {answer['adapter']}\n\n{versions}. "
    text += f"{sum(v in PASSING for v in found)} of {asked} pairs of a rule and a dtype pass.\n\n"
    for said, where in reasons.items():
        which = "; ".join(f"{dtype}, {_some(rules)}" for dtype, rules in where.items())
        text += f"- {said} ({which})\n"
    text += "\n" * bool(reasons)
    verdicts = table(["rule", *dtypes], rows, "l" * (1 + len(dtypes)))
    text += f"<details><summary>All rules</summary>\n\n{verdicts}\n\n</details>"
    if answer["claims"]:
        text += f"\n\nBeside its documentation:\n\n{_claims([answer])}"
    special = [
        [name, *(escaped(answer["special"][dtype].get(name, NONE)) for dtype in dtypes)]
        for name in dict.fromkeys(name for d in dtypes for name in answer["special"][d])
    ]
    text += "\n\nSpecial values, with its defaults otherwise:\n\n"
    text += table(["", *dtypes], special, "l" * (1 + len(dtypes)))
    bits = ". ".join(f"{d}: {_bits_cell(answer, d)}" for d in ("float32", "float64") if d in dtypes)
    return f"{text}\n\nBits: {bits}."


def _some(rules: Sequence[str]) -> str:
    """A rule, or how many they are."""
    return f"`{rules[0]}`" if len(rules) == 1 else f"{len(rules)} rules"


def link(discussion: str) -> str:
    """``owner/repository#number`` as a link; other sources as they are."""
    found = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", discussion)
    if not found:
        return escaped(discussion)
    return f"[{escaped(discussion)}](https://github.com/{found[1]}/issues/{found[2]})"
