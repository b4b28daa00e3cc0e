"""Experiments too long for a notebook: ``make experiments`` computes them, tests draw samples.

An experiment is a function of one job, a few numbers and names, that returns numbers. All its jobs
together are independent, so any executor of the form of :mod:`concurrent.futures` runs them: a pool
of processes, which is the default, or a Dask cluster's. The results lie in ``course/data``, one
JSON file an experiment, beside the jobs, the versions and the command that gave them.

>>> job, result = stored("edge")[0]
>>> job, sorted(result)
({'beta': 0.5, 'seed': 0}, ['along', 'first', 'second'])
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DATA = Path(__file__).parent / "data"
# Each module that has experiments names them in EXPERIMENTS; here is where each is.
MODULES: dict[str, str] = {
    "audit": "rmsprop_ref.course.audit",
    "audit_vanishing": "rmsprop_ref.course.audit",
    "digit_rates": "rmsprop_ref.course.convnet",
    "digits": "rmsprop_ref.course.convnet",
    "edge": "rmsprop_ref.course.dynamics",
    "imbalance": "rmsprop_ref.course.imbalance",
    "sequences": "rmsprop_ref.course.recurrent",
    "surfaces": "rmsprop_ref.course.surfaces",
}

Job = dict[str, Any]
Result = dict[str, Any]


class Experiment(NamedTuple):
    """What is computed.

    Attributes
    ----------
    run : callable
        ``run(**job)`` gives the results of one job: a dict of numbers, or of lists of numbers. It
        depends on the job alone, its seed among it, and is found by its name in its module, so that
        another process can call it.
    jobs : list of dict
        The arguments of all calls: numbers, strings, lists of them.
    within : float
        The relative accuracy to which another machine reproduces a number of the results. Training
        amplifies rounding; how much, is measured where the experiment is defined.
    sample : tuple of int
        The jobs that the tests compute anew, by their place in ``jobs``: a few seconds together.
    """

    run: Callable[..., Result]
    jobs: list[Job]
    within: float
    sample: tuple[int, ...]


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises
    ------
    KeyError
        For a name that no experiment has.
    """
    if name not in MODULES:
        raise KeyError(f"no experiment {name!r}: there are {', '.join(sorted(MODULES))}")
    found: Experiment = importlib.import_module(MODULES[name]).EXPERIMENTS[name]
    return found


def compute(name: str, executor: Executor, *, show: bool = False) -> list[tuple[Job, Result]]:
    """Run all jobs of an experiment.

    Parameters
    ----------
    name : str
        Which experiment.
    executor : concurrent.futures.Executor
        Where: ``ProcessPoolExecutor(...)``, a Dask client's ``client.get_executor()``, or any other
        with ``submit``.
    show : bool
        Whether to show a progress bar (tqdm's, on stderr).
    """
    from tqdm import tqdm

    what = experiment(name)
    futures = {executor.submit(what.run, **job): i for i, job in enumerate(what.jobs)}
    results: dict[int, Result] = {}
    bar = tqdm(as_completed(futures), total=len(futures), desc=name, unit="job", disable=not show)
    for future in bar:
        results[futures[future]] = future.result()
    return [(job, results[i]) for i, job in enumerate(what.jobs)]


def short(values: Any) -> list[float | None]:
    """Numbers for a result: six digits of each, and None for what is not finite."""
    return [float(f"{x:.6g}") if np.isfinite(x) else None for x in np.asarray(values, float)]


def write(name: str, table: Sequence[tuple[Job, Result]], seconds: float) -> Path:
    """Store the results of an experiment, with what gave them."""
    path = DATA / f"{name}.json"
    head = {
        "experiment": name,
        "command": f"make experiments EXPERIMENTS={name}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "machine": platform.machine(),
        "seconds": round(seconds),
    }
    lines = [json.dumps({"job": job, "result": result}) for job, result in table]
    text = (
        json.dumps(head, indent=1)[:-2] + ',\n "table": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    )
    DATA.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def stored(name: str) -> list[tuple[Job, Result]]:
    """The stored results: a job and its result each, in the order of the experiment's jobs.

    Raises
    ------
    FileNotFoundError
        When the experiment was never computed: says which command does it.
    """
    path = DATA / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there yet: make experiments EXPERIMENTS={name}")
    table = json.loads(path.read_text(encoding="utf-8"))["table"]
    return [(row["job"], row["result"]) for row in table]


def worst_difference(left: Any, right: Any) -> float:
    """The largest relative difference between two results of the same form; inf if forms differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return float("inf")
        return max((worst_difference(left[key], right[key]) for key in left), default=0.0)
    a, b = np.asarray(left, float), np.asarray(right, float)
    if a.shape != b.shape:
        return float("inf")
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    scale = np.maximum(np.abs(a), np.abs(b))
    apart = np.divide(np.abs(a - b), scale, out=np.zeros(a.shape), where=~same)
    return float(np.max(apart, initial=0.0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute the experiments that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="python -m rmsprop_ref.course.experiments")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; by default all")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler, in their place")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.names if name not in MODULES]
    if unknown:
        parser.error(f"no experiment {unknown[0]!r}: there are {', '.join(sorted(MODULES))}")

    if asked.dask:
        client = importlib.import_module("distributed").Client(asked.dask)
        executor: Executor = client.get_executor()
    else:
        # One job, one core: set before the processes import NumPy, each anew.
        for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(threads, "1")
        executor = ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn"))
    with executor:
        for name in asked.names or sorted(MODULES):
            start = time.perf_counter()
            table = compute(name, executor, show=sys.stderr.isatty())
            print(write(name, table, time.perf_counter() - start))


if __name__ == "__main__":
    main()
