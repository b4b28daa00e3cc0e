"""Faulty RMSProps, as people write them: what an oracle, or any test, has to tell from the rule.

``MUTANTS`` is a table. Each row claims to compute a Rule and has one fault, said in a sentence. The
faults come from real code: the ε on the other side of the root, the average that starts at one, the
array that was updated in place, the tail of a vector that the fast loop forgot. ``RMSProp`` is the
honest class, plain NumPy with nothing of ``reference.py`` in it; a row overrides one line of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.rule import Rule

Array = NDArray[Any]
Run = Callable[[Array, Array], Array]

quiet = np.errstate(all="ignore")  # overflow and NaN are answers here, and no warnings


class RMSProp:
    """Every variant of a Rule, written as one writes it with NumPy: state, and updates in place.

    Called with θ0 of shape (n,) and gradients of shape (T, n), it gives the parameters after each
    step, (T, n). Or feed it one gradient at a time: ``start(theta0)``, then ``step(g)``.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule, self.lr = rule, rule.lr
        self.beta: float = rule.beta
        self.mu: float = rule.momentum
        self.wd: float = rule.weight_decay
        self.eps_in: float = rule.eps_in
        self.eps_out: float = rule.eps_out
        self.eps_floor: float = rule.eps_floor

    @quiet
    def __call__(self, theta0: Array, grads: Array) -> Array:
        """The trajectory."""
        self.start(theta0)
        rows = [self.step(g) for g in grads]
        return np.array(rows, theta0.dtype).reshape(grads.shape)

    def start(self, theta0: Array) -> None:
        """Forget everything."""
        self.t = 0
        self.theta, self.theta0 = theta0.copy(), theta0.copy()
        self.v = np.full_like(theta0, self.first())
        self.m, self.b = np.zeros_like(theta0), np.zeros_like(theta0)
        self.last = np.zeros_like(theta0)  # where a fault may keep something

    @quiet
    def step(self, g: Array) -> Array:
        """One step: the new parameters."""
        self.t += 1
        g = self.decayed(g)
        self.v = self.average(g)
        self.m = self.mean(g)
        d = self.denominator(self.spread())
        self.theta -= self.move(g, d)
        return self.theta.copy()

    def first(self) -> float:
        """Where v starts."""
        return 0.0 if self.rule.v0 == "first_square" else float(self.rule.v0)

    def rate(self) -> float:
        """η at this step."""
        return float(self.lr[self.t - 1] if isinstance(self.lr, tuple) else self.lr)

    def decayed(self, g: Array) -> Array:
        """Weight decay: into the gradient, or off θ."""
        if not self.wd:
            return g
        if self.rule.weight_decay_form == "l2":
            return g + self.wd * self.theta
        scale = self.rate() if self.rule.weight_decay_form == "decoupled" else 1.0
        return self.shrink(scale * self.wd, g)

    def shrink(self, share: float, g: Array) -> Array:
        """Take a share off θ; the gradient stays."""
        self.theta -= share * self.theta
        return g

    def average(self, g: Array) -> Array:
        """The new v."""
        old = g * g if self.rule.v0 == "first_square" and self.t == 1 else self.v
        return self.beta * old + (1 - self.beta) * (g * g)

    def mean(self, g: Array) -> Array:
        """The new m."""
        return self.beta * self.m + (1 - self.beta) * g

    def corrected(self, x: Array) -> Array:
        """An average without its bias."""
        return x / (1 - self.beta**self.t) if self.rule.bias_correction else x

    def spread(self) -> Array:
        """What goes under the root."""
        a = self.corrected(self.v)
        return a - self.corrected(self.m) ** 2 if self.rule.centered else a

    def denominator(self, a: Array) -> Array:
        """The root, with its ε."""
        return np.maximum(np.sqrt(a + self.eps_in) + self.eps_out, self.eps_floor)

    def move(self, g: Array, d: Array) -> Array:
        """What is taken off θ."""
        on, early = self.rule.momentum_on, self.rule.lr_in_buffer or not self.mu
        u = self.rate() * g if early else g
        u = self.accumulate(u) if self.mu and on == "gradient" else u
        u = u / d
        u = self.accumulate(u) if self.mu and on == "step" else u
        return u if early else self.rate() * u

    def accumulate(self, u: Array) -> Array:
        """What comes out of the momentum buffer when u goes in."""
        self.b = self.mu * self.b + u
        return self.mu * self.b + u if self.rule.nesterov else self.b

    def keep(self, name: str, value: Array) -> Array:
        """Remember a value, and give it: the faults below write state with it."""
        setattr(self, name, value)
        return value

    def swap(self, value: Array) -> Array:
        """Remember a value, and give the one remembered before, which was zero at the start."""
        old, self.last = self.last, value
        return old


@dataclass(frozen=True)
class Mutant:
    """One faulty implementation: ``run``, bound to the rule that it claims to compute."""

    name: str  # a slug, unique
    fault: str  # what is wrong, in a sentence
    kind: str  # the part that it concerns: "epsilon", "average", …
    keywords: tuple[str, ...]  # fragments, one of which a good diagnosis says, in lower case
    rule: Rule  # what it claims to compute
    make: Callable[[Rule], Run]  # the same fault in the implementation of any rule
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "run", self.make(self.rule))


_TABLE: list[Mutant] = []


def _kind(kind: str, claim: Rule) -> Callable[..., None]:
    """How a row of this kind enters the table: its lines replace those of ``RMSProp``."""

    def add(
        name: str,
        fault: str,
        keywords: str,
        rule: Rule = claim,
        make: Callable[[Rule], Run] | None = None,
        **lines: Callable[..., Any],
    ) -> None:
        if "__call__" in lines:
            lines["__call__"] = quiet(lines["__call__"])
        make = make or type(name, (RMSProp,), lines)
        slug = f"{kind.replace(' ', '-')}-{name}"
        _TABLE.append(Mutant(slug, fault, kind, tuple(keywords.split("|")), rule, make))

    return add


# The rules that are claimed.
OUT = Rule(lr=0.01, beta=0.9, eps_out=1e-8)
IN = Rule(lr=0.001, beta=0.9, eps_in=1e-7)
FLOOR = Rule(lr=0.01, beta=0.9, eps_floor=1e-5)
ONE = Rule(lr=0.01, beta=0.9, eps_in=1e-10, v0=1)
FIRST = Rule(lr=0.01, beta=0.99, eps_out=1e-5, v0="first_square")
CORRECTED = Rule(lr=0.01, beta=0.99, eps_out=1e-8, bias_correction=True)
CENTERED = Rule(lr=0.01, beta=0.95, eps_in=1e-4, centered=True)
BOTH = replace(CENTERED, bias_correction=True)
HEAVY = Rule(lr=0.01, beta=0.99, eps_out=1e-8, momentum=0.9)
NESTEROV = replace(HEAVY, nesterov=True)
FASTAI = replace(HEAVY, momentum_on="gradient")
RATES = (0.01, 0.01, 0.005, 0.005, 0.02, 0.001, 0.001, 0.003, 0.01, 0.0005, 0.002, 0.004)
SCHEDULE = replace(OUT, lr=RATES)
TORCH, TENSORFLOW = replace(HEAVY, lr=RATES), replace(HEAVY, lr=RATES, lr_in_buffer=True)
L2 = Rule(lr=0.01, beta=0.99, eps_out=1e-8, weight_decay=0.1)
DECOUPLED = replace(L2, weight_decay_form="decoupled")
UNSCALED = replace(L2, weight_decay=0.01, weight_decay_form="decoupled_unscaled")
LONG = Rule(lr=0.01, beta=0.999, eps_out=1e-8)

# fmt: off
# The table is set by hand: a name, the fault, what a diagnosis should say, the claim, the line.

add = _kind("epsilon", OUT)
add("inside", "ε stands inside the root", "inside|eps_in|under the root",
    denominator=lambda o, a: np.sqrt(a + o.eps_out) + o.eps_in)
add("outside", "ε stands outside the root", "outside|eps_out", IN,
    denominator=lambda o, a: np.sqrt(a + o.eps_out) + o.eps_in)
add("twice", "the same ε stands inside and outside the root", "both|inside|eps_in",
    denominator=lambda o, a: np.sqrt(a + o.eps_in + o.eps_out) + o.eps_out + o.eps_in)
add("missing", "there is no ε", "no ε|missing|without|eps_out|epsilon",
    denominator=lambda o, a: np.sqrt(a))
add("squared", "ε is squared and stands inside the root", "squared|inside|eps_in",
    denominator=lambda o, a: np.sqrt(a + o.eps_in + o.eps_out**2))
add("as-floor", "ε is the smallest denominator, not added to it", "floor|max",
    denominator=lambda o, a: np.maximum(np.sqrt(a), o.eps_in + o.eps_out))
add("floor-under-the-root", "the floor bounds v and not its root", "floor|inside|eps", FLOOR,
    denominator=lambda o, a: np.sqrt(np.maximum(a + o.eps_in, o.eps_floor)) + o.eps_out)
add("kept-in-the-average", "ε is added to v and stays there", "eps|ε|average", IN,
    average=lambda o, g: RMSProp.average(o, g) + o.eps_in + o.eps_out)
add("subtracted", "ε is subtracted under the root (TensorFlow.js, centered)", "minus|subtract|ε",
    CENTERED, denominator=lambda o, a: np.sqrt(a - o.eps_in - o.eps_out))
add("fixed", "ε is 1e-7, whatever was asked for", "eps|ε",
    denominator=lambda o, a: np.sqrt(a) + 1e-7)
add("outside-the-quotient", "the parentheses are missing: ε is added to the quotient",
    "eps|ε|quotient|parenthes", move=lambda o, g, d:
    o.rate() * (g / np.sqrt(o.spread()) + o.eps_out + o.eps_in))
add("with-momentum-inside", "ε moves inside the root once there is momentum (tf.keras before 2.11)",
    "inside|eps_in", HEAVY, denominator=lambda o, a:
    np.sqrt(a + o.eps_out) + o.eps_in if o.mu else RMSProp.denominator(o, a))

add = _kind("average", OUT)
add("swapped", "β and 1-β are swapped", "swap|β|beta",
    average=lambda o, g: (1 - o.beta) * o.v + o.beta * g * g)
add("weight-missing", "the factor 1-β is missing: v = βv + g²", "1-β|weight|factor|beta",
    average=lambda o, g: o.beta * o.v + g * g)
add("weight-squared", "1-β is squared with the gradient", "1-β|squared|weight|beta",
    average=lambda o, g: o.beta * o.v + ((1 - o.beta) * g) ** 2)
add("running-mean", "v is the mean of all squares so far", "mean|1/t|average",
    average=lambda o, g: o.v + (g * g - o.v) / o.t)
add("absolute", "|g| is averaged in place of g²", "absolute|abs|average",
    average=lambda o, g: o.beta * o.v + (1 - o.beta) * np.abs(g),
    denominator=lambda o, a: a + o.eps_out + o.eps_in)
add("square-of-the-mean", "the mean of g is squared, not the mean of g²", "mean|square",
    average=lambda o, g: RMSProp.mean(o, g) ** 2)
add("no-root", "the root is missing", "root",
    denominator=lambda o, a: a + o.eps_in + o.eps_out)
add("cube-root", "the cube root is taken", "root|power",
    denominator=lambda o, a: np.cbrt(a + o.eps_in) + o.eps_out)
add("stale", "the step divides by the v of the step before", "stale|before|previous|late",
    spread=lambda o: o.swap(o.v))
add("updated-twice", "v is updated twice a step", "twice|average|beta",
    average=lambda o, g: o.beta * RMSProp.average(o, g) + (1 - o.beta) * (g * g))
add("beta-fixed", "β is 0.99, whatever was asked for", "beta|β",
    average=lambda o, g: 0.99 * o.v + 0.01 * (g * g))
add("shared", "one second moment serves the whole tensor", "mean|shared|element|tensor",
    average=lambda o, g: o.beta * o.v + (1 - o.beta) * np.full_like(g, (g * g).sum() / g.size))
add("largest", "the largest v serves the whole tensor", "max|largest|shared|element|tensor",
    spread=lambda o: np.full_like(o.v, o.v.max(initial=0)))
add("never-falls", "v never falls, as in AMSGrad", "max|amsgrad|falls|average",
    spread=lambda o: o.keep("last", np.maximum(o.v, o.last)))

add = _kind("start", OUT)
add("at-one", "v starts at 1", "one|v0|start", first=lambda o: 1.0)
add("at-zero", "v starts at 0 and not at 1", "zero|v0|start", ONE, first=lambda o: 0.0)
add("at-epsilon", "v starts at ε (DL4J)", "v0|start", replace(OUT, eps_out=1e-3),
    first=lambda o: o.eps_out + o.eps_in)
add("at-the-first-square", "v starts at the first square", "first|v0|start",
    average=lambda o, g: g * g if o.t == 1 else RMSProp.average(o, g))
add("not-at-the-first-square", "v starts at 0 and not at the first square", "zero|v0|start", FIRST,
    average=lambda o, g: o.beta * o.v + (1 - o.beta) * (g * g))
add("squared", "v starts at the square of v0", "v0|start", replace(OUT, v0=0.1),
    first=lambda o: RMSProp.first(o) ** 2)

add = _kind("correction", CORRECTED)
add("missing", "the bias correction is missing", "bias|correct", corrected=lambda o, x: x)
add("added", "a bias correction that was not asked for", "bias|correct", OUT,
    corrected=lambda o, x: x / (1 - o.beta**o.t))
add("one-early", "the correction counts one step too many: 1-β^(t+1)", "bias|correct|t+1|count",
    corrected=lambda o, x: x / (1 - o.beta ** (o.t + 1)) if o.rule.bias_correction else x)
add("one-late", "the correction counts from 0, so that the first step divides by 0",
    "bias|correct|count|step 1|first step",
    corrected=lambda o, x: x / (1 - o.beta ** (o.t - 1)) if o.rule.bias_correction else x)
add("of-step-one", "the correction divides by 1-β at every step", "bias|correct",
    corrected=lambda o, x: x / (1 - o.beta) if o.rule.bias_correction else x)
add("stored", "the corrected v is stored, and so corrected again", "bias|correct|stored|again",
    average=lambda o, g: RMSProp.corrected(o, RMSProp.average(o, g)), corrected=lambda o, x: x)
add("after-the-root", "the root is divided by 1-β^t, and not v", "bias|correct|root",
    denominator=lambda o, a: RMSProp.corrected(o, np.sqrt(a + o.eps_in)) + o.eps_out,
    corrected=lambda o, x: x)
add("mean-forgotten", "v is corrected and m is not", "bias|correct|mean", BOTH,
    spread=lambda o: o.corrected(o.v) - o.m**2 if o.rule.centered else o.corrected(o.v))

add = _kind("centered", CENTERED)
add("missing", "the mean is not subtracted", "cent", spread=lambda o: o.corrected(o.v))
add("added", "the mean is subtracted, though the rule is not centered", "cent",
    replace(CENTERED, centered=False), spread=lambda o: o.corrected(o.v) - o.corrected(o.m) ** 2)
add("without-square", "m is subtracted, and not m²", "m²|square|mean|cent",
    spread=lambda o: o.corrected(o.v) - o.corrected(o.m) if o.rule.centered else o.corrected(o.v))
add("plus", "m² is added", "plus|added|sign|mean|cent",
    spread=lambda o: o.corrected(o.v) + o.corrected(o.m) ** 2 * o.rule.centered)
add("numerator", "the mean is subtracted from the numerator as well", "mean|numerator|cent",
    move=lambda o, g, d: RMSProp.move(o, g - o.m if o.rule.centered else g, d))
add("stale-mean", "the mean of the step before is subtracted", "mean|stale|before|cent",
    spread=lambda o: o.corrected(o.v) - o.swap(o.m) ** 2 * o.rule.centered)
add("deviation-averaged", "the average is of (g-m)², as in AdaBelief", "deviation|mean|cent",
    average=lambda o, g: RMSProp.average(o, g - RMSProp.mean(o, g) if o.rule.centered else g),
    spread=lambda o: o.corrected(o.v))

add = _kind("momentum", HEAVY)
add("ignored", "the momentum is taken and never used (bitsandbytes)", "momentum|buffer",
    accumulate=lambda o, u: u)
add("added", "a momentum of 0.9 that was not asked for (Burn's default)", "momentum|buffer", OUT,
    move=lambda o, g, d: o.keep("b", 0.9 * o.b + o.rate() * g / d))
add("lr-outside", "the learning rate multiplies the buffer on its way out", "lr|learning rate",
    TENSORFLOW, move=lambda o, g, d: o.rate() * (o.accumulate(g / d) if o.mu else g / d))
add("lr-inside", "the learning rate enters the buffer", "lr|learning rate|buffer", TORCH,
    move=lambda o, g, d: o.accumulate(o.rate() * g / d) if o.mu else o.rate() * g / d)
add("lr-twice", "the learning rate enters the buffer and multiplies it again", "lr|learning rate",
    accumulate=lambda o, u: RMSProp.accumulate(o, o.rate() * u))
add("nesterov-missing", "the look-ahead of Nesterov is missing", "nesterov|look", NESTEROV,
    accumulate=lambda o, u: o.keep("b", o.mu * o.b + u))
add("nesterov-added", "a look-ahead that was not asked for", "nesterov|look",
    accumulate=lambda o, u: o.mu * o.keep("b", o.mu * o.b + u) + u)
add("dampened", "the buffer is an average: 1-μ multiplies the new step", "damp|1-μ|momentum",
    accumulate=lambda o, u: o.keep("b", o.mu * o.b + (1 - o.mu) * u))
add("on-gradient", "the buffer holds gradients, not steps", "gradient|momentum_on",
    move=lambda o, g, d: o.rate() * (o.accumulate(g) if o.mu else g) / d)
add("on-step", "the buffer holds steps, not gradients", "step|momentum_on", FASTAI,
    move=lambda o, g, d: o.rate() * (o.accumulate(g / d) if o.mu else g / d))
add("one-step", "the buffer remembers one step only", "momentum|buffer",
    accumulate=lambda o, u: u + o.mu * o.swap(u))

class _DecayAfter(RMSProp):
    def decayed(self, g: Array) -> Array:
        return super().decayed(g) if self.rule.weight_decay_form == "l2" else g

    @quiet
    def step(self, g: Array) -> Array:
        super().step(g)
        super().decayed(g)
        return self.theta.copy()

add = _kind("decay", L2)
add("missing", "the weight decay is missing", "decay", decayed=lambda o, g: g)
add("decoupled", "θ shrinks by itself: the decay is decoupled", "decoupled|decay",
    decayed=lambda o, g: o.shrink(o.rate() * o.wd, g))
add("l2", "the decay goes into the gradient", "l2|decay|gradient", DECOUPLED,
    decayed=lambda o, g: g + o.wd * o.theta)
add("unscaled", "the decay is not multiplied by the learning rate", "unscaled|decay|learning",
    DECOUPLED, decayed=lambda o, g: o.shrink(o.wd, g))
add("scaled", "the decay is multiplied by the learning rate", "scaled|decay|learning", UNSCALED,
    decayed=lambda o, g: o.shrink(o.rate() * o.wd, g))
add("sign", "the decay has the wrong sign and lets θ grow", "sign|decay",
    decayed=lambda o, g: g - o.wd * o.theta)
add("after-the-step", "θ shrinks after the step and not before it", "after|decay|order",
    UNSCALED, make=_DecayAfter)
add("average-only", "the decay enters v, but not the step", "decay|step|average",
    decayed=lambda o, g: g, average=lambda o, g: RMSProp.average(o, g + o.wd * o.theta))
add("step-only", "the decay enters the step, but not v", "decay|step|average",
    decayed=lambda o, g: g, move=lambda o, g, d: RMSProp.move(o, g + o.wd * o.theta, d))
add("l1", "the decay is of the absolute value: λ sign(θ)", "decay|l1|sign",
    decayed=lambda o, g: g + o.wd * np.sign(o.theta))
add("twice", "the decay is 2λθ, the gradient of λθ²", "decay|twice|factor",
    decayed=lambda o, g: g + 2 * o.wd * o.theta)

def _rate(at: Callable[[int, int], int]) -> Callable[[RMSProp], Any]:
    return lambda o: o.lr[at(o.t - 1, len(o.lr) - 1)] if isinstance(o.lr, tuple) else o.lr

add = _kind("schedule", SCHEDULE)
add("early", "the schedule is one step early", "schedule|lr|learning rate|early",
    rate=_rate(lambda i, end: min(i + 1, end)))
add("late", "the schedule is one step late", "schedule|lr|learning rate|late",
    rate=_rate(lambda i, end: max(i - 1, 0)))
add("first", "the first learning rate serves for ever", "schedule|lr|learning rate|constant",
    rate=_rate(lambda i, end: 0))
add("last", "the last learning rate serves from the start", "schedule|lr|learning rate|constant",
    rate=_rate(lambda i, end: end))

add = _kind("step", OUT)
add("sign", "the step goes uphill", "sign|uphill|direction",
    move=lambda o, g, d: -RMSProp.move(o, g, d))
add("absolute", "the numerator is |g|", "sign|absolute|abs|negative",
    move=lambda o, g, d: RMSProp.move(o, np.abs(g), d))
add("stale-gradient", "the numerator is the gradient of the step before", "stale|before|late",
    move=lambda o, g, d: RMSProp.move(o, o.swap(g), d))
add("normalised", "the gradient is divided by its norm first", "norm|scale",
    step=lambda o, g: RMSProp.step(o, g / np.sqrt((g * g).sum())))
add("clipped", "the gradient is clipped to [-1, 1]", "clip",
    step=lambda o, g: RMSProp.step(o, np.clip(g, -1, 1)))
add("clipped-norm", "the gradient is clipped to norm 1", "clip|norm",
    step=lambda o, g: RMSProp.step(o, g / np.maximum(np.sqrt((g * g).sum()), 1)))
add("doubled", "the learning rate is doubled", "lr|learning rate|factor|twice",
    rate=lambda o: 2 * RMSProp.rate(o))
add("tenth", "the learning rate is a tenth of what was asked for", "lr|learning rate|factor",
    rate=lambda o: RMSProp.rate(o) / 10)
add("rate-ignored", "the learning rate is ignored: it is 1", "lr|learning rate|factor",
    rate=lambda o: 1.0)
add("applied-twice", "each gradient serves for two steps", "lr|learning rate|factor|twice",
    step=lambda o, g: (RMSProp.step(o, g), RMSProp.step(o, g))[1])
add("from-the-start", "each step starts from θ0 again", "start|theta0|θ0|accumulat",
    move=lambda o, g, d: o.theta - o.theta0 + RMSProp.move(o, g, d))
add("rounded", "θ is rounded to three decimals", "round|decimal|precis",
    step=lambda o, g: o.keep("theta", np.round(RMSProp.step(o, g), 3)).copy())

RANDOM = np.random.default_rng()  # unseeded, which is the fault
_V_OF_THE_MODULE: dict[Any, Array] = {}

class _Module(RMSProp):
    def start(self, theta0: Array) -> None:
        super().start(theta0)
        self.v = _V_OF_THE_MODULE.get((theta0.size, theta0.dtype), self.v)

    def step(self, g: Array) -> Array:
        theta = super().step(g)
        _V_OF_THE_MODULE[self.v.size, self.v.dtype] = self.v
        return theta

class _Default(RMSProp):
    def start(self, theta0: Array, counter: list[int] = [0]) -> None:  # noqa: B006
        super().start(theta0)
        self.counter = counter

    def corrected(self, x: Array) -> Array:
        self.counter[0] += 1
        return x / (1 - self.beta ** self.counter[0]) if self.rule.bias_correction else x

class _Cached(RMSProp):
    def __call__(self, theta0: Array, grads: Array) -> Array:
        answers: dict[Any, Array] = self.__dict__.setdefault("answers", {})
        return answers.setdefault((grads.shape, grads.dtype), super().__call__(theta0, grads))

add = _kind("state", OUT)
STATE = "state|repeat|second|call"
add("of-the-module", "v outlives the call, in a variable of the module", STATE, make=_Module)
add("of-a-default", "the step count lives in a default argument and outlives the call", STATE,
    CORRECTED, make=_Default)
add("cached", "the answer to the first call is given to all of its shape", STATE + "|cache",
    make=_Cached)
add("counter-wraps", "the step count is an 8-bit integer, 0 again after 255", "count|256|wrap|bias",
    CORRECTED, corrected=lambda o, x:
    x / (1 - o.beta ** (o.t % 256)) if o.rule.bias_correction else x)
add("forgets", "v starts again at zero every 100 steps", "reset|100|forget|average",
    average=lambda o, g: (1 - o.beta) * (g * g) if o.t % 100 == 0 else RMSProp.average(o, g))
add("noisy", "noise of one in a thousand is added to every step", "repeat|random|noise",
    move=lambda o, g, d: RMSProp.move(o, g * (1 + 1e-3 * RANDOM.standard_normal(g.size)), d))
add("dithered", "the last bit of θ is random", "repeat|random|noise", step=lambda o, g:
    np.nextafter(RMSProp.step(o, g), RANDOM.choice([-np.inf, np.inf], g.size).astype(g.dtype)))
add("dropped-out", "one element in ten, drawn anew each step, is not updated", "repeat|random|skip",
    move=lambda o, g, d: RMSProp.move(o, g, d) * (RANDOM.random(g.size) > 0.1).astype(g.dtype))

class _Overwritten(RMSProp):
    def start(self, theta0: Array) -> None:
        super().start(theta0)
        self.theta = theta0

class _Aliased(RMSProp):
    def start(self, theta0: Array) -> None:
        super().start(theta0)
        self.m = self.v

    def average(self, g: Array) -> Array:
        self.v[...] = super().average(g)
        return self.v

    def mean(self, g: Array) -> Array:
        self.m[...] = super().mean(g)
        return self.m

def _into_gradient(o: Any, g: Array) -> Array:
    if o.wd:
        g += o.wd * o.theta
    return g

def _squared_in_place(o: RMSProp, g: Array) -> Array:
    g *= g
    return o.beta * o.v + (1 - o.beta) * g

add = _kind("memory", OUT)
add("one-array", "one array is appended T times: all rows are the last", "row|alias|last",
    __call__=lambda o, x, gs: np.tile(RMSProp.__call__(o, x, gs)[-1:], (len(gs), 1)))
add("start-overwritten", "θ0 is updated in place", "theta0|θ0|input|chang|mutat|modif|overw",
    make=_Overwritten)
add("gradient-overwritten", "the decay is added to the caller's gradients, in place (Torch 7)",
    "grad|input|chang|mutat|modif|overw", L2, decayed=_into_gradient)
add("square-overwritten", "g is overwritten by g² before the division",
    "square|input|chang|mutat|modif|overw", average=_squared_in_place)
add("shared-buffer", "v and m are one array", "mean|alias|same|cent", CENTERED, make=_Aliased)

def _only(chosen: Callable[[int], int]) -> Callable[[RMSProp, Array, Array], Array]:
    """Update no more than the first elements."""
    return lambda o, g, d: np.where(np.arange(g.size) < chosen(g.size), RMSProp.move(o, g, d), 0)

add = _kind("shape", OUT)
ELEMENT, SHAPE = "element|tail|length|size", "shape|row"
add("tail-of-eight", "the elements after the last whole eight are not updated", ELEMENT + "|8",
    move=_only(lambda n: n - n % 8 if n > 8 else n))
add("tail-of-four", "the elements after the last whole four are not updated", ELEMENT + "|4",
    move=_only(lambda n: n - n % 4 if n > 4 else n))
add("first-block", "only the first 512 elements are updated", ELEMENT + "|512",
    move=_only(lambda n: 512))
add("last-element", "the loop stops before the last element", ELEMENT + "|last",
    move=_only(lambda n: n - 1))
add("first-step", "the first step is skipped", "first|step 1|skip",
    move=lambda o, g, d: RMSProp.move(o, g, d) if o.t > 1 else 0 * g)
add("one-v", "the v of the first element serves all", ELEMENT + "|v|first|shared",
    spread=lambda o: np.broadcast_to(o.v[:1], o.v.shape) if o.v.size else o.v)
add("reversed", "the elements come back in reverse order", ELEMENT + "|order|revers|permut",
    __call__=lambda o, x, gs: RMSProp.__call__(o, x, gs)[:, ::-1])
add("start-included", "the trajectory begins with θ0", SHAPE + "|start|theta0|θ0",
    __call__=lambda o, x, gs: np.vstack([x[None], RMSProp.__call__(o, x, gs)]))
add("one-behind", "row t is θ before step t", "row|before|late|behind|start|theta0|θ0|first step",
    __call__=lambda o, x, gs: np.vstack([x[None], RMSProp.__call__(o, x, gs)])[:-1])
add("last-missing", "the last row is missing", SHAPE, __call__=lambda o, x, gs:
    RMSProp.__call__(o, x, gs)[:-1])
add("transposed", "the trajectory is transposed", SHAPE + "|transpos", __call__=lambda o, x, gs:
    RMSProp.__call__(o, x, gs).T)
add("squeezed", "axes of length 1 are dropped from the gradients", SHAPE + "|one|axis|squeez|raise",
    __call__=lambda o, x, gs: [o.start(x), np.array([o.step(g) for g in gs.squeeze()])][1])
add("memory-order", "the gradients are read in the order of memory", "order|contiguous|memory",
    __call__=lambda o, x, gs: RMSProp.__call__(o, x, gs.ravel(order="K").reshape(gs.shape)))
add("raises-on-empty", "it raises where there are no elements", "empty|raise|error",
    step=lambda o, g: RMSProp.step(o, g + 0 * g.max()))
add("raises-on-one-step", "it raises where there is one step only", "one step|raise|error|index",
    __call__=lambda o, x, gs: RMSProp.__call__(o, x, gs + 0 * (gs[1] - gs[0])))

def _half(rule: Rule) -> Rule:
    """All numbers of a rule rounded to float16."""
    near: dict[str, Any] = {}
    for name in ("lr", "beta", "eps_in", "eps_out", "eps_floor", "momentum", "weight_decay"):
        near[name] = np.float16(getattr(rule, name)).astype(float)
    return replace(rule, **near)

def _fast_root(a: Array) -> Array:
    """√a by the inverse root of Quake III, with one Newton step."""
    x = a.astype(np.float32)
    y = (0x5F3759DF - (x.view(np.int32) >> 1)).view(np.float32)
    return (x * y * (1.5 - 0.5 * x * y * y)).astype(a.dtype)

def _upper_half(x: Array) -> Array:
    """The upper 16 bits of a float32."""
    bits = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(x.dtype)

add = _kind("precision", OUT)
PRECISION = "precis|round|arithmetic"
add("float64-result", "the trajectory is float64, whatever θ0 is", "dtype|float64|type",
    __call__=lambda o, x, gs: RMSProp.__call__(o, x, gs).astype(np.float64))
add("computed-in-float32", "all is computed in float32, for float64 too", PRECISION + "|float32",
    start=lambda o, x: RMSProp.start(o, x.astype(np.float32)),
    step=lambda o, g: RMSProp.step(o, g.astype(np.float32)).astype(g.dtype))
add("computed-in-float16", "all is computed in float16", PRECISION + "|float16",
    start=lambda o, x: RMSProp.start(o, x.astype(np.float16)),
    step=lambda o, g: RMSProp.step(o, g.astype(np.float16)).astype(g.dtype))
add("v-in-float16", "v is kept in float16", PRECISION + "|float16|average", average=lambda o, g:
    RMSProp.average(o, g).astype(np.float16).astype(g.dtype))
add("v-in-bfloat16", "v is kept in bfloat16, cut off", PRECISION + "|bfloat16|average",
    average=lambda o, g: _upper_half(RMSProp.average(o, g)))
add("complement", "1-β is formed in float32", PRECISION + "|1-β|complement|float32", LONG,
    average=lambda o, g: o.beta * o.v + float(np.float32(1) - np.float32(o.beta)) * (g * g))
add("hyper-parameters", "the hyper-parameters are rounded to float16",
    PRECISION + "|hyper|float16|beta|lr", make=lambda rule: RMSProp(_half(rule)))
add("fast-root", "the root is the fast inverse root of Quake III", PRECISION + "|root",
    denominator=lambda o, a: _fast_root(a + o.eps_in) + o.eps_out)

add = _kind("special values", OUT)
add("zero-skipped", "elements whose gradient is 0 are left out: v stays", "zero|skip|sparse",
    average=lambda o, g: np.where(g == 0, o.v, RMSProp.average(o, g)))
add("nan-swallowed", "a NaN in the gradient counts as 0", "nan",
    step=lambda o, g: RMSProp.step(o, np.where(np.isnan(g), np.zeros_like(g), g)))
add("nan-spreads", "a NaN in one element spreads to all", "nan|element|spread",
    step=lambda o, g: RMSProp.step(o, np.full_like(g, np.nan) if np.isnan(g).any() else g))
add("inf-clipped", "an infinite gradient is clipped to the largest number", "inf|overflow|clip",
    step=lambda o, g: RMSProp.step(o, np.clip(g, np.finfo(g.dtype).min, np.finfo(g.dtype).max)))
add("step-skipped", "a step with a NaN or an infinity anywhere is skipped whole", "nan|inf|skip",
    step=lambda o, g: RMSProp.step(o, g) if np.isfinite(g).all() else o.theta.copy())

class _Adadelta(RMSProp):
    def move(self, g: Array, d: Array) -> Array:
        u = np.sqrt(self.last + 1e-6) / np.sqrt(self.v + 1e-6) * g
        self.last = self.beta * self.last + (1 - self.beta) * u * u
        return u

add = _kind("other optimiser", OUT)
OTHER = "rule|optimi|nearest|gradient descent"
add("sgd", "it is gradient descent", OTHER + "|sgd", move=lambda o, g, d: o.rate() * g)
add("heavy-ball", "it is gradient descent with momentum", OTHER + "|sgd|momentum", HEAVY,
    move=lambda o, g, d: o.rate() * o.keep("b", (o.mu or 0.9) * o.b + g))
add("sign", "it is sign descent", OTHER + "|sign", move=lambda o, g, d: o.rate() * np.sign(g))
add("adagrad", "it is AdaGrad: v is a sum", OTHER + "|adagrad|sum|average",
    average=lambda o, g: o.v + g * g)
add("adadelta", "it is Adadelta", OTHER + "|adadelta", make=_Adadelta)
add("adam", "it is Adam", OTHER + "|adam|moment|bias", mean=lambda o, g: 0.9 * o.m + 0.1 * g,
    corrected=lambda o, x: x / (1 - o.beta**o.t),
    move=lambda o, g, d: RMSProp.move(o, o.m / (1 - 0.9**o.t), d))
add("first-moment", "the numerator is the mean of the gradients, as in Adam",
    OTHER + "|adam|moment|mean|momentum|damp", HEAVY, mean=lambda o, g: 0.9 * o.m + 0.1 * g,
    move=lambda o, g, d: o.rate() * o.m / d)
add("adamax", "it is AdaMax: v is the largest |g| of late", OTHER + "|max|average",
    average=lambda o, g: np.maximum(o.beta * o.v, np.abs(g)),
    denominator=lambda o, a: a + o.eps_in + o.eps_out)
# fmt: on

MUTANTS: tuple[Mutant, ...] = tuple(_TABLE)
