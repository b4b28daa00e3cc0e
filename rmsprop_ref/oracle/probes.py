"""Gradients that show which rule a black box computes."""

from __future__ import annotations

import numpy as np

from rmsprop_ref.adapters import Broken
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.oracle.inputs import Case
from rmsprop_ref.oracle.recording import Recording
from rmsprop_ref.oracle.running import Run, TimedOut, attempt
from rmsprop_ref.rule import Rule

_STEPS = 20
# The size of the gradients of each element. An ε shows itself where they are about as small; one
# inside the root, at its square root.
_SIZES = (1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 30.0, 0.1, 1.0, 1e-2)
_NARROW = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 0.1, 1.0, 0.5, 0.1, 1.0, 1e-2)  # float16's squares


def probe(run: Run, dtype: str | None, timeout: float) -> Recording:
    """What a black box answers to gradients of many sizes.

    Raises
    ------
    Broken
        When it gives no trajectory, or another one each time.
    """
    for name in ("float64", "float32") if dtype is None else (dtype,):
        case = _case(name)
        try:
            got = attempt(run, case, timeout)
            again = attempt(run, case, timeout)
        except TimedOut:
            raise
        except Broken:
            if dtype is None and name == "float64":
                continue
            raise
        if not np.array_equal(got, again, equal_nan=True):
            raise Broken("it is not repeatable: the same input gives another result each time")
        return Recording(case.theta0, case.grads, got, name)
    raise AssertionError


def _case(dtype: str) -> Case:
    """Random signs and sizes; three elements end differently: in zeros, an impulse, a constant."""
    rng = np.random.default_rng(20121)
    sizes = _NARROW if dtype == "float16" else _SIZES
    grads = rng.normal(size=(_STEPS, len(sizes))) * sizes * 2.0 ** rng.integers(-2, 3, (_STEPS, 1))
    grads[5:12, -3] = 0.0  # a buffer goes on, weight decay too
    grads[1:-3, -2] = 0.0
    grads[:, -1] = np.abs(grads[:, -1]) + sizes[-1]  # one sign: centering shows
    theta0 = rng.normal(size=len(sizes))
    theta0[-3:] *= 8.0
    kept = [x.astype(numpy_dtype(dtype)).astype(np.float64) for x in (theta0, grads)]
    return Case("probe", Rule(), dtype, kept[0], kept[1], (), "", True)
