"""What is computed: a :class:`Rule`. What is carried from step to step: a :class:`State`.

"RMSProp" names at least a dozen algorithms. A Rule says which: its fields are the axes on which
real implementations differ, and its defaults are the plain rule. Here are names, ranges and
messages only; what the fields do is in ``reference.py``, one line for each.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, wraps
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import numpy

from rmsprop_ref.constant import FORMATS, Constant, dtype_name, exact

# Each number: its largest legal value (the smallest is 0) and what it is.
_NUMBERS = {
    "lr": (math.inf, "the learning rate"),
    "beta": (1, "the weight of the old average"),
    "eps_in": (math.inf, "the epsilon added inside the square root"),
    "eps_out": (math.inf, "the epsilon added outside the square root"),
    "eps_floor": (math.inf, "the smallest denominator allowed"),
    "v0": (math.inf, "the value at which the average of squares starts"),
    "momentum": (1, "the weight of the old momentum buffer"),
    "weight_decay": (math.inf, "the strength of the weight decay"),
}
_CHOICES = {
    "bias_correction": (True, False),
    "centered": (True, False),
    "nesterov": (True, False),
    "lr_in_buffer": (True, False),
    "momentum_on": ("step", "gradient"),
    "weight_decay_form": ("l2", "decoupled", "decoupled_unscaled"),
}

# What other libraries call the same thing.
_EPS = "eps_out (added to the root) or eps_in (added under the root): libraries differ"
_ELSEWHERE = {
    **dict.fromkeys(("learning_rate", "learningRate", "eta"), "lr"),
    **dict.fromkeys(("step_size", "stepsize", "step_rate"), "lr"),
    **dict.fromkeys(("rho", "alpha", "decay", "gamma", "gamma1", "beta2", "beta_2"), "beta"),
    **dict.fromkeys(("decay_rate", "rms_decay", "rmsDecay", "smoothing_constant"), "beta"),
    **dict.fromkeys(("sqr_mom", "ro"), "beta"),
    **dict.fromkeys(("eps", "epsilon", "delta", "diagonal_eps"), _EPS),
    **dict.fromkeys(("eps_in_sqrt", "eps_inside_sqrt"), "eps_in, which is a number and no flag"),
    **dict.fromkeys(("decouple_wd", "decoupled_decay"), 'weight_decay_form="decoupled"'),
    **dict.fromkeys(("initial_scale", "initialMean", "initial_accumulator_value"), "v0"),
    **dict.fromkeys(("mu", "mom", "gamma2", "beta1", "beta_1"), "momentum"),
    **dict.fromkeys(("wd", "weightDecay", "l2"), "weight_decay"),
    **dict.fromkeys(("lr_in_momentum",), "lr_in_buffer"),
    **dict.fromkeys(("centred",), "centered"),
    **dict.fromkeys(("max_scaling",), "eps_floor, which is 1/max_scaling"),
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One RMSProp, in real numbers. Immutable, hashable, checked when made.

    Numbers are binary64 and stand for exactly themselves: ``beta=0.9`` is the double nearest to
    nine tenths. Symbols of SymPy are accepted wherever a number is.

    Attributes
    ----------
    lr : float or sequence of float
        Learning rate η, in units of θ: how far one step goes when the gradient is as large as its
        running magnitude. A sequence is a schedule: one value a step.
    beta : float in [0, 1]
        Weight β of the old average. Called rho, alpha, decay or gamma elsewhere.
    eps_in : float
        ε inside the root, in units of the gradient squared.
    eps_out : float
        ε outside the root, in units of the gradient: the denominator is
        ``sqrt(a + eps_in) + eps_out``. Left out, it is 1e-8; or 0, where another ε is given.
    eps_floor : float
        The denominator is never less than this (Blocks, Pylearn2: 1/max_scaling).
    v0 : float or "first_square"
        Where the average of squares starts: 0; 1 (TensorFlow 1); or the first squared gradient.
    bias_correction : bool
        Divide the averages by 1-β^t, as Adam does (Kingma & Ba 2015, section 3). That undoes a
        start at zero; from another number ``v0`` the division is made all the same, as in optax.
    centered : bool
        Subtract the squared mean gradient: a variance, not a second moment (Graves 2013).
    momentum : float in [0, 1]
        Weight μ of the old momentum buffer. 0: no buffer, and its other fields mean nothing.
    momentum_on : "step" or "gradient"
        What the buffer accumulates: normalised steps; or gradients, undivided (fastai).
    nesterov : bool
        Take the step that the buffer would take next (Nesterov 1983, as optax writes it).
    lr_in_buffer : bool
        The learning rate enters the buffer (TensorFlow), or multiplies it on the way out (PyTorch).
        The two differ once the learning rate changes.
    weight_decay : float
        Strength λ of the weight decay.
    weight_decay_form : "l2", "decoupled" or "decoupled_unscaled"
        λθ is added to the gradient; or θ shrinks before the step by ηλθ; or by λθ.

    Raises
    ------
    ValueError
        For a value out of range, or a combination without meaning.
    TypeError
        For a value of the wrong kind, or a name that is no field.

    Examples
    --------
    >>> Rule(lr=0.01, beta=1.5)
    Traceback (most recent call last):
        ...
    ValueError: beta=1.5 is out of range: the weight of the old average lies in [0, 1]
    >>> Rule(rho=0.9)
    Traceback (most recent call last):
        ...
    TypeError: Rule has no field 'rho': here it is called beta
    """

    lr: Any = 0.01
    beta: Any = 0.9
    eps_in: Any = 0.0
    eps_out: Any = 1e-8
    eps_floor: Any = 0.0
    v0: Any = 0.0
    bias_correction: bool = False
    centered: bool = False
    momentum: Any = 0.0
    momentum_on: Literal["step", "gradient"] = "step"
    nesterov: bool = False
    lr_in_buffer: bool = False
    weight_decay: Any = 0.0
    weight_decay_form: Literal["l2", "decoupled", "decoupled_unscaled"] = "l2"

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            many = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
            if name == "lr" and (many or getattr(value, "ndim", 0) == 1):
                checked: Any = tuple(_number(name, rate, f"[{i}]") for i, rate in enumerate(value))
                if not checked:
                    raise ValueError(f"lr={value!r} is an empty schedule: give one value a step")
            elif name == "v0" and isinstance(value, str) and value == "first_square":
                checked = value
            else:
                checked = _number(name, value)
            object.__setattr__(self, name, checked)
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            value = bool(value) if isinstance(value, numpy.bool_) else value
            if type(value) is not type(choices[0]) or value not in choices:
                legal = " or ".join(map(repr, choices))
                raise ValueError(f"{name}={value!r} is not possible: {name} is {legal}")
            object.__setattr__(self, name, value)
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                "nesterov=True with momentum=0 has no meaning: momentum lies in (0, 1]"
            )
        if self.bias_correction and self.beta == 1:
            raise ValueError(
                "bias_correction=True with beta=1 divides by 1-β^t = 0: beta < 1 there"
            )
        if self.bias_correction and self.v0 == "first_square":
            raise ValueError("bias_correction=True has no meaning with v0='first_square': no bias")

    @cached_property
    def is_plain(self) -> bool:
        """Whether only lr, beta, eps_in, eps_out and a number v0 differ from the defaults."""
        plain = Rule(
            lr=self.lr,
            beta=self.beta,
            eps_in=self.eps_in,
            eps_out=self.eps_out,
            v0=0.0 if self.v0 == "first_square" else self.v0,
        )
        return self == plain

    def constants(self, t: Any) -> SimpleNamespace:
        """The numbers of step ``t`` (from 1), exact: each rounds once, when it meets an array.

        Raises
        ------
        ValueError
            When ``lr`` is a schedule that has no value for step ``t``.
        """
        values = dict(self._exact)
        if isinstance(self.lr, tuple):
            count = operator.index(t)
            if not 1 <= count <= len(self.lr):
                raise ValueError(
                    f"step {count} has no learning rate: the schedule lr has {len(self.lr)}"
                )
            values["lr"] = values["lr"][count - 1]
        return SimpleNamespace(**values)

    @cached_property
    def _exact(self) -> dict[str, Any]:
        return {name: exact(getattr(self, name)) for name in _NUMBERS}

    @cached_property
    def _symbols(self) -> list[str]:
        """The values that no array can meet: symbols, and irrational ones."""
        return [
            f"{name}={x}"
            for name, value in self._exact.items()
            for x in (value if isinstance(value, tuple) else (value,))
            if not isinstance(x, (Constant, str))
        ]

    @cached_property
    def _counts(self) -> bool:
        """Whether a step depends on its number."""
        return isinstance(self.lr, tuple) or self.bias_correction or self.v0 == "first_square"


def _names_only(init: Any) -> Any:
    """Rule's generated ``__init__``, after a look at the names: a wrong one is told what to say."""
    known = [field.name for field in fields(Rule)]

    @wraps(init)
    def checked(self: Rule, *args: Any, **named: Any) -> None:
        if args:
            raise TypeError(f"Rule takes its numbers by name: Rule(lr={args[0]!r}, beta=…)")
        for name in named:
            if name not in known:
                hint = f"it has {', '.join(known)}"
                if name in _ELSEWHERE:
                    hint = f"here it is called {_ELSEWHERE[name]}"
                elif close := difflib.get_close_matches(name, known, 1):
                    hint = f"did you mean {close[0]}?"
                raise TypeError(f"Rule has no field {name!r}: {hint}")
        init(self, **named)
        # Rule(eps_in=1e-7) says where ε is: the default outside would be a second one.
        if "eps_out" not in named and (self.eps_in != 0 or self.eps_floor != 0):
            object.__setattr__(self, "eps_out", 0.0)

    return checked


Rule.__init__ = _names_only(Rule.__init__)  # type: ignore[method-assign]


class State(NamedTuple):
    """What one step leaves for the next. Arrays have θ's shape and dtype.

    Attributes
    ----------
    t : int
        Steps taken.
    v : array
        The running average of squared gradients, the second moment.
    m : array or None
        The running average of gradients; None unless the rule is centered.
    b : array or None
        The momentum buffer; None unless the rule has momentum.
    """

    t: int
    v: Any
    m: Any = None
    b: Any = None


def _number(name: str, value: Any, place: str = "") -> Any:
    """``value`` as a float that is exactly itself, or an error that names the field."""
    largest, meaning = _NUMBERS[name]
    legal = f"{meaning} lies in [0, {'∞)' if largest == math.inf else '1]'}"
    legal += {"v0": ", or is 'first_square'", "lr": " (a list gives one a step)"}.get(name, "")
    if getattr(value, "ndim", None) == 0:  # a NumPy scalar or a 0-d array of any library
        with contextlib.suppress(Exception):  # it may have no value, as while jax.jit traces
            value = value.item()
    try:
        here = f"{name}{place}={value!r}"
    except ValueError:  # Python does not print integers of more than 4300 digits
        here = f"{name}{place}, an integer of {value.bit_length()} bits,"
    claim = getattr(value, "is_Relational", False) or getattr(value, "is_Boolean", False)
    if hasattr(value, "is_nonnegative") and not claim:  # a symbol or number of SymPy
        # Refused only where it is provably out of range, or a number that is not real and finite.
        unreal = value.is_finite is False or not (value.free_symbols or value.is_finite)
        if unreal or value.is_nonnegative is False or (value > largest) == True:  # noqa: E712
            raise ValueError(f"{here} is out of range: {legal}")
        # SymPy's floating-point numbers are as exact as Python's, but unequal to its integers.
        return float(value) if getattr(value, "is_Float", False) else value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{here} is not a real number: {legal}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number <= largest or number == math.inf:  # a NaN fails the first comparison
        raise ValueError(f"{here} is out of range: {legal}")
    if number != value:
        raise ValueError(f"{here} is not a binary64 number: the nearest is {number!r}")
    return number + 0.0  # -0.0 becomes 0.0


def check_theta(theta: Any, rule: Rule) -> tuple[tuple[int, ...], str | None]:
    """The shape and dtype of θ, if it is a floating-point array or number and ``rule`` fits it.

    Raises
    ------
    TypeError
        When it is not; or when θ has a dtype and the rule has symbols.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule is {rule!r}: expected a Rule")
    shape, dtype = _kind("theta", theta)
    if dtype is not None and rule._symbols:
        raise TypeError(
            f"{rule._symbols[0]} is a symbol, and theta has dtype {dtype}: give a number"
        )
    return shape, dtype


def check(theta: Any, grad: Any, state: State, rule: Rule) -> None:
    """Raise unless θ, g and the state fit each other and the rule.

    Raises
    ------
    TypeError
        For something that is no floating-point array, number, State or Rule; for arrays of two
        libraries; for a step count without a value where the rule needs one.
    ValueError
        For a shape or dtype that differs from θ's, a negative step count, or a state that lacks
        what the rule needs.
    """
    shape, dtype = check_theta(theta, rule)
    if not isinstance(state, State):
        raise TypeError(f"state is {state!r}: expected a State, as init(theta, rule) makes it")
    _check_count(state.t, rule)
    arrays = {"grad": grad, "state.v": state.v}
    for name, needed in (("m", rule.centered), ("b", rule.momentum != 0)):
        if needed:
            arrays[f"state.{name}"] = getattr(state, name)
            if arrays[f"state.{name}"] is None:
                raise ValueError(
                    f"state.{name} is None, but this rule needs it: start from init(theta, rule)"
                )
    library = _library(theta)
    for name, array in arrays.items():
        if (_library(array) == "torch") != (library == "torch"):
            raise TypeError(
                f"{name} is of {_library(array)}, theta of {library}: "
                "give tensors to both, and xp=torch to init and step"
            )
        other = _kind(name, array)
        if other != (shape, dtype):
            kinds = [kind or type(x).__name__ for kind, x in ((other[1], array), (dtype, theta))]
            raise ValueError(
                f"{name} has shape {other[0]} and dtype {kinds[0]}, "
                f"theta has shape {shape} and dtype {kinds[1]}: they must be the same"
            )


def _check_count(t: Any, rule: Rule) -> None:
    if hasattr(t, "free_symbols"):  # a symbol, for the algebra
        return
    try:
        count = operator.index(t)
    except TypeError as error:
        # While jax.jit traces, t is an array without a value: fine where nothing depends on it.
        if hasattr(t, "dtype") and not rule._counts:
            return
        raise TypeError(
            f"state.t is {t!r}: expected an integer (under jax.jit keep it out of what is traced: "
            "a schedule, bias correction and v0='first_square' depend on it)"
        ) from error
    if count < 0:
        raise ValueError(f"state.t={count} is negative: it counts the steps taken, from 0")


def _library(x: Any) -> str:
    return str(type(x).__module__).partition(".")[0]


def _kind(name: str, x: Any) -> tuple[tuple[int, ...], str | None]:
    dtype = dtype_name(x)
    numberless = (bool, complex, str, bytes, list, tuple, dict, set, type(None))
    # An integer is a fine gradient where numbers are exact (SymPy), not where a dtype counts.
    if isinstance(x, numberless) or (name == "theta" and isinstance(x, int)):
        raise TypeError(f"{name} is {x!r}: expected a floating-point array or number")
    if dtype is not None and dtype not in FORMATS:
        raise TypeError(f"{name} has dtype {dtype}: expected one of {', '.join(FORMATS)}")
    return tuple(getattr(x, "shape", ())), dtype
