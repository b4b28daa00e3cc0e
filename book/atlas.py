"""The atlas: every library that runs here before the oracle, and the pages that say how it went.

    python book/atlas.py                    make the environments, ask everyone, write the pages
    python book/atlas.py pytorch optax      only these adapters; the rest of the atlas stays
    python book/atlas.py --pages            write the pages again, from what was measured
    python book/atlas.py --long             how far bits go over 10,000 steps of 100,000 elements
    python book/atlas.py --check pytorch    ask, and compare with the stored atlas; write nothing

Everything takes about half an hour on two cores, and 5 GB. What cannot be installed is reported,
and left out. The environments stay in .atlas; the results are in book/_root/atlas.json, which the
site serves.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rmsprop_ref import __version__
from rmsprop_ref.adapters.catalogue import ADAPTERS, Adapter
from rmsprop_ref.adapters.environments import FOLDER, missing, prepare

HERE = Path(__file__).parent
STORED = HERE / "_root" / "atlas.json"
PASSING = ("exact", "proven")
HOUR = 3600


def ask(name: str, options: Sequence[str]) -> dict[str, Any]:
    """What the oracle says of one adapter, measured in its own environment; or why nothing."""
    adapter = ADAPTERS[name]
    command = [str(python_for(adapter)), "-m", "rmsprop_ref.adapters", name]
    try:
        done = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            timeout=HOUR,
            env=os.environ | {"RMSPROP_REF_ATLAS": str(FOLDER)},
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return {"adapter": name, "dialect": adapter.dialect_name, "failed": "no answer in an hour"}
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        return {"adapter": name, "dialect": adapter.dialect_name, "failed": last[0]}


def python_for(adapter: Adapter) -> Path:
    """The Python that runs the oracle: the library's own, or for a program this one."""
    if adapter.is_program:
        return Path(sys.executable)
    return FOLDER / adapter.environment / "bin" / "python"


def long_run(answer: dict[str, Any]) -> list[str]:
    """What asks for a long run: rules whose bits were all the same in a short one.

    Not those of β = 0 and 1: there v is the square of the gradient, whose root is exact, or stays.
    """
    if "rules" not in answer or ADAPTERS[answer["adapter"]].is_program:
        return []
    found: dict[str, str] = {}
    for row in answer["rules"]:
        for dtype, bits in row["bits"].items():
            same = bits.get("differs", 0) is None and 0 < row["rule"]["beta"] < 1
            if same and not isinstance(row["rule"]["lr"], list):
                found.setdefault(dtype, row["suite"])
    chosen = [f"{dtype}={found[dtype]}" for dtype in ("float32", "float64") if dtype in found]
    return ["--long", *chosen] if chosen else []


def measured(
    names: Sequence[str], options: dict[str, list[str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make the environments that are missing, and ask the adapters, two at a time."""
    failed: dict[str, str] = {}
    for environment in dict.fromkeys(ADAPTERS[name].environment for name in names):
        if missing(environment):
            print(f"making {FOLDER / environment}", flush=True)
            try:
                prepare(environment)
            except subprocess.CalledProcessError as error:
                failed[environment] = f"not installed: {' '.join(map(str, error.cmd))}"
                print(failed[environment], flush=True)
    for name in names:
        if why := failed.get(ADAPTERS[name].environment):
            yield name, {"adapter": name, "dialect": ADAPTERS[name].dialect_name, "failed": why}
    ready = [name for name in names if ADAPTERS[name].environment not in failed]
    with ThreadPoolExecutor(2) as pool:
        for name, answer in zip(
            ready, pool.map(lambda n: ask(n, options.get(n, [])), ready), strict=True
        ):
            print(f"{name}: {summary(answer)}", flush=True)
            yield name, answer


def summary(answer: dict[str, Any]) -> str:
    """One adapter in a line."""
    if "failed" in answer:
        return str(answer["failed"])
    if "rules" not in answer:
        ends = {dtype: bits["differs"] or "nowhere" for dtype, bits in answer.items()}
        return ", ".join(f"{dtype} differs from step {end}" for dtype, end in ends.items())
    verdicts = [v["verdict"] for row in answer["rules"] for v in row["verdicts"].values()]
    verdicts = [verdict for verdict in verdicts if verdict != "unsupported"]
    passed = sum(verdict in PASSING for verdict in verdicts)
    deviations = sum(claim["verdict"] not in PASSING for claim in answer["claims"])
    return f"{passed} of {len(verdicts)} pass; {deviations} deviations from the documentation"


def compared(stored: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What differs between the stored atlas and what was found now.

    Whether a verdict passes, and what is said of it if not: bits and worst cases depend on the
    processor.
    """

    def said(verdict: dict[str, Any]) -> str:
        passes = verdict["verdict"] in PASSING
        return "passes" if passes else f"{verdict['verdict']}: {verdict['diagnosis']}"

    different = []
    for name, answer in found.items():
        before = stored.get(name, {"failed": "not in the stored atlas"})
        if "failed" in before or "failed" in answer:
            different.append(f"{name}: {answer.get('failed') or before.get('failed')}")
            continue
        for part in ("rules", "claims"):
            pairs = list(zip(before[part], answer[part], strict=False))
            if len(before[part]) != len(answer[part]):
                different.append(f"{name}: {len(answer[part])} {part}, not {len(before[part])}")
            for old, new in pairs:
                one = old.get("verdicts", {old.get("dtype"): old})
                other = new.get("verdicts", {new.get("dtype"): new})
                for dtype in one.keys() | other.keys():
                    texts = [said(x[dtype]) if dtype in x else "absent" for x in (one, other)]
                    if texts[0] != texts[1]:
                        where = new.get("suite", new.get("source"))
                        different.append(f"{name}, {where}, {dtype}: {texts[1]}; was {texts[0]}")
    return different


def read() -> dict[str, Any]:
    """The stored atlas, by adapter."""
    return dict(json.loads(STORED.read_text("utf-8"))["adapters"]) if STORED.exists() else {}


def write(found: dict[str, Any]) -> None:
    """Store the atlas, in the order of the catalogue."""
    content = {
        "schema": "rmsprop-ref-atlas/1",
        "rmsprop_ref": __version__,
        "adapters": {name: found[name] for name in ADAPTERS if name in found},
    }
    STORED.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def main(arguments: Iterable[str] | None = None) -> int:
    """Do what the command line says; 1 where ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapters", nargs="*", help="which; by default all")
    parser.add_argument("--pages", action="store_true", help="write the pages only")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--long", action="store_true", help="only the bits of a long run")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.adapters if name not in ADAPTERS]:
        parser.error(f"no adapter {unknown[0]!r}: there are {', '.join(ADAPTERS)}")
    stored = read()
    if not options.pages:
        found = {}
        names = options.adapters or list(ADAPTERS)
        asked = {name: long_run(stored.get(name, {})) for name in names if options.long}
        names = [name for name in names if asked.get(name, True)]
        for name, answer in measured(names, asked):
            found[name] = answer
            if options.check:
                continue
            if not options.long:
                stored[name] = answer
            elif name in stored and "failed" not in answer:
                stored[name]["long_run"] = answer
            write(stored)
        if options.check:
            different = compared(stored, found)
            print("\n".join(different) or "as in the stored atlas")
            return 1 if different else 0
    from atlas_pages import write_pages

    write_pages(stored)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
