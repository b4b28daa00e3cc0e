"""Honest evaluations of a Rule: orders, contractions and roundings at random, all of them legal.

The formulas are typed here by hand, in each of the forms in which programs have them, and nothing
is taken from ``reference.py``: what lies in the reference's enclosures all the same, proves nothing
by itself. Sums and products are rounded once, or a product is kept unrounded into the next sum (a
fused multiply-add); quotients and roots are faithful: either neighbour of the exact value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.oracle.double_double import DoubleDouble
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.rule import Rule

Array = NDArray[Any]
AVERAGES = ("βv + (1-β)g²", "βv + ((1-β)g)g", "v + (1-β)(g²-v)", "g² - β(g²-v)")
QUOTIENTS = ("(ηg)/d", "η(g/d)", "η(g(1/d))", "g/(d/η)", "(η/d)g")


class Machine:
    """Arithmetic of one dtype. Its numbers are float64 arrays that hold numbers of the dtype.

    What is exact is a DoubleDouble, and is rounded once from there: 106 bits hold every product,
    and every sum that matters, of the narrower formats.
    """

    def __init__(
        self, dtype: str, rng: np.random.Generator, *, contract: float, faithful: float
    ) -> None:
        self.dtype, self.rng = numpy_dtype(dtype), rng
        self.contract, self.faithful = contract, faithful

    def rounded(self, x: Any) -> Array:
        """To nearest, once: where float64 lies half way, its lower half decides."""
        if not isinstance(x, DoubleDouble):
            return np.asarray(x)
        nearest = x.hi.astype(self.dtype).astype(np.float64)
        if self.dtype == np.float64:
            return nearest
        side = np.nextafter(x.hi, np.where(x.lo > 0, np.inf, -np.inf))
        other = side.astype(self.dtype).astype(np.float64)
        return np.where((x.lo != 0) & (nearest != x.hi), other, nearest)

    def faithfully(self, x: DoubleDouble) -> Array:
        """Either neighbour."""
        nearest = self.rounded(x)
        above = (x.hi - nearest) + x.lo
        side = np.where(above > 0, np.inf, -np.inf).astype(self.dtype)
        other = np.nextafter(nearest.astype(self.dtype), side).astype(np.float64)
        finite = np.isfinite(nearest) & np.isfinite(other)
        swap = finite & (above != 0) & (self.rng.random(above.shape) < self.faithful)
        return np.where(swap, other, nearest)

    def constant(self, x: float) -> float:
        """A hyper-parameter, rounded once."""
        return float(np.asarray(x).astype(self.dtype))

    def product(self, a: Any, b: Any) -> Any:
        """Rounded; or exact, for the next sum to contract."""
        exact = _wide(a) * _wide(b)
        if not np.all(np.isfinite(exact.hi)):
            return self.times(a, b)
        return exact if self.rng.random() < self.contract else self.rounded(exact)

    def times(self, a: Any, b: Any) -> Array:
        """A product that no sum follows."""
        a, b = self.rounded(a), self.rounded(b)
        exact = _wide(a) * _wide(b)
        plain = (a * b).astype(self.dtype).astype(np.float64)
        return np.where(np.isfinite(exact.hi), self.rounded(exact), plain)

    def plus(self, a: Any, b: Any) -> Array:
        """A sum: it may contract one product, and then the other is rounded."""
        if isinstance(b, DoubleDouble):
            a = self.rounded(a)
        return self.finite(_wide(a) + _wide(b), a, b)

    def minus(self, a: Any, b: Any) -> Array:
        """A difference, likewise."""
        if isinstance(b, DoubleDouble):
            a = self.rounded(a)
        return self.finite(_wide(a) - _wide(b), a, -_high(b))

    def finite(self, exact: DoubleDouble, a: Any, b: Any) -> Array:
        """The rounded sum; past the largest number IEEE's, where a DoubleDouble has ∞ - ∞."""
        plain = (_high(a) + _high(b)).astype(self.dtype).astype(np.float64)
        return np.where(np.isfinite(exact.hi), self.rounded(exact), plain)

    def over(self, a: Any, b: Any) -> Array:
        """A quotient."""
        a, b = np.broadcast_arrays(self.rounded(a), self.rounded(b))
        odd = ~np.isfinite(a) | ~np.isfinite(b) | (a == 0) | (b == 0)
        return np.where(odd, a / b, self.faithfully(_wide(a) / _wide(b)))

    def root(self, a: Any) -> Array:
        """A root."""
        return self.faithfully(_wide(self.rounded(a)).sqrt())


def evaluate(
    rule: Rule,
    theta0: Array,
    grads: Array,
    dtype: str,
    rng: np.random.Generator,
    *,
    decimal: bool = False,
) -> Array:
    """A legal trajectory (T, n) of ``rule`` in ``dtype``, as float64: which one, ``rng`` decides.

    ``decimal`` says whether 1-β is written in decimal, as 0.1 beside 0.9, or formed from β.
    """
    with np.errstate(all="ignore"):
        return _Evaluation(rule, dtype, rng, decimal).trajectory(theta0, grads)


class _Evaluation:
    def __init__(self, rule: Rule, dtype: str, rng: np.random.Generator, decimal: bool) -> None:
        self.rule, self.rng = rule, rng
        contract, faithful = float(rng.choice([0.0, 0.5, 1.0])), float(rng.choice([0.0, 0.5]))
        self.k = Machine(dtype, rng, contract=contract, faithful=faithful)
        self.beta = float(rule.beta)
        self.rest = round(1 - self.beta, 12) if decimal else 1 - self.beta
        self.form = str(rng.choice(AVERAGES[: 4 if self.beta < 0.5 else 3]))
        self.quotient = str(rng.choice(QUOTIENTS))

    def trajectory(self, theta0: Array, grads: Array) -> Array:
        rule, k = self.rule, self.k
        rates = rule.lr if isinstance(rule.lr, tuple) else [rule.lr] * len(grads)
        theta = theta0.astype(np.float64)
        v = np.full(theta.shape, 0.0 if rule.v0 == "first_square" else k.constant(rule.v0))
        m, b = np.zeros(theta.shape), np.zeros(theta.shape)
        rows = []
        for t, (grad, lr) in enumerate(zip(grads, rates, strict=False), 1):
            theta, g = self.decayed(theta, grad.astype(np.float64), lr)
            square = k.times(g, g)
            v = self.averaged(square if rule.v0 == "first_square" and t == 1 else v, square, (g, g))
            if rule.centered:
                m = self.averaged(m, g, (g,))
            d = self.denominator(v, m, t)
            theta, b = self.moved(theta, g, d, b, k.constant(lr))
            rows.append(theta)
        return np.array(rows).reshape(len(grads), len(theta0))

    def decayed(self, theta: Array, g: Array, lr: float) -> tuple[Array, Array]:
        rule, k, share = self.rule, self.k, float(self.rule.weight_decay)
        if not share:
            return theta, g
        if rule.weight_decay_form == "l2":
            return theta, k.plus(g, k.product(k.constant(share), theta))
        if rule.weight_decay_form == "decoupled":
            share *= lr
            if self.rng.random() < 0.3:  # θ - (θλ)η
                part = k.times(theta, k.constant(rule.weight_decay))
                return k.minus(theta, k.product(part, k.constant(lr))), g
        if self.rng.random() < 0.5:
            return k.times(theta, k.constant(1 - share)), g
        return k.minus(theta, k.product(theta, k.constant(share))), g

    def averaged(self, old: Array, new: Array, factors: tuple[Array, ...]) -> Array:
        k, beta, rest = self.k, self.k.constant(self.beta), self.k.constant(self.rest)
        if self.form == "v + (1-β)(g²-v)":
            return k.plus(old, k.product(rest, k.minus(new, old)))
        if self.form == "g² - β(g²-v)":
            return k.minus(new, k.product(beta, k.minus(new, old)))
        part = k.product(rest, new)
        if self.form == "βv + ((1-β)g)g" and len(factors) == 2:
            part = k.product(k.times(rest, factors[0]), factors[1])
        return k.plus(k.product(beta, old), part)

    def denominator(self, v: Array, m: Array, t: int) -> Array:
        rule, k = self.rule, self.k
        a, mean, share = v, m, 1 - self.beta**t
        late = rule.bias_correction and not (rule.centered or rule.eps_in)
        late = late and self.rng.random() < 0.5  # √v/√(1-β^t)
        if rule.bias_correction and not late:
            if self.rng.random() < 0.5:
                a = k.over(v, k.constant(share))
            else:
                a = k.times(v, k.constant(1 / share))
            mean = k.over(m, k.constant(share))
        if rule.centered and rule.eps_in and self.rng.random() < 0.5:  # (v + ε) - m²
            a = k.minus(k.plus(a, k.constant(rule.eps_in)), k.product(mean, mean))
        else:
            a = k.minus(a, k.product(mean, mean)) if rule.centered else a
            a = k.plus(a, k.constant(rule.eps_in)) if rule.eps_in else a
        root = k.root(a)
        root = k.over(root, k.constant(float(np.sqrt(share)))) if late else root
        d = k.plus(root, k.constant(rule.eps_out)) if rule.eps_out else root
        floor = k.constant(rule.eps_floor)
        return np.where(d < floor, floor, d)

    def moved(self, theta: Array, g: Array, d: Array, b: Array, lr: float) -> tuple[Array, Array]:
        rule, k, mu = self.rule, self.k, self.k.constant(self.rule.momentum)
        early = rule.lr_in_buffer or not rule.momentum

        def accumulated(u: Array) -> tuple[Array, Array]:
            new = k.plus(k.product(mu, b), u)
            return (k.plus(k.product(mu, new), u) if rule.nesterov else new), new

        if rule.momentum and rule.momentum_on == "gradient":
            u, b = accumulated(k.times(lr, g) if early else g)
            u = k.over(u, d)
        else:
            u = self.divided(g, d, lr if early else None)
            if rule.momentum:
                u, b = accumulated(u)
        return k.minus(theta, u if early else k.product(lr, u)), b

    def divided(self, g: Array, d: Array, lr: float | None) -> Array:
        k = self.k
        if self.quotient == "η(g(1/d))":
            u = k.times(g, k.over(1.0, d))
            return u if lr is None else k.times(lr, u)
        if lr is None:
            return k.over(g, d)
        if self.quotient == "(ηg)/d":
            return k.over(k.times(lr, g), d)
        if self.quotient == "η(g/d)":
            return k.times(lr, k.over(g, d))
        if self.quotient == "(η/d)g":
            return k.times(k.over(lr, d), g)
        return k.over(g, k.over(d, lr))


def _high(x: Any) -> Array:
    return x.hi if isinstance(x, DoubleDouble) else np.asarray(x, np.float64)


def _wide(x: Any) -> DoubleDouble:
    return x if isinstance(x, DoubleDouble) else DoubleDouble.of(np.asarray(x, np.float64))
