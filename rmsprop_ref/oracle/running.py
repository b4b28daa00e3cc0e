"""Calling an implementation that may do anything: raise, hang, or return something else.

Whatever goes wrong becomes a :class:`Broken` with one sentence, in a bounded time.
"""

from __future__ import annotations

import itertools
import signal
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from rmsprop_ref.adapters import Broken, Unsupported
from rmsprop_ref.constant import dtype_name
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.oracle.inputs import Case

Run = Callable[[Any, Any], Any]


class TimedOut(Broken):
    """It did not return in time."""


class _Alarm(BaseException):
    """Raised inside an implementation when its time is up: ``except Exception`` lets it pass."""


def attempt(run: Run, case: Case, timeout: float, order: Literal["C", "F"] = "C") -> Floats:
    """The trajectory (T, n) that ``run`` gives for a case, as float64.

    ``order`` is the order of the gradients in memory, as NumPy calls it.

    Raises
    ------
    Broken
        When it gives none.
    Unsupported
        When the implementation says that it cannot express the rule.
    """
    theta0, grads = case.arrays()
    grads = np.asarray(grads, order=order)
    before = theta0.tobytes(), grads.tobytes()
    steps = len(grads)

    def consume() -> Floats:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a special value may well warn
            return _trajectory(run(theta0, grads), steps, case)

    got = _bounded(consume, timeout)
    for name, array, kept in zip(("theta0", "grads"), (theta0, grads), before, strict=True):
        if array.tobytes() != kept:
            raise Broken(f"it changed its input {name}: work on a copy")
    return got


def _bounded(consume: Callable[[], Floats], timeout: float) -> Floats:
    """What ``consume`` returns, or Broken.

    In the main thread an alarm interrupts it, so that what is local to a thread (a default device,
    a precision) stays as the caller has set it. Elsewhere it runs in a thread that is abandoned.
    """
    late = TimedOut(f"it did not return within {timeout:g} s")
    try:
        if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
            return _with_alarm(consume, timeout)
        answer: list[Any] = []

        def work() -> None:
            try:
                answer.append(consume())
            except BaseException as error:
                answer.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        worker.join(timeout)
        if not answer:
            raise late
        if isinstance(answer[0], BaseException):
            raise answer[0]
        return np.asarray(answer[0])
    except _Alarm:
        raise late from None
    except (Broken, Unsupported, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise Broken(f"it called sys.exit({error.code!r})") from error
    except BaseException as error:
        said = _said(error)
        raise Broken(f"it raised {type(error).__name__}" + (f": {said}" if said else "")) from error


def _said(error: BaseException) -> str:
    """The message of an exception on one line, if it has one to give."""
    try:
        return " ".join(str(error).split())[:300]
    except Exception:
        return ""


def _with_alarm(consume: Callable[[], Floats], timeout: float) -> Floats:
    def ring(*_: Any) -> None:
        raise _Alarm

    handler = signal.signal(signal.SIGALRM, ring)
    # It rings again and again: a destructor or a callback may have swallowed the first.
    others = signal.setitimer(signal.ITIMER_REAL, timeout, 1.0)
    try:
        return consume()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, *others)


def _trajectory(result: Any, steps: int, case: Case) -> Floats:
    """What came back as float64 (T, n), or Broken."""
    n = len(case.theta0)
    wanted = f"expected the parameters after each step, shape ({steps}, {n}), {case.dtype}"
    if hasattr(result, "shape") and hasattr(result, "dtype"):
        whole = _array(result, case.dtype)
        rows: list[Any] = list(whole) if whole.ndim else []
        if not rows and steps:
            raise Broken(f"it returned an array of shape {whole.shape}: {wanted}")
        if whole.ndim == 2 and whole.shape == (n, steps) != (steps, n):
            raise Broken(f"it returned the transpose, shape {whole.shape}: {wanted}")
    elif isinstance(result, (str, bytes, dict, set)) or not isinstance(result, Iterable):
        raise Broken(f"it returned {_short(result)}: {wanted}")
    else:
        # Copied one by one: a generator may yield one array again and again as it changes.
        rows = [_array(row, case.dtype).copy() for row in itertools.islice(result, steps + 1)]
    if len(rows) == steps + 1 and np.array_equal(rows[0], case.theta0, equal_nan=True):
        raise Broken(f"it returned a row for theta0 before those of the steps: {wanted}")
    for row in rows:
        if row.shape != (n,):
            raise Broken(f"it returned rows of shape {row.shape}: {wanted}")
    if len(rows) != steps:
        count = f"{len(rows)} rows" if len(rows) <= steps else f"more than {steps} rows"
        raise Broken(f"it returned {count}: {wanted}")
    return np.array(rows, np.float64).reshape(steps, n)


def _array(x: Any, dtype: str) -> Any:
    """Anything array-like as a NumPy array of the dtype, or Broken."""
    if hasattr(x, "detach"):  # PyTorch's, perhaps with a gradient, perhaps elsewhere
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":  # NumPy has no such dtype
            x = x.float().numpy().astype(numpy_dtype("bfloat16"))
    array = np.asarray(x)
    if array.size == 0 or dtype_name(array) == dtype:
        return array
    if array.dtype.kind not in "fV" and dtype_name(array) != "bfloat16":
        raise Broken(f"it returned {_short(x)}, dtype {array.dtype}: expected {dtype}")
    if isinstance(x, (list, tuple, float)):  # Python's floats have no other dtype
        with np.errstate(over="ignore"):
            kept = array.astype(numpy_dtype(dtype))
        if np.array_equal(kept.astype(np.float64), array, equal_nan=True):
            return kept
        off = array[(kept.astype(np.float64) != array) & ~np.isnan(array)].flat[0]
        raise Broken(f"it returned {float(off)!r}, which is no {dtype}")
    raise Broken(f"it returned {dtype_name(array)} for {dtype} input")


def _short(x: Any) -> str:
    try:
        text = " ".join(repr(x).split())
    except Exception:
        text = f"an object of type {type(x).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"
