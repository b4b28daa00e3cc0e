"""The reference in place and compiled: the same bits, at the speed of the memory.

One step reads θ, g and v and writes θ and v; nothing else has to pass through the memory. Here the
reference's straight-line program (``trace.py``) is run that way: by a loop that Numba compiles from
it, where Numba is installed (``pip install 'rmsprop-ref[fast]'``), and otherwise by NumPy, a block
at a time, so that what stands between input and output stays in the processor's cache.

>>> import numpy as np
>>> from rmsprop_ref import Rule, init
>>> rule, theta = Rule(lr=0.5), np.ones(3)
>>> state = init(theta, rule)
>>> state = step_(theta, np.array([1.0, -1.0, 0.0]), state, rule)
>>> print(theta.round(4))
[-0.5811  2.5811  1.    ]
"""

from __future__ import annotations

import importlib.util
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import numpy

from rmsprop_ref.constant import Constant
from rmsprop_ref.reference import init
from rmsprop_ref.rule import Rule, check
from rmsprop_ref.trace import trace

# Elements of a block: small enough that its arrays, half a dozen, stay in the cache, large enough
# that calls of NumPy cost little beside their work. Measured: level from 2^16 to 2^19 (chapter 20).
BLOCK = 2**17

Arrays = Sequence[Any]


def init_(theta: Any, rule: Rule) -> Any:
    """The state before the first step: of one array, or of each in a list, a tuple or a dict.

    Raises
    ------
    TypeError
        For a θ that is no array of floats.
    """
    if isinstance(theta, Mapping):
        return {name: init_(array, rule) for name, array in theta.items()}
    if isinstance(theta, (list, tuple)):
        return [init_(array, rule) for array in theta]
    return init(theta, rule)


def step_(theta: Any, grad: Any, state: Any, rule: Rule, *, threads: int = 1) -> Any:
    """One step of RMSProp in place, with the bits of ``reference.step``.

    Parameters
    ----------
    theta : array of float32 or float64, any shape; or a list, tuple or dict of them
        The parameters θ. They are changed. Views and memory-mapped arrays may be given.
    grad : like ``theta``
        The gradient g of the loss at θ, in units of loss over θ. It is read only.
    state : State, or a list or dict of them
        From ``init`` or ``init_``, or from the step before. Its arrays are changed.
    rule : Rule
        What to compute.
    threads : int
        How many threads share the elements of an array.

    Returns
    -------
    State, or a list or dict of them
        The state after the step: the same arrays, and the next step count.

    Raises
    ------
    TypeError
        For anything but NumPy arrays of float32 or float64.
    ValueError
        When shapes, dtypes or the names of arrays differ; when an array that is to be changed is
        read-only, or shares memory with another one; for ``threads`` below 1; when the schedule
        ``lr`` has no value for this step.
    """
    if not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads={threads!r} is not possible: it is a whole number from 1")
    if isinstance(theta, Mapping):
        _same_names(theta, grad=grad, state=state)
        return {n: step_(theta[n], grad[n], state[n], rule, threads=threads) for n in theta}
    if isinstance(theta, (list, tuple)):
        _same_names(range(len(theta)), grad=grad, state=state)
        many = zip(theta, grad, state, strict=True)
        return [step_(*each, rule, threads=threads) for each in many]

    check(theta, grad, state, rule)
    slots = {"v": state.v}
    slots |= {"m": state.m} if rule.centered else {}
    slots |= {"b": state.b} if rule.momentum else {}
    _check_in_place(theta, grad, slots)
    t = state.t + 1
    plan = _plan(rule, t if rule._counts else 1, theta.dtype.name)
    arrays = (theta, grad, *slots.values())
    for part in _parts(arrays, threads):
        if threads == 1 or len(part[0]) < threads:
            plan.kernel(*part, *plan.constants)
        else:
            edges = [len(part[0]) * i // threads for i in range(threads + 1)]
            slices = [slice(*edge) for edge in itertools.pairwise(edges)]
            jobs = [
                _pool(threads).submit(plan.kernel, *(x[s] for x in part), *plan.constants)
                for s in slices
            ]
            for job in jobs:
                job.result()
    return state._replace(t=t)


def backend() -> str:
    """What runs the program: ``"numba"`` where it is installed, else ``"numpy"``."""
    return "numpy" if importlib.util.find_spec("numba") is None else "numba"


def _same_names(names: Any, **others: Any) -> None:
    """Raise unless the collections have the same keys, or the same length."""
    for what, other in others.items():
        there = other if isinstance(other, Mapping) else range(len(other))
        if list(map(str, names)) != list(map(str, there)) and set(names) != set(there):
            odd = sorted(map(str, set(names) ^ set(there)))
            raise ValueError(f"theta and {what} do not belong together: {odd[0]} is in one only")


def _check_in_place(theta: Any, grad: Any, slots: Mapping[str, Any]) -> None:
    written = {"theta": theta} | {f"state.{name}": slot for name, slot in slots.items()}
    for name, array in written.items():
        if not isinstance(array, numpy.ndarray) or array.dtype not in (numpy.float32, float):
            kind = f"{type(array).__name__} of {getattr(array, 'dtype', 'no dtype')}"
            raise TypeError(f"{name} is a {kind}: expected a NumPy array of float32 or float64")
        if not array.flags.writeable:
            raise ValueError(f"{name} is read-only: it is changed in place")
    everything = list((written | {"grad": grad}).items())
    for (one, a), (other, b) in itertools.combinations(everything, 2):
        if numpy.may_share_memory(a, b) and numpy.shares_memory(a, b):
            raise ValueError(f"{one} and {other} share memory: what is changed has its own")


def _parts(arrays: Arrays, threads: int) -> Iterator[Arrays]:
    """The arrays as vectors side by side: views, whatever their shapes and strides."""
    if all(array.flags.c_contiguous for array in arrays):
        yield tuple(array.reshape(-1) for array in arrays)
    elif arrays[0].size:
        modes: Any = [["readwrite"], ["readonly"], *[["readwrite"]] * (len(arrays) - 2)]
        with numpy.nditer(arrays, ["external_loop"], modes) as views:
            yield from views


@lru_cache(maxsize=8)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


# From the program to a kernel


class _Plan(NamedTuple):
    """A kernel that updates vectors in place, and the numbers that it takes."""

    kernel: Callable[..., None]
    constants: tuple[Any, ...]


class _Line(NamedTuple):
    """``registers[target] = op(operands)``; an operand below 0 is the constant ``-1 - operand``."""

    target: int
    op: str
    operands: tuple[int, ...]


class _Skeleton(NamedTuple):
    """A program without its numbers: steps of one rule that differ in numbers share a kernel."""

    inputs: tuple[str, ...]
    lines: tuple[_Line, ...]
    outputs: tuple[tuple[int, int], ...]  # which input is replaced, by which register


@lru_cache(maxsize=64)
def _plan(rule: Rule, t: int, dtype: str) -> _Plan:
    program = trace(rule, t)
    registers = {name: i for i, name in enumerate(program.inputs)}
    constants: list[Constant] = []
    lines: list[_Line] = []
    for name, op, operands in program.lines:
        numbers = [x for x in operands if not isinstance(x, str)]
        if op == "+" and numbers == [0]:  # x + 0.0 is x: no sum here is ever -0.0
            registers[name] = registers[str(operands[0])]
            continue
        places = []
        for x in operands:
            if isinstance(x, str):
                places.append(registers[x])
            else:
                constants.append(x)
                places.append(-len(constants))
        registers[name] = len(program.inputs) + len(lines)
        lines.append(_Line(registers[name], op, tuple(places)))
    outputs = tuple((registers[name], registers[x]) for name, x in program.outputs)
    skeleton = _Skeleton(program.inputs, tuple(lines), outputs)
    like = numpy.zeros(1, dtype)
    return _Plan(_kernel(skeleton, dtype), tuple(x.like(like) for x in constants))


@lru_cache(maxsize=64)
def _kernel(skeleton: _Skeleton, dtype: str) -> Callable[..., None]:
    return _compiled(skeleton) if backend() == "numba" else _Blocked(skeleton, dtype)


def _compiled(skeleton: _Skeleton) -> Callable[..., None]:
    """The program as one loop, compiled by Numba when it first meets a dtype.

    ``fastmath`` stays off, so that nothing is reassociated or contracted; the error model is
    NumPy's, for a test for a zero divisor would keep the loop from being vectorised.
    """
    import numba

    count = sum(place < 0 for line in skeleton.lines for place in line.operands)
    constants = [f"c{i}" for i in range(count)]
    loads = [f"x{i} = {name}[i]" for i, name in enumerate(skeleton.inputs)]
    formulas = {"sqrt": "sqrt({0})", "max": "({1} if {0} < {1} else {0})"}
    lines = []
    for target, op, places in skeleton.lines:
        operands = [f"c{-1 - place}" if place < 0 else f"x{place}" for place in places]
        lines.append(f"x{target} = {formulas.get(op, '{0} ' + op + ' {1}').format(*operands)}")
    stores = [f"{skeleton.inputs[i]}[i] = x{register}" for i, register in skeleton.outputs]
    body = "\n        ".join([*loads, *lines, *stores])
    source = f"""def kernel({", ".join([*skeleton.inputs, *constants])}):
    for i in range({skeleton.inputs[0]}.shape[0]):
        {body}
"""
    names: dict[str, Any] = {"sqrt": numpy.sqrt}
    exec(source, names)
    compiled: Callable[..., None] = numba.njit(nogil=True, error_model="numpy")(names["kernel"])
    return compiled


_UFUNCS = {
    "+": numpy.add,
    "-": numpy.subtract,
    "*": numpy.multiply,
    "/": numpy.divide,
    "sqrt": numpy.sqrt,
}


class _Blocked:
    """The program as NumPy's ufuncs, a block at a time, with scratch space that is used again."""

    def __init__(self, skeleton: _Skeleton, dtype: str) -> None:
        self.skeleton, self.dtype = skeleton, dtype
        self.straight = _straight(skeleton)
        self.slots, self.needed = _allocated(skeleton, self.straight)
        self.local = threading.local()  # each thread has its own scratch space

    def __call__(self, *given: Any) -> None:
        count = len(self.skeleton.inputs)
        arrays = given[:count]
        constants = [numpy.asarray(x) for x in given[count:]]  # a scalar is converted at each use
        if not hasattr(self.local, "scratch"):
            self.local.scratch = [numpy.empty(BLOCK, self.dtype) for _ in range(self.needed)]
            self.local.mask = numpy.empty(BLOCK, bool)
        with numpy.errstate(all="ignore"):
            for start in range(0, len(arrays[0]), BLOCK):
                self._block([array[start : start + BLOCK] for array in arrays], constants)

    def _block(self, arrays: list[Any], constants: Sequence[Any]) -> None:
        n = len(arrays[0])
        registers = dict(enumerate(arrays))
        for target, op, places in self.skeleton.lines:
            operands = [constants[-1 - p] if p < 0 else registers[p] for p in places]
            if target in self.straight:
                out = registers[target] = arrays[self.straight[target]]
            else:
                out = registers[target] = self.local.scratch[self.slots[target]][:n]
            if op == "max":  # not numpy.maximum, of which one operand may be NaN
                value, floor = operands
                numpy.copyto(out, value)
                numpy.less(value, floor, out=self.local.mask[:n])
                numpy.copyto(out, floor, where=self.local.mask[:n])
            else:
                _UFUNCS[op](*operands, out=out)
        for i, register in self.skeleton.outputs:
            if register not in self.straight:
                numpy.copyto(arrays[i], registers[register])


def _straight(skeleton: _Skeleton) -> dict[int, int]:
    """The results that go straight to their array: what was in it is not read after that."""
    read = {p: k for k, line in enumerate(skeleton.lines) for p in line.operands}
    made = {line.target: k for k, line in enumerate(skeleton.lines)}
    registers = [register for _, register in skeleton.outputs]
    return {
        register: i
        for i, register in skeleton.outputs
        if register in made and registers.count(register) == 1 and read.get(i, -1) <= made[register]
    }


def _allocated(skeleton: _Skeleton, straight: Iterable[int]) -> tuple[dict[int, int], int]:
    """A place in the scratch space for each line: that of a number which is needed no more."""
    last = {p: i for i, line in enumerate(skeleton.lines) for p in line.operands}
    last |= {register: len(skeleton.lines) for _, register in skeleton.outputs}
    slots: dict[int, int] = {}
    free: list[int] = []
    needed = 0
    for i, line in enumerate(skeleton.lines):
        free += [slots[p] for p in set(line.operands) if p in slots and last[p] == i]
        if line.target in straight:
            continue
        if not free:
            free.append(needed)
            needed += 1
        slots[line.target] = free.pop()
    return slots, needed
