"""A named library's RMSProp: its own arguments in, a Rule out, and back."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, NamedTuple

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import Arithmetic
from rmsprop_ref.rule import Rule

# What an argument of a library stands for, wherever a library has an argument of that name.
_MEANING: dict[str, Callable[[Rule], Any]] = {
    **dict.fromkeys(
        ("lr", "learning_rate", "learningRate", "eta", "step_size", "step_rate"), lambda r: r.lr
    ),
    **dict.fromkeys(
        ("alpha", "rho", "decay", "gamma", "gamma1", "beta2", "beta"), lambda r: r.beta
    ),
    **dict.fromkeys(("decay_rate", "rms_decay", "rmsDecay", "sqr_mom", "ro"), lambda r: r.beta),
    **dict.fromkeys(("stepSize", "base_lr", "gimel"), lambda r: r.lr),
    "aleph": lambda r: r.beta,
    **dict.fromkeys(("eps", "epsilon", "delta", "daleth"), lambda r: r.eps_in or r.eps_out),
    **dict.fromkeys(("momentum", "mu", "mom", "gamma2", "beta1", "beth"), lambda r: r.momentum),
    **dict.fromkeys(("centered", "centred"), lambda r: r.centered),
    **dict.fromkeys(
        ("initial_scale", "initial_mean", "initialMean", "ms", "mean_squares"),
        lambda r: r.v0 if isinstance(r.v0, float) else 0.0,
    ),
    **dict.fromkeys(
        ("weight_decay", "weightDecay", "wd", "l2_decay", "penalty"), lambda r: r.weight_decay
    ),
    **dict.fromkeys(("wc", "l2reg", "weight_decay_factor"), lambda r: r.weight_decay),
    "nesterov": lambda r: r.nesterov,
    "bias_correction": lambda r: r.bias_correction,
    "max_scaling": lambda r: 1 / r.eps_floor if r.eps_floor else math.inf,
}


class Claim(NamedTuple):
    """What a library's documentation promises, to be held against what it does.

    Attributes
    ----------
    arguments : dict
        The library's arguments for which the promise is made.
    rule : Rule
        What the documentation says that they compute.
    source : str
        Where it says so.
    """

    arguments: Mapping[str, Any]
    rule: Rule
    source: str


class Setting(NamedTuple):
    """What a library computes with given arguments.

    Attributes
    ----------
    rule : Rule
        What, in real numbers.
    arithmetic : Arithmetic or None
        How it is rounded on a CPU; None where that is not known.
    arguments : dict
        All arguments, with the library's own defaults filled in.
    dialect : Dialect
        Whose they are: version, source, discussions.
    """

    rule: Rule
    arithmetic: Arithmetic | None
    arguments: dict[str, Any]
    dialect: Dialect


@dataclass(frozen=True)
class Dialect:
    """A library's RMSProp. Called with the library's own arguments, it gives a :class:`Setting`.

    Attributes
    ----------
    name : str
        What it is called here, ``"pytorch"``.
    library : str
        The library and what it calls its optimiser, ``"PyTorch, torch.optim.RMSprop"``.
    version : str
        The version or commit that was read or run.
    source : str
        The file that says so.
    function : callable
        The library's arguments, with their defaults, to a Rule (or a Rule and an Arithmetic).
    arithmetic : Arithmetic or None
        How its CPU path rounds, where that is known.
    status : str
        ``"run"``: the library itself was put before the oracle (see the atlas). ``"read"``: its
        source was read. ``"told"``: neither could be had; the secondary source is named.
    discussions : tuple of str
        Where users met a difference, as ``owner/repository#number``.
    claims : tuple of Claim
        What its documentation says, where what it does is something else.
    language : str
        In which it is written.
    not_expressible : tuple of str
        What it can do that no Rule says, and why.
    false_friends : tuple of str
        Arguments whose names mean something else in other libraries. The inverse leaves them out.
    means : dict
        Arguments whose names mean another field of the Rule elsewhere, to the one they mean here.
    """

    name: str
    library: str
    version: str
    source: str
    function: Callable[..., Any] = field(repr=False)
    arithmetic: Arithmetic | None = None
    status: str = "read"
    discussions: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    language: str = "Python"
    not_expressible: tuple[str, ...] = ()
    false_friends: tuple[str, ...] = ()
    means: Mapping[str, str] = field(default_factory=dict)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """What is particular about it."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def signature(self) -> inspect.Signature:
        """The library's argument names and defaults."""
        return inspect.signature(self.function)

    @property
    def spoken(self) -> str:
        """The argument names and defaults, as one types them."""
        parameters = self.signature.parameters.values()
        return ", ".join(
            p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters
        )

    def __call__(self, **arguments: Any) -> Setting:
        """What the library computes with these arguments.

        Raises
        ------
        TypeError
            For a name that the library does not have, or one that it requires and that is missing.
        ValueError
            For a value that no rule can have.
        Unsupported
            For arguments whose effect no Rule says exactly: with the reason.
        """
        try:
            bound = self.signature.bind(**arguments)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}; {self.library} has ({self.spoken})") from None
        bound.apply_defaults()
        made = self.function(**bound.arguments)
        rule, arithmetic = made if isinstance(made, tuple) else (made, self.arithmetic)
        return Setting(rule, arithmetic, dict(bound.arguments), self)

    @property
    def required(self) -> dict[str, Any]:
        """Usual values for the arguments that have no default: η = 0.01, β = 0.9, ε = 1e-7, …."""
        usual = Rule(lr=0.01, beta=0.9, eps_in=1e-7)
        parameters = self.signature.parameters.values()
        return {p.name: _MEANING[p.name](usual) for p in parameters if p.default is p.empty}

    def arguments(self, rule: Rule) -> dict[str, Any]:
        """The library's arguments that compute ``rule``: the inverse of calling it.

        Arguments that have no bearing on the rule are left out; those that have are all given,
        whatever their defaults.

        Raises
        ------
        Unsupported
            When the library cannot compute the rule, with the axes on which its nearest differs.
        """
        wanted = canonical(rule)
        nearest: tuple[int, list[str]] = (99, ["no arguments of it make any rule like this one"])
        for arguments, setting in self.near(rule):
            differ = differences(wanted, canonical(setting.rule))
            if not differ:
                return arguments
            nearest = min(nearest, (len(differ), differ), key=lambda pair: pair[0])
        raise Unsupported(f"{self.library} cannot say this: {'; '.join(nearest[1])}")

    def nearest(self, rule: Rule) -> Setting:
        """What the library has that differs from ``rule`` on the fewest axes.

        Raises
        ------
        Unsupported
            When none of its arguments take the numbers of the rule.
        """
        wanted = canonical(rule)
        found = min(
            (setting for _, setting in self.near(rule)),
            key=lambda setting: len(differences(wanted, canonical(setting.rule))),
            default=None,
        )
        if found is None:
            raise Unsupported(f"{self.library} takes none of the numbers of this rule")
        return found

    def near(self, rule: Rule) -> Iterator[tuple[dict[str, Any], Setting]]:
        """Settings with the numbers of ``rule``, one for each position of the library's flags."""
        signature = self.signature.parameters.values()
        parameters = [p for p in signature if p.name not in self.false_friends]
        numbers = {p.name: _MEANING[p.name](rule) for p in parameters if p.name in _MEANING}
        numbers |= {name: getattr(rule, meant) for name, meant in self.means.items()}
        flags = {
            p.name: (p.default, not p.default)
            for p in parameters
            if p.name not in _MEANING and isinstance(p.default, bool)
        }
        # Where None means "none", and is not the same as 0 to the library, it is tried first.
        absent = [p.name for p in parameters if p.default is None and numbers.get(p.name) == 0]
        tried: list[str] = []
        for position in itertools.product(*flags.values()):
            chosen = dict(zip(flags, position, strict=True))
            moved = {name: on for name, on in chosen.items() if on != flags[name][0]}
            arguments = numbers | dict.fromkeys(absent) | moved
            try:
                yield arguments, self(**arguments)
            except (Unsupported, ValueError, TypeError) as error:
                tried.append(str(error))
        if len(tried) == 2 ** len(flags):
            raise Unsupported(f"{self.library} cannot say this: {tried[0]}")


# All dialects by name, in the order in which they are written.
DIALECTS: dict[str, Dialect] = {}


def dialect(library: str, **provenance: Any) -> Callable[[Callable[..., Any]], Dialect]:
    """Make a Dialect of the function that is written below: its name is the dialect's."""

    def make(function: Callable[..., Any]) -> Dialect:
        name = function.__name__
        DIALECTS[name] = Dialect(name, library, function=function, **provenance)
        return DIALECTS[name]

    return make


def canonical(rule: Rule) -> Rule:
    """The rule without what means nothing in it, so that equal functions are equal Rules."""
    plain: dict[str, Any] = {}
    if rule.momentum == 0:
        plain |= {"momentum_on": "step", "nesterov": False, "lr_in_buffer": False}
    if not isinstance(rule.lr, tuple):  # a constant factor may go in or come out
        plain |= {"lr_in_buffer": False}
    if rule.weight_decay == 0:
        plain |= {"weight_decay_form": "l2"}
    if rule.beta == 0:  # nothing of the start is kept, and 1-0^t is 1
        plain |= {"v0": 0.0, "bias_correction": False}
    # The root is at least √ε_in, so the denominator at least √ε_in + ε_out.
    above = Fraction(rule.eps_floor) - Fraction(rule.eps_out)
    if above <= 0 or above * above <= Fraction(rule.eps_in):
        plain |= {"eps_floor": 0.0}
    return replace(rule, **{"eps_out": rule.eps_out, **plain})


_AXES = {
    "lr": "the learning rate is {}, not {}",
    "beta": "β is {}, not {}",
    "eps_in": "ε inside the root is {}, not {}",
    "eps_out": "ε outside the root is {}, not {}",
    "eps_floor": "the floor of the denominator is {}, not {}",
    "v0": "the average starts at {}, not {}",
    "bias_correction": "bias correction is {}, not {}",
    "centered": "centering is {}, not {}",
    "momentum": "momentum is {}, not {}",
    "momentum_on": "the momentum buffer holds a {}, not a {}",
    "nesterov": "Nesterov's form is {}, not {}",
    "lr_in_buffer": "the learning rate {} the momentum buffer, where it {} it",
    "weight_decay": "weight decay is {}, not {}",
    "weight_decay_form": "weight decay is {}, not {}",
}


def differences(wanted: Rule, there: Rule) -> list[str]:
    """The axes on which two Rules differ, each as "in the library it is …, not …"."""
    said = []
    for axis in fields(Rule):
        theirs, ours = getattr(there, axis.name), getattr(wanted, axis.name)
        if theirs != ours:
            words = [_spoken(axis.name, value) for value in (theirs, ours)]
            said.append(_AXES[axis.name].format(*words))
    return said


def _spoken(axis: str, value: Any) -> str:
    if axis == "lr_in_buffer":
        return "enters" if value else "multiplies what leaves"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a schedule"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
