"""Autograd, of the Harvard Intelligent and Probabilistic Systems group: on NumPy."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any

from autograd.misc import optimizers


def rmsprop(theta0: Any, grads: Any, step_size: Any, **arguments: Any) -> Iterator[Any]:
    """``autograd.misc.optimizers.rmsprop``: it has the loop to itself, so it runs in a thread."""
    rows = iter(grads)
    found: queue.Queue[Any] = queue.Queue(1)

    def gradient(theta: Any, t: int) -> Any:
        if t > 0:
            found.put(theta)  # what step t has given
        return next(rows)

    def loop() -> None:
        options = {"num_iters": sys.maxsize, "step_size": step_size, **arguments}
        try:
            with contextlib.suppress(StopIteration):
                optimizers.rmsprop(gradient, theta0, **options)
        finally:
            found.put(None)

    # In a copy of the caller's context, which is where NumPy keeps what to do on overflow.
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(loop,), daemon=True).start()
    while (theta := found.get()) is not None:
        yield theta
