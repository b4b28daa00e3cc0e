"""The inputs that tell one RMSProp from another: gradients that make each mistake visible.

Each family is a function of the rule and the dtype, because what is telling depends on both:
gradients as small as *this* ε, squares past *this* format's largest number. All numbers are drawn
as integers and scaled by powers of two, so they are numbers of the dtype, and the same on every
machine.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.constant import FORMATS
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.rule import Rule

STEPS = 12  # of a usual input, where the rule's schedule has as many
LONG = 320  # past 256, where a counter of eight bits starts again


class Flag(NamedTuple):
    """A mistake that an input is made to show.

    Attributes
    ----------
    bug_type : str
        What sort of mistake it is: WRONG_RULE, ARITHMETIC, SPECIAL_VALUE, MEMORY or INTERFACE.
    description : str
        The mistake.
    effect : str
        What it did, or would do, to people.
    links : tuple of str
        Where users met it: "owner/repository#number".
    """

    bug_type: str
    description: str
    effect: str
    links: tuple[str, ...] = ()


FLAGS = {
    "Average": Flag(
        "WRONG_RULE",
        "The average is not βv + (1-β)g²: its weights, its order, its start.",
        "Steps are off by a factor that changes as training goes on.",
        ("jax-ml/jax#975", "torch/optim#117"),
    ),
    "EpsilonPlace": Flag(
        "WRONG_RULE",
        "ε stands on the other side of the root, or is not there.",
        "Small gradients count for orders of magnitude more or less: models do not port.",
        ("pytorch/pytorch#23796", "tensorflow/tensorflow#58412", "google-deepmind/optax#532"),
    ),
    "Start": Flag(
        "WRONG_RULE",
        "The average starts elsewhere, or is corrected for its start.",
        "The first steps are up to 1/√(1-β) times as long.",
        ("tensorflow/tensorflow#40670", "torch/optim#130"),
    ),
    "Momentum": Flag(
        "WRONG_RULE",
        "The buffer accumulates something else, or η enters it at another place.",
        "The same once η is constant, another path once it is scheduled.",
        ("pytorch/pytorch#32545", "pytorch/pytorch#46118"),
    ),
    "WeightDecay": Flag(
        "WRONG_RULE",
        "The decay is divided by the root or is not, has the other sign, or another factor.",
        "Regularisation is stronger or weaker than asked for.",
        ("apache/mxnet#5099", "Oneflow-Inc/oneflow#5755"),
    ),
    "Schedule": Flag(
        "WRONG_RULE",
        "The learning rate of another step is used.",
        "Warm-up and decay come a step early or late.",
    ),
    "Cancellation": Flag(
        "ARITHMETIC",
        "v - m² cancels, and may come out negative.",
        "NaN where a gradient hardly varies.",
        ("apache/mxnet#6235",),
    ),
    "Precision": Flag(
        "ARITHMETIC",
        "A coefficient or a slot is kept in a narrower format.",
        "1-β formed in float32 at β = 0.999 is off by 200 units of roundoff.",
    ),
    "Counter": Flag(
        "ARITHMETIC",
        "The step count wraps, or a state is reset after some steps.",
        "A long run goes wrong where no short test looks.",
    ),
    "Scale": Flag(
        "ARITHMETIC",
        "Gradients of one tensor lie many orders of magnitude apart.",
        "A statistic that elements share is right for the largest alone.",
    ),
    "Underflow": Flag(
        "SPECIAL_VALUE",
        "g² or g lies below the smallest normal number.",
        "v is zero where g is not: the step is η g/ε.",
        ("google-deepmind/optax#1784",),
    ),
    "Overflow": Flag(
        "SPECIAL_VALUE",
        "g² lies past the largest number.",
        "v is infinite, and the parameter never moves again; or NaN.",
    ),
    "Zero": Flag(
        "SPECIAL_VALUE",
        "The gradient is zero: at first, always, or with a sign.",
        "0/0 where ε is zero; skipped elements whose average should have decayed.",
        ("pytorch/pytorch#485",),
    ),
    "NotFinite": Flag(
        "SPECIAL_VALUE",
        "The gradient is NaN or infinite.",
        "Swallowed, it hides a failure; spread, it spoils the whole tensor.",
    ),
    "Length": Flag(
        "MEMORY",
        "The length is no multiple of a vector's width, or is 0 or 1.",
        "The last elements are never updated, or memory beyond them is.",
    ),
    "Interface": Flag(
        "INTERFACE",
        "No steps, one step, the same call again.",
        "State kept from one call to the next; inputs changed in place.",
    ),
}


@dataclass(frozen=True, eq=False)
class Case:
    """One test input.

    Attributes
    ----------
    id : str
        Its name: the family of the input; in the suite, after the name of the rule. Never reused.
    rule : Rule
        What is to be computed.
    dtype : str
        In which format.
    theta0 : array, shape (n,)
        The parameters before the first step, in float64: numbers of the dtype.
    grads : array, shape (T, n)
        The gradient of each step, likewise.
    flags : tuple of str
        The mistakes that it catches: keys of ``FLAGS``.
    line : str
        The line of ``reference.py`` that it tests.
    ordinary : bool
        Whether every number is one that a training run could meet: none special, none extreme.
    """

    id: str
    rule: Rule
    dtype: str
    theta0: Floats
    grads: Floats
    flags: tuple[str, ...]
    line: str
    ordinary: bool

    def arrays(self) -> tuple[Any, Any]:
        """Fresh arrays of the dtype, to hand to an implementation."""
        dtype = numpy_dtype(self.dtype)
        return self.theta0.astype(dtype), self.grads.astype(dtype)


class _Draw:
    """What a family of inputs draws from."""

    def __init__(self, name: str, rule: Rule, dtype: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.rule, self.dtype = rule, dtype
        self.bits, self.e_min, self.e_max = FORMATS[dtype]
        self.normal = self.e_min + self.bits - 1  # 2^normal: the smallest normal number
        rates = rule.lr if isinstance(rule.lr, tuple) else (rule.lr,)
        self.rate = float(max(rates)) or 1.0
        self.steps = min(STEPS, len(rates)) if isinstance(rule.lr, tuple) else STEPS

    def floats(self, *shape: int, low: int = -3, high: int = 3, center: float = 1.0) -> Floats:
        """Signs, significands and exponents at random: |x/center| is in [2^low, 2^(high+1))."""
        middle = math.floor(math.log2(center))
        significand = 2 ** (self.bits - 1) + self.rng.integers(2 ** (self.bits - 1), size=shape)
        exponent = middle + self.rng.integers(low, high + 1, size=shape)
        # Where the format has no such numbers, its nearest.
        exponent = np.clip(exponent, self.normal, self.e_max - 1)
        sign = 1 - 2 * self.rng.integers(2, size=shape)
        return np.asarray(np.ldexp(sign * significand.astype(float), exponent - self.bits + 1))

    def theta(self, n: int) -> Floats:
        """Every third parameter at zero, one about as large as a few steps, one at about 1."""
        theta = self.floats(n)
        theta[::3] = 0
        theta[1::3] = self.floats(len(theta[1::3]), center=self.rate)
        return theta

    def usual(self, n: int = 24, steps: int | None = None) -> tuple[Floats, Floats]:
        return self.theta(n), self.floats(self.steps if steps is None else steps, n)

    @property
    def eps(self) -> float:
        rule = self.rule
        return float(rule.eps_out or rule.eps_in or rule.eps_floor or 1e-8)

    @property
    def largest(self) -> float:
        return math.ldexp(2 - 2.0 ** (1 - self.bits), self.e_max - 1)


Made = tuple[Floats, Floats]
_FAMILIES: dict[str, tuple[Callable[[_Draw], Made], tuple[str, ...], str, bool]] = {}

AVERAGE, ROOT, MOVE = "v ← β v + (1-β) g²", "d ← √(v + ε_in) + ε_out", "θ ← θ - η g / d"


def _family(
    *flags: str, line: str = AVERAGE, special: bool = False
) -> Callable[[Callable[[_Draw], Made]], Callable[[_Draw], Made]]:
    def keep(make: Callable[[_Draw], Made]) -> Callable[[_Draw], Made]:
        name = make.__name__.strip("_").replace("_", "-")
        _FAMILIES[name] = make, flags, line, not special
        return make

    return keep


@_family("Average", "Momentum", "WeightDecay", "Schedule", "Precision", line=MOVE)
def _usual(draw: _Draw) -> Made:
    return draw.usual()


@_family("Average", "Start", "Precision", line=MOVE)
def _from_zero(draw: _Draw) -> Made:
    """Nothing of θ's size hides the steps."""
    return np.zeros(24), draw.floats(draw.steps, 24)


@_family("Interface", line=MOVE)
def _one_step(draw: _Draw) -> Made:
    return draw.usual(steps=1)


@_family("Interface", line=MOVE)
def _no_step(draw: _Draw) -> Made:
    return draw.usual(steps=0)


@_family("Scale", "EpsilonPlace")
def _scales(draw: _Draw) -> Made:
    """Many orders of magnitude in one array; not even a sum of squares is a special value."""
    low = max(draw.normal // 2 + 4, -100)
    high = min(draw.e_max // 2 - 8, 99)
    exponents = np.linspace(low, high, 61).astype(int)
    _, grads = draw.usual(61)
    return np.zeros(61), np.ldexp(grads, exponents)


@_family("EpsilonPlace", line=ROOT)
def _root_near_epsilon(draw: _Draw) -> Made:
    """Where √v ≈ ε, ε outside the root matters."""
    return np.zeros(24), draw.floats(draw.steps, 24, low=-4, high=4, center=draw.eps)


@_family("EpsilonPlace", line=ROOT)
def _average_near_epsilon(draw: _Draw) -> Made:
    """Where v ≈ ε, ε inside the root matters."""
    center = math.sqrt(draw.eps)
    return np.zeros(24), draw.floats(draw.steps, 24, low=-4, high=4, center=center)


@_family("Average", "Start")
def _constant(draw: _Draw) -> Made:
    theta, grads = draw.usual()
    grads[:] = grads[:1]
    return theta, grads


@_family("Average", "Start")
def _impulse(draw: _Draw) -> Made:
    """One gradient, and what is left of it."""
    theta, grads = draw.usual()
    grads[1:] = 0
    return theta, grads


@_family("Average", "Momentum")
def _late_impulse(draw: _Draw) -> Made:
    theta, grads = draw.usual()
    grads[: draw.steps // 2] = 0
    grads[draw.steps // 2 + 1 :] = 0
    return theta, grads


@_family("Momentum")
def _alternating(draw: _Draw) -> Made:
    theta, grads = draw.usual()
    grads = np.abs(grads[:1]) * np.resize([1.0, -1.0], (draw.steps, 1))
    return theta, grads


@_family("Average", "Zero")
def _sparse(draw: _Draw) -> Made:
    """Three of four gradients are zero, and the average decays all the same."""
    theta, grads = draw.usual()
    grads[draw.rng.integers(4, size=grads.shape) > 0] = 0
    return theta, grads


@_family("Average", "Precision")
def _falling(draw: _Draw) -> Made:
    """Each gradient about half of the one before: what the average remembers decides."""
    theta, grads = draw.usual()
    return theta, np.ldexp(grads, -np.arange(draw.steps)[:, None] + 3)


@_family("Average")
def _rising(draw: _Draw) -> Made:
    theta, grads = draw.usual()
    half = -(-np.arange(draw.steps)[:, None] // 2) - 3
    return theta, np.ldexp(grads, half)


@_family("WeightDecay", line=MOVE)
def _large_parameters(draw: _Draw) -> Made:
    _, grads = draw.usual()
    return draw.floats(24, low=4, high=7), grads


@_family("WeightDecay", line=MOVE)
def _through_zero(draw: _Draw) -> Made:
    """θ passes through zero, where its own size says nothing of its error."""
    grads = np.abs(draw.floats(draw.steps, 24, low=-1, high=0))
    return np.abs(draw.floats(24, low=0, high=2, center=draw.rate)), grads


@_family("Cancellation", "Start")
def _nearly_constant(draw: _Draw) -> Made:
    """The gradient varies by some units in its last place: v - m² cancels."""
    theta, grads = draw.usual()
    wobble = draw.rng.integers(-4, 5, size=grads.shape)
    _, exponent = np.frexp(grads[:1])
    grads = grads[:1] + np.ldexp(wobble.astype(float), exponent - draw.bits + 3)
    return theta, grads.astype(numpy_dtype(draw.dtype)).astype(np.float64)


@_family("Counter", "Precision")
def _long(draw: _Draw) -> Made:
    rule = draw.rule
    steps = min(LONG, len(rule.lr)) if isinstance(rule.lr, tuple) else LONG
    theta, grads = draw.usual(6, steps=steps)
    # Once the start is forgotten, small gradients show where ε is.
    for pair, center in ((slice(2, 4), draw.eps), (slice(4, 6), math.sqrt(draw.eps))):
        grads[:, pair] = draw.floats(steps, 2, low=-4, high=4, center=center)
    return theta, grads


@_family("Zero", line=ROOT, special=True)
def _zero_first(draw: _Draw) -> Made:
    """The word that does not occur in the first batches: 0/0 there, unless ε is positive."""
    theta, grads = draw.usual()
    grads[:3] = 0
    return theta, grads


@_family("Zero", line=ROOT, special=True)
def _zeros(draw: _Draw) -> Made:
    theta, grads = draw.usual()
    return theta, 0 * np.abs(grads)


@_family("Zero", line=MOVE, special=True)
def _signed_zeros(draw: _Draw) -> Made:
    theta, grads = draw.usual(8)
    theta[:] = np.resize([0.0, -0.0], 8)
    grads[::2] = np.resize([0.0, 0.0, -0.0, -0.0], (len(grads[::2]), 8))
    return theta, grads


@_family("Underflow", line=ROOT, special=True)
def _subnormal(draw: _Draw) -> Made:
    count = 2 ** (draw.bits - 2)
    units = draw.rng.integers(-count, count, size=(draw.steps, 16))
    return np.zeros(16), np.ldexp(units.astype(float), draw.e_min)


@_family("Underflow", line=ROOT, special=True)
def _square_underflow(draw: _Draw) -> Made:
    """The squares of normal gradients are subnormal, or zero."""
    center = 2.0 ** (draw.e_min // 2)
    return np.zeros(16), draw.floats(draw.steps, 16, low=-3, high=6, center=center)


@_family("Scale", "Underflow", "Overflow", special=True)
def _extreme_scales(draw: _Draw) -> Made:
    """From 1e-30 to 1e30 in one array, or as far as the format goes."""
    exponents = np.linspace(max(draw.normal, -100), min(draw.e_max - 5, 99), 61).astype(int)
    _, grads = draw.usual(61)
    grads = np.ldexp(grads, exponents)
    return np.zeros(61), grads.astype(numpy_dtype(draw.dtype)).astype(np.float64)


@_family("Overflow", special=True)
def _square_overflow(draw: _Draw) -> Made:
    """Squares past the largest number: in the first elements, only at one step."""
    theta, grads = draw.usual(16)
    grads[:, :8] = np.where(np.arange(draw.steps)[:, None] == 2, draw.largest / 4, grads[:, :8])
    grads[:, 8:] = draw.floats(draw.steps, 8, low=0, high=2, center=2.0 ** (draw.e_max // 2))
    return theta, grads


@_family("NotFinite", special=True)
def _nan(draw: _Draw) -> Made:
    """In every fourth element, from one step on: there it stays, and nowhere else."""
    theta, grads = draw.usual(16)
    grads[draw.steps // 2, ::4] = np.nan
    return theta, grads


@_family("NotFinite", special=True)
def _infinite(draw: _Draw) -> Made:
    theta, grads = draw.usual(16)
    grads[draw.steps // 2, ::4] = np.resize([np.inf, -np.inf], 4)
    return theta, grads


def _length(n: int) -> None:
    def make(draw: _Draw) -> Made:
        return draw.usual(n, steps=min(3, draw.steps))

    make.__name__ = f"length-{n}"
    _family("Length", line=MOVE)(make)


for _n in (0, 1, 7, 8, 9, 31, 33, 1000):
    _length(_n)

FAMILIES = tuple(_FAMILIES)


@lru_cache(maxsize=64)
def cases(rule: Rule, dtype: str = "float32") -> tuple[Case, ...]:
    """The inputs that test ``rule`` in ``dtype``: one of each family."""
    return tuple(case(name, rule, dtype) for name in FAMILIES)


def case(family: str, rule: Rule, dtype: str, prefix: str = "") -> Case:
    """The input of one family for a rule and a dtype.

    Raises
    ------
    ValueError
        When there is no such family.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family={family!r} is unknown: expected one of {', '.join(FAMILIES)}")
    make, flags, line, ordinary = _FAMILIES[family]
    theta0, grads = make(_Draw(family, rule, dtype))
    for array in (theta0, grads):
        array.setflags(write=False)
    return Case(prefix + family, rule, dtype, theta0, grads, flags, line, ordinary)
