"""The exact trajectory of a Rule, in two ways that share no arithmetic.

``exact`` runs the reference itself, ``reference.step``, on numbers of mpmath, and raises their
precision until the digits stand still. ``unrolled`` adds up the closed forms of that recursion in
Python's integers, with ``math.isqrt`` for the root. A mistake in either, or in a library under it,
shows as a difference from the other. The closed forms, with all sums over s = 1…t:

    v_t = β^t v_0 + (1-β) Σ β^(t-s) g_s²         v_0 = g_1² from "first_square"
    m_t = (1-β) Σ β^(t-s) g_s
    c_t = (1-β) Σ β^(t-s)                         this is 1-β^t; without bias correction c_t = 1
    a_t = v_t / c_t - (m_t / c_t)²                m only where the rule is centered
    d_t = max(√(a_t + ε_in) + ε_out, ε_floor)
    x_t = η_t g_t / d_t                           what the buffer takes in; it may lack η or 1/d
    b_t = Σ μ^(t-s) x_s
    u_t = b_t, or Nesterov's μ b_t + x_t          now times η_t or 1/d_t, where x lacks it
    θ_t = θ_0 k_1 … k_t - Σ u_s k_(s+1) … k_t     k = 1-ηλ, 1-λ or 1, by the form of weight decay

Never the root of a negative number: the weights (1-β) β^(t-s) of the two averages add up to at most
1, so by Cauchy-Schwarz (Σ w g)² ≤ Σ w · Σ w g², and a_t ≥ 0 for every rule. A negative a_t in
floating point is rounding and nothing else.

Sometimes no value: a gradient or parameter that is NaN or infinite, and a division by d_t = 0,
leave that element undefined from there on: NaN, in θ and in what depends on what is undefined. A
weight of 0 does not undo it.

>>> import numpy as np
>>> from rmsprop_ref import Rule
>>> trajectory = exact(Rule(lr=0.5, beta=0.75, eps_out=0.0), np.ones(1), np.array([[4.0], [0.0]]))
>>> print(trajectory.theta.T, trajectory.v.T)  # θ_1 = 1 - ½ · 4/√4
[[mpf('0.0') mpf('0.0')]] [[mpf('4.0') mpf('3.0')]]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.constant import FORMATS, _nearest, dtype_name
from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule, check_theta

# What still changes below 1e-700 is an exact zero with rounding on it: the smallest positive
# float64 is 5e-324, and its square 2e-647.
_ZERO = 10**700
_LIMIT = 2**15  # bits, at which digits that do not stand still are given up


class Trajectory(NamedTuple):
    """The exact values after each step: object arrays (T, n) of ``mpmath.mpf``.

    They carry at least the digits asked for, whatever mpmath's own precision is; what is computed
    from them rounds to that one.

    Attributes
    ----------
    theta : array
        The parameters θ.
    v : array
        The running average of squared gradients, before a bias correction.
    m : array or None
        The running average of gradients; None unless the rule is centered.
    b : array or None
        The momentum buffer; None unless the rule has momentum.
    """

    theta: Any
    v: Any
    m: Any = None
    b: Any = None


def exact(rule: Rule, theta0: Any, grads: Any, digits: int = 50) -> Trajectory:
    """The trajectory by recursion: ``reference.step`` in mpmath.

    The first precision is one at which all of the data is exact; from there on it is doubled, until
    two results agree.

    Parameters
    ----------
    rule : Rule
        What to compute. Its numbers are binary64 and stand for exactly themselves.
    theta0 : array (n,) of floats
        The parameters at the start.
    grads : array (T, n) of floats
        The gradient of each step.
    digits : int
        Significant digits that agree in every value. (A value still changing below 1e-700 is 0.)

    Returns
    -------
    Trajectory
        Arrays (T, n).

    Raises
    ------
    TypeError
        For something that is no Rule, no floating-point array, no integer; for symbols in the rule.
    ValueError
        For shapes that do not fit, or a schedule ``lr`` shorter than T.
    ArithmeticError
        When the digits do not stand still, even with 2^15 bits.
    ImportError
        Without mpmath.
    """
    theta0, grads = _checked(rule, theta0, grads, digits)
    field = _field()

    def run(numbers: list[float], bits: int) -> Rows:
        return _recursion(rule, numbers, field, bits)

    return _until_still(rule, theta0, grads, digits, run)


def unrolled(rule: Rule, theta0: Any, grads: Any, digits: int = 50) -> Trajectory:
    """The trajectory by the closed forms, in integers: no recursion, no ``step``, no mpmath.

    Parameters, result and errors are those of ``exact``. The sums take O(T²) operations for each
    element, where the recursion takes O(T).
    """
    theta0, grads = _checked(rule, theta0, grads, digits)

    def run(numbers: list[float], bits: int) -> Rows:
        return _sums(rule, numbers, bits)

    return _until_still(rule, theta0, grads, digits, run)


def rounded(values: Any, dtype: str) -> Any:
    """Exact values rounded once to a format: to nearest, ties to even, past the largest to ∞.

    Parameters
    ----------
    values : array of mpmath.mpf, any shape
        For instance one field of a Trajectory.
    dtype : "float16", "bfloat16", "float32" or "float64"
        The format.

    Returns
    -------
    array of float64, the same shape
        Numbers of that format. NaN stays NaN, and what is rounded to zero keeps its sign.

    Raises
    ------
    TypeError
        For values that are no ``mpmath.mpf``, such as the None of a Trajectory without momentum.
    ValueError
        For another dtype.

    Examples
    --------
    >>> from mpmath import mpf
    >>> rounded([mpf(2049), mpf(65520), mpf("nan")], "float16")
    array([2048.,   inf,   nan])
    """
    mpmath = _mpmath()

    if dtype not in FORMATS:
        raise ValueError(f"dtype={dtype!r} is not possible: dtype is {' or '.join(FORMATS)}")

    values = np.asarray(values, dtype=object)
    result = np.empty(values.shape)
    for index, x in np.ndenumerate(values):
        if not hasattr(x, "_mpf_"):
            raise TypeError(f"values{list(index)} is {x!r}: expected a number of mpmath, an mpf")
        if mpmath.isfinite(x):
            p, q = mpmath.libmp.to_rational(x._mpf_)
            # Halfway cases need the exact quotient: by way of binary64 it would round twice.
            result[index] = math.copysign(_nearest(p, q, dtype), -1 if p < 0 else 1)
        else:
            result[index] = x  # NaN or infinite
    return result


# What one run gives for one element: for each step θ, v, and m and b where the rule has them.
Rows = list[list[Any]]


def _recursion(rule: Rule, numbers: list[float], field: Any, bits: int) -> Rows:
    """The reference, from θ_0 along g_1, …, g_T."""
    field.prec = bits
    theta, *grads = map(field.mpf, numbers)
    state = init(field.mpf(0), rule, field)  # not of θ: θ = NaN leaves v defined
    mpf, rows = _mpmath().mpf, []
    for g in grads:
        theta, state = step(theta, g, state, rule, field)
        rows.append([mpf(x, prec=bits) for x in (theta, *state[1:]) if x is not None])
    return rows


def _field() -> Any:
    """Numbers of mpmath in which x/0 is NaN, and what rounding made negative has a root."""
    field = _mpmath().mp.clone()  # its own precision: the caller's stays as it is
    divide, root = field.mpf.__truediv__, field.sqrt
    field.mpf.__truediv__ = lambda x, y: field.nan if y == 0 else divide(x, y)
    # The exact x is ≥ 0 (see above), so |x| is nearer to it than a negative x. Where it is 0, the
    # root of what rounding left changes with the precision: noticed, unless it does not matter.
    field.sqrt = lambda x: root(abs(x))
    return field


def _sums(rule: Rule, numbers: list[float], K: int) -> Rows:
    """The closed forms of θ_0 and g_1, …, g_T, with each number x as the integer ⌊x 2^K⌋."""
    T, one = len(numbers) - 1, 1 << K

    def fixed(x: Any) -> int:
        x = Fraction(x)
        return int((x.numerator << K) // x.denominator)

    def powers(x: Any, factor: Any = 1) -> list[int]:
        return [fixed(factor * Fraction(x) ** j) for j in range(T + 1)]

    beta_powers, weights = powers(rule.beta), powers(rule.beta, 1 - Fraction(rule.beta))
    mu_powers = powers(rule.momentum)  # 0^0 = 1: without momentum b is x, the newest alone
    eps_in, eps_out, eps_floor = map(fixed, (rule.eps_in, rule.eps_out, rule.eps_floor))
    lr, keep, decay = [*map(fixed, _lr(rule, T))], [*map(fixed, _keep(rule, T))], fixed(_l2(rule))
    v0, lr_first, divide_first = _v0(rule), rule.lr_in_buffer, rule.momentum_on == "step"

    lost = math.isnan(numbers[0])  # θ is undefined
    theta = fixed(0 if lost else numbers[0])
    g: list[int] = []
    squares: list[int] = []
    x: list[int] = []
    moves, kept = [theta], [one]  # θ_0, -u_1, …, -u_t, and the share Π k_r of each that is left
    divided_by_0 = False
    rows: Rows = []
    for t, grad in enumerate(numbers[1:], start=1):
        if math.isnan(grad) or (decay and lost):
            break
        g.append(fixed(grad) + (decay * theta >> K))
        squares.append(g[-1] ** 2)

        # Nothing is cut off before the root: V and M are v and m at 3K and 2K bits. With c as the
        # sum of the weights that there are, Cauchy-Schwarz holds in these integers too: a ≥ 0, and
        # where a is 0 it is 0 at every K.
        w = weights[t - 1 :: -1]  # of g_1, …, g_t
        start = squares[0] if v0 is None else fixed(v0) << K
        V = beta_powers[t] * start + _dot(w, squares)
        M = _dot(w, g) if rule.centered else 0
        c = sum(w) if rule.bias_correction else one
        a = (V * c - M * M) // (c * c)
        d = max(math.isqrt(a + (eps_in << K)) + eps_out, eps_floor)
        divided_by_0 |= d == 0
        lost |= divided_by_0
        d = d or one  # whatever comes of it is not handed out

        into = lr[t - 1] * g[-1] >> K if lr_first else g[-1]
        x.append((into << K) // d if divide_first else into)
        b = _dot(mu_powers[t - 1 :: -1], x) >> K
        u = (mu_powers[1] * b >> K) + x[-1] if rule.nesterov else b
        u = u if divide_first else (u << K) // d
        u = u if lr_first else lr[t - 1] * u >> K

        moves.append(-u)
        kept = [k * keep[t - 1] >> K for k in kept] + [one]
        theta = _dot(kept, moves) >> K
        row = {"theta": None if lost else theta, "v": V >> 2 * K, "m": M >> K}
        row["b"] = None if divided_by_0 and divide_first else b
        rows.append([_mpf(row[slot], K) for slot in _slots(rule)])

    return rows + [[_mpf(None, K) for _ in _slots(rule)]] * (T - len(rows))


def _dot(xs: list[int], ys: list[int]) -> int:
    return sum(x * y for x, y in zip(xs, ys, strict=True))


def _mpf(x: int | None, K: int) -> Any:
    """The number x 2^-K, with all its bits; NaN for None."""
    mpf = _mpmath().mpf
    return mpf("nan") if x is None else mpf((x, -K), prec=max(1, x.bit_length()))


def _bits(rule: Rule, numbers: list[float], digits: int) -> int:
    """A first precision for both ways: all that is given, and its weighted squares, are exact.

    That two precisions agree is worth little where both lose the same small term beside a large
    one, such as β = 1e-300 in 1-β.
    """
    T = len(numbers) - 1
    beta, mu, keep = Fraction(rule.beta), Fraction(rule.momentum), _keep(rule, T)
    given = [Fraction(0 if math.isnan(x) else x) for x in numbers]
    given += map(Fraction, (rule.eps_in, rule.eps_out, rule.eps_floor, _v0(rule) or 0))
    given += [beta, mu, *keep, *_lr(rule, T), _l2(rule), _l2(rule) * given[0]]
    fine = max(x.denominator.bit_length() for x in given)
    large = max(int(x).bit_length() for x in given)
    faded = [
        x.denominator.bit_length() - x.numerator.bit_length() for x in [beta, mu] * T + keep if x
    ]
    return 4 * digits + 64 + 3 * (fine + large) + sum(max(0, bits) for bits in faded)


def _v0(rule: Rule) -> Any:
    """The start of the average; None where it is the first square."""
    return None if rule.v0 == "first_square" else rule.v0


def _lr(rule: Rule, T: int) -> list[Fraction]:
    """η_1, …, η_T."""
    return [*map(Fraction, rule.lr[:T] if isinstance(rule.lr, tuple) else [rule.lr] * T)]


def _keep(rule: Rule, T: int) -> list[Fraction]:
    """k_1, …, k_T: what θ is multiplied by before the step."""
    strength = Fraction(rule.weight_decay)
    if rule.weight_decay_form == "l2":
        return [Fraction(1)] * T
    scaled = rule.weight_decay_form == "decoupled"
    return [1 - strength * (lr if scaled else 1) for lr in _lr(rule, T)]


def _l2(rule: Rule) -> Fraction:
    """How much of θ goes into g."""
    return Fraction(rule.weight_decay if rule.weight_decay_form == "l2" else 0)


def _until_still(
    rule: Rule, theta0: Any, grads: Any, digits: int, run: Callable[[list[float], int], Rows]
) -> Trajectory:
    """Each element run at doubled and doubled precision, until two runs agree."""
    slots = _slots(rule)
    values = np.empty((len(slots), *grads.shape), dtype=object)
    for i, theta in enumerate(theta0):
        numbers = [theta, *grads[:, i]]
        runs = (run(numbers, bits) for bits in _doubled(_bits(rule, numbers, digits)))
        for coarse, fine in pairwise(runs):
            still = [
                [_settled(x, y, digits) for x, y in zip(*rows, strict=True)]
                for rows in zip(coarse, fine, strict=True)
            ]
            restless = [(t, row.index(None)) for t, row in enumerate(still, 1) if None in row]
            if not restless:
                break
        else:
            t, slot = restless[0]
            raise ArithmeticError(
                f"{slots[slot]} of element {i} after step {t} does not settle to {digits} digits "
                f"even with {_LIMIT} bits, under {rule}"
            )
        for t, row in enumerate(still):
            values[:, t, i] = row
    return Trajectory(**dict(zip(slots, values, strict=True)))


def _settled(x: Any, y: Any, digits: int) -> Any:
    """The value that x and, at more bits, y agree on; None where they do not."""
    if x != x or y != y:
        return y if x != x and y != y else None
    if abs(x - y) * 10**digits <= abs(y):
        return y
    return y * 0 if max(abs(x), abs(y)) * _ZERO < 1 else None


def _doubled(bits: int) -> Iterator[int]:
    """Bits, twice that, and so on, until the limit is passed; two precisions at least."""
    yield bits
    while True:
        bits *= 2
        yield bits
        if bits >= _LIMIT:
            return


def _slots(rule: Rule) -> list[str]:
    """The fields of a Trajectory that the rule has."""
    return ["theta", "v"] + ["m"] * rule.centered + ["b"] * (rule.momentum != 0)


def _checked(rule: Rule, theta0: Any, grads: Any, digits: int) -> tuple[Any, Any]:
    """θ_0 and the gradients in float64, where every format is exact, or an error."""
    theta0, grads = (np.asarray(x) if isinstance(x, list) else x for x in (theta0, grads))
    for name, x, shape in (("theta0", theta0, "(n,)"), ("grads", grads, "(T, n)")):
        if dtype_name(x) not in FORMATS:
            kind = dtype_name(x) or type(x).__name__
            raise TypeError(
                f"{name} is of {kind}: expected an array {shape} of {' or '.join(FORMATS)}"
            )
    check_theta(theta0, rule)  # no symbols in the rule
    theta0, grads = (np.asarray(x).astype(np.float64) for x in (theta0, grads))
    if theta0.ndim != 1:
        raise ValueError(f"theta0 has shape {theta0.shape}: expected (n,), one number an element")
    if grads.ndim != 2 or grads.shape[1] != len(theta0):
        raise ValueError(
            f"grads has shape {grads.shape}: expected (T, {len(theta0)}), a row for each step "
            f"and a column for each of theta0's {len(theta0)} elements"
        )
    if isinstance(rule.lr, tuple) and len(rule.lr) < len(grads):
        raise ValueError(
            f"grads has {len(grads)} steps and the schedule lr has {len(rule.lr)} values: "
            "give one value a step"
        )
    if isinstance(digits, bool) or not isinstance(digits, int):
        raise TypeError(f"digits={digits!r} is not an integer: give the digits wanted, such as 50")
    if digits < 1:
        raise ValueError(f"digits={digits!r} is not positive: give the digits wanted, such as 50")
    # An infinite number has no value to compute with: it is as undefined as NaN.
    theta0, grads = (np.where(np.isfinite(x), x, np.nan) for x in (theta0, grads))
    return theta0, grads


def _mpmath() -> Any:
    try:
        import mpmath
    except ImportError as error:
        raise ImportError("exact values need mpmath: pip install 'rmsprop-ref[oracle]'") from error
    return mpmath
