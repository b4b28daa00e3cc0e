"""The page on speed: from what `make bench` measured to a table and two figures.

python book/speed.py FILE    FILE: what pytest-benchmark wrote; stores it in short, and the page
python book/speed.py         the page again, from what is stored
"""

import json
import sys
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from rmsprop_ref.course import plots
from rmsprop_ref.course.bench import BOUND, SIZE, STORED

HERE = Path(__file__).parent
PAGE = HERE / "speed.md"
# Labels of lines that end close together, in points.
LIFTED = {BOUND: -10, "fast.step_, Numba": 2, "optax, jitted": 5}
LIBRARIES = ("numpy", "numba", "jax", "optax", "torch", "tensorflow-cpu")


def shortened(raw: dict[str, Any]) -> dict[str, Any]:
    """Medians and quartiles over the turns, in ns an element; ratios to the bound of the turn."""
    turns: dict[tuple[int, int], dict[str, dict[int, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for one in raw["benchmarks"]:
        what = one["extra_info"]
        ns = one["stats"]["median"] * 1e9 / what["n"]
        turns[what["n"], what["threads"]][what["path"]][what["turn"]] = ns
    rows = []
    for (n, threads), paths in turns.items():
        for path, found in paths.items():
            ratio = [ns / paths[BOUND][turn] for turn, ns in found.items()]
            row: dict[str, Any] = {"path": path, "n": n, "threads": threads}
            for name, values in (("ns", list(found.values())), ("ratio", ratio)):
                for end, q in (("_low", 0.25), ("", 0.5), ("_high", 0.75)):
                    row[name + end] = float(f"{np.quantile(values, q):.4g}")
            rows.append(row)
    cpu = raw["machine_info"]["cpu"]
    versions = {name: metadata.version(name) for name in LIBRARIES if _there(name)}
    return {
        "machine": {
            "processor": cpu.get("brand_raw", "unknown"),
            "cores": cpu.get("count"),
            "second-level cache, bytes": cpu.get("l2_cache_size"),
            "system": f"{raw['machine_info']['system']} {raw['machine_info']['machine']}",
        },
        "versions": {"python": raw["machine_info"]["python_version"]} | versions,
        "date": raw["datetime"][:10],
        "turns": 1 + max(one["extra_info"]["turn"] for one in raw["benchmarks"]),
        "rows": rows,
    }


def _there(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def page(found: dict[str, Any], text: str) -> str:
    """The page, with what stands between its marks written anew."""
    rows = {(r["path"], r["n"], r["threads"]): r for r in found["rows"]}
    sizes = sorted({r["n"] for r in found["rows"]})
    paths = list(dict.fromkeys(r["path"] for r in found["rows"] if r["n"] != SIZE))

    def at(path: str, n: int = SIZE) -> float:
        return float(rows[path, n, 1]["ratio"])

    def table(what: str, threads: int) -> str:
        shown = [n for n in sizes if (BOUND, n, threads) in rows]
        lines = ["| | " + " | ".join(f"10{_power(n)}" for n in shown) + " |"]
        lines.append("|---|" + "--:|" * len(shown))
        for path in paths:
            cells = [rows.get((path, n, threads), {}).get(what, "") for n in shown]
            cells = [f"{x:.3g}" if x != "" else "" for x in cells]
            if any(cells):
                lines.append(f"| {path} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    targets = ["| ratio | wanted | measured | |", "|---|--:|--:|---|"]
    targets += [
        f"| {what} | {wanted} | {got:.2f} | {'met' if met else '**missed**'} |"
        for what, wanted, got, met in checked(at)
    ]
    machine = [f"- {k}: {v}" for k, v in found["machine"].items() if v]
    versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items())
    machine += [f"- versions: {versions}", f"- turns: {found['turns']}", f"- date: {found['date']}"]
    written = {
        "one thread": table("ns", 1),
        "one thread, ratios": table("ratio", 1),
        "two threads, ratios": table("ratio", 2),
        "targets": "\n".join(targets),
        "machine": "\n".join(machine),
    }
    for mark, content in written.items():
        begin, end = f"<!-- {mark} -->\n", f"<!-- end: {mark} -->"
        before, _, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_end:
            raise ValueError(f"book/speed.md has no place marked {begin.strip()} … {end}")
        text = f"{before}{begin}\n{content}\n\n{end}{after}"
    return text


def checked(at: Any) -> list[tuple[str, str, float, bool]]:
    """The targets: what is compared, what was wanted, what was measured, whether it is met."""
    numba, blocked = at("fast.step_, Numba"), at("fast.step_, NumPy in blocks")
    found = [("fast.step_, Numba / bound", "≤ 1.3", numba, numba <= 1.3)]
    for peer in ("PyTorch, compiled", "optax, jitted"):
        ratio = at(peer) / numba
        found.append((f"{peer} / fast.step_, Numba", "> 1", ratio, ratio > 1))
    for peer, wanted in (("PyTorch", 1.5), ("the reference on NumPy", 2.5)):
        ratio = at(peer) / blocked
        found.append(
            (f"{peer} / fast.step_, NumPy in blocks", f"≥ {wanted}", ratio, ratio >= wanted)
        )
    for mine in ("fast.step_, Numba", "fast.step_, NumPy in blocks"):
        ratio = at(mine, 1000) / at("PyTorch", 1000)
        found.append((f"{mine} / PyTorch, a thousand numbers", "≤ 3", ratio, ratio <= 3))
    return found


def _power(n: int) -> str:
    return str(round(np.log10(n))).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def draw(found: dict[str, Any]) -> None:
    """The two figures."""
    plots.use_house_style()
    rows = [r for r in found["rows"] if r["threads"] == 1]
    every = {r["path"] for r in rows if r["n"] != SIZE}
    here = sorted(
        (r for r in rows if r["n"] == SIZE and r["path"] in every), key=lambda r: -r["ratio"]
    )
    fig, ax = plt.subplots(figsize=(7.2, 4.4))
    for y, r in enumerate(here):
        ours = r["path"].startswith(("fast", "the reference"))
        style = {"color": plots.BLUE if ours else plots.VERMILION, "marker": "o" if ours else "s"}
        style = {"color": plots.BLACK, "marker": "D"} if r["path"] == BOUND else style
        ax.plot([r["ratio_low"], r["ratio_high"]], [y, y], lw=2, color=style["color"])
        ax.plot(r["ratio"], y, ms=7, **style)
        ax.annotate(
            f"{r['ratio']:.2f}",
            (r["ratio_high"], y),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
        )
    ax.set_yticks(range(len(here)), [r["path"] for r in here])
    ax.tick_params(axis="y", length=0)
    ax.set(xscale="log", xlim=(0.9, None), xlabel="time / that of the bound")
    ticks = [1, 2, 4, 8, 16]
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    ax.set_title("Ten million numbers: how far from the memory's pace?", loc="right")
    fig.savefig(HERE / "_static" / "speed_paths.png", metadata={"Software": None})
    plt.close(fig)

    fig, ax = plt.subplots(figsize=(7.2, 4.2))
    shown = {
        BOUND: plots.THEORY,
        "fast.step_, Numba": {"color": plots.BLUE, "ls": "-"},
        "fast.step_, NumPy in blocks": {"color": plots.BLUE, "ls": (0, (5, 2))},
        "the reference on NumPy": {"color": plots.GREY, "ls": "-"},
        "PyTorch": {"color": plots.VERMILION, "ls": "-"},
        "optax, jitted": {"color": plots.GREEN, "ls": (0, (5, 1.5, 1, 1.5))},
    }
    for path, style in shown.items():
        points = sorted((r["n"], r["ns"]) for r in rows if r["path"] == path)
        if points:
            (line,) = ax.loglog(*zip(*points, strict=True), **{"marker": ".", **style})
            plots.label_line(line, path, dy=LIFTED.get(path, 0))
    ax.set(xlabel="elements", ylabel="ns an element")
    ax.set_title("Small arrays pay for the call, large ones for the memory")
    fig.savefig(HERE / "_static" / "speed_sizes.png", metadata={"Software": None})
    plt.close(fig)


def main() -> None:
    """Store what the command line names, if anything, and write the page."""
    if len(sys.argv) > 1:
        found = shortened(json.loads(Path(sys.argv[1]).read_text("utf-8")))
        STORED.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
    found = json.loads(STORED.read_text("utf-8"))
    PAGE.write_text(page(found, PAGE.read_text("utf-8")), "utf-8")
    draw(found)
    print(PAGE)


if __name__ == "__main__":
    main()
