"""A trajectory that somebody's implementation gave, with what it was given: a recording."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rmsprop_ref.constant import FORMATS, dtype_name
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.enclosures import as_inputs, format_name, numpy_dtype


@dataclass(frozen=True, eq=False)
class Recording:
    """Parameters, gradients, and the parameters after each step.

    Attributes
    ----------
    theta0 : array of floats, shape (n,)
        The parameters before the first step.
    grads : array of floats, shape (T, n)
        The gradient of each step.
    trajectory : array of floats, shape (T, n)
        The parameters after each step. Lists will do for all three, and one number a step for one
        parameter.
    dtype : str
        The format in which it was computed: ``"float16"``, ``"bfloat16"``, ``"float32"`` or
        ``"float64"``. Left out, it is that of the arrays.

    Raises
    ------
    TypeError, ValueError
        For what is no such array, shapes that do not fit, numbers that ``dtype`` does not have,
        parameters that are not finite from the start, or no step at all.

    Examples
    --------
    >>> print(Recording([1.0], [[0.5]], [[0.99]]))
    1 step of 1 parameter, float64
    """

    theta0: Floats
    grads: Floats
    trajectory: Floats
    dtype: str = field(default="")

    def __post_init__(self) -> None:
        arrays = {name: _array(name, getattr(self, name)) for name in _ARRAYS}
        dtype = format_name(self.dtype) if self.dtype else dtype_name(arrays["trajectory"])
        if arrays["theta0"].ndim == 0:
            arrays["theta0"] = arrays["theta0"][None]
        for name in ("grads", "trajectory"):
            if arrays[name].ndim == 1 and len(arrays["theta0"]) == 1:
                arrays[name] = arrays[name][:, None]
        assert dtype is not None
        theta0, grads = as_inputs(arrays["theta0"], arrays["grads"], dtype)
        try:
            _, rows = as_inputs(arrays["theta0"], arrays["trajectory"], dtype)
        except ValueError as error:
            raise ValueError(str(error).replace("grads", "trajectory")) from None
        if len(rows) == len(grads) + 1 and np.array_equal(rows[0], theta0):
            rows = rows[1:]  # a row for theta0 before those of the steps
        if len(rows) != len(grads):
            raise ValueError(
                f"trajectory has {len(rows)} rows, grads has {len(grads)}: "
                "expected the parameters after each step, one row for each gradient"
            )
        if not grads.size:
            raise ValueError("the recording is empty: it takes one step of one parameter at least")
        if not np.isfinite(theta0).all():
            bad = int(np.flatnonzero(~np.isfinite(theta0))[0])
            raise ValueError(f"theta0[{bad}]={theta0[bad]!r}: expected finite numbers")
        for name, value in (("theta0", theta0), ("grads", grads), ("trajectory", rows)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "dtype", dtype)

    def __str__(self) -> str:
        steps, n = self.grads.shape
        return f"{steps} step{'s' * (steps != 1)} of {n} parameter{'s' * (n != 1)}, {self.dtype}"

    @classmethod
    def read(cls, path: str | Path) -> Recording:
        """The recording in a JSON file.

        It holds an object with ``theta0``, ``grads`` and ``trajectory``, and mostly ``dtype``: left
        out, it is float32 if no number has more than nine digits, else float64. Numbers are
        JSON's, or strings: decimal, hexadecimal as in the protocol for programs (``"0x1.8p+1"``),
        ``"nan"``, ``"inf"``. What else the object holds is left alone.

        Raises
        ------
        OSError, TypeError, ValueError
            When there is no such file, or something else in it.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds no object: expected one with {', '.join(_ARRAYS)}")
        missing = [name for name in _ARRAYS if name not in content]
        if missing:
            raise ValueError(f"{path} has no {missing[0]}: expected {', '.join(_ARRAYS)}")
        read = {name: _array(name, content[name]) for name in _ARRAYS}
        dtype = format_name(content["dtype"]) if "dtype" in content else _dtype_of(read.values())
        made = {}
        for name, wide in read.items():
            # Decimals stand for the nearest number of the dtype: 0.1 for float32's.
            with np.errstate(over="ignore"):
                made[name] = wide.astype(numpy_dtype(dtype))
        return cls(**made, dtype=dtype)

    def write(self, path: str | Path) -> None:
        """Write it as :meth:`read` reads it, every number exactly.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        content: dict[str, Any] = {"dtype": self.dtype}
        content |= {name: _written(getattr(self, name).tolist()) for name in _ARRAYS}
        text = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
        Path(path).write_text(f"{{{text}}}\n", encoding="utf-8")


_ARRAYS = ("theta0", "grads", "trajectory")


def _array(name: str, value: Any) -> Any:
    """Anything array-like as an array of floats."""
    if hasattr(value, "detach"):  # PyTorch's
        value = value.detach().cpu()
        value = value.float().numpy() if "bfloat16" in str(value.dtype) else value.numpy()
    if isinstance(value, Iterable) and not hasattr(value, "dtype"):
        try:
            value = _numbers(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{name}: {error}") from None
        if any(hasattr(row, "dtype") for row in value):
            value = [np.asarray(row) for row in value]  # rows of any library
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array: its rows differ in length") from error
    if dtype_name(array) not in FORMATS:
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {array.dtype}: expected floats")
        array = array.astype(np.float64)
    return array


def _dtype_of(arrays: Iterable[Any]) -> str:
    """The format that the digits of a file speak of: nine are enough for any float32."""
    numbers = [x for array in arrays for x in np.ravel(array).tolist() if math.isfinite(x)]
    short = all(float(f"{x:.9g}") == x or float(np.float32(x)) == x for x in numbers)
    return "float32" if short else "float64"


def _numbers(value: Any) -> Any:
    """Nested lists, with what is written as text read."""
    if isinstance(value, str):
        try:
            return float.fromhex(value) if "x" in value.lower() else float(value)
        except (ValueError, OverflowError):
            raise ValueError(f"{value!r} is no number") from None
    if value is None or isinstance(value, (bool, dict)):
        raise ValueError(f"{value!r} is no number")
    if isinstance(value, Iterable) and not hasattr(value, "dtype"):
        return [_numbers(x) for x in value]
    return float(value) if isinstance(value, int) else value


def _written(value: Any) -> Any:
    if isinstance(value, list):
        return [_written(x) for x in value]
    return value if math.isfinite(value) else str(value)
