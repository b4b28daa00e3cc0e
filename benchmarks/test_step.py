"""One step of RMSProp, by every path that is installed. `make bench` runs this and writes the page.

What is compared is measured in one process and in turns: in each turn every path once, the bound
among them. A ratio is taken within its turn; the table has the medians over the turns.
"""

import gc

import pytest
from paths import MORE, PATHS, bind, installed

from rmsprop_ref.course.bench import SIZE

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed: make bench")

SIZES = [10**k for k in range(3, 9)]
TURNS = 3
KEPT = 2 * 10**7  # arrays of more elements are made anew each turn: all paths' would not fit
CASES = [
    (n, threads, turn, name)
    for n in SIZES
    for threads in (1, 2)
    for turn in range(TURNS)
    for name, (_, _, parallel) in (PATHS | MORE).items()
    if (threads == 1 or (parallel and n >= 10**5)) and (name in PATHS or (n, threads) == (SIZE, 1))
]
made: dict = {}


def stepper(n, threads, name):
    key = (n, threads)
    if made.get("key") != key or n > KEPT:
        made.clear()
        gc.collect()
        made["key"] = key
    if name not in made:
        made[name] = (PATHS | MORE)[name][0](n, threads)
        for _ in range(3):  # compile, settle
            made[name]()
    return made[name]


@pytest.mark.benchmark(disable_gc=True)
@pytest.mark.parametrize(("n", "threads", "turn", "name"), CASES)
def test_step(benchmark, n, threads, turn, name):
    module = (PATHS | MORE)[name][1]
    if not installed(module):
        pytest.skip(f"{module} is not installed")
    run = stepper(n, threads, name)
    bind(threads)
    iterations = max(1, 3 * 10**5 // n)
    benchmark.extra_info.update(n=n, threads=threads, turn=turn, path=name)
    benchmark.pedantic(run, rounds=5 if n < 10**8 else 1, iterations=iterations, warmup_rounds=1)
