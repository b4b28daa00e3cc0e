"""The update equations of any Rule: what ``reference.step`` does to symbols."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import sympy
from sympy import Eq, Expr, Symbol, symbols
from sympy.printing.latex import LatexPrinter

from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State

# The state before the step, the gradient, and the state after it.
theta, g, m, b = symbols("theta g m b", real=True)
v, v_t, v_hat, m_hat = symbols("v v_t v_hat m_hat", real=True)
theta_t, m_t, b_t = symbols("theta_t m_t b_t", real=True)
g_decayed = Symbol("g_decayed", real=True)
# The hyper-parameters.
eta, beta, mu, lambda_ = symbols("eta beta mu lambda", positive=True)
eps_in, eps_out, eps_floor, v0 = symbols("eps_in eps_out eps_floor v_0", positive=True)
t = Symbol("t", integer=True, positive=True)

_SYMBOL_OF = {
    "lr": eta,
    "beta": beta,
    "eps_in": eps_in,
    "eps_out": eps_out,
    "eps_floor": eps_floor,
    "v0": v0,
    "momentum": mu,
    "weight_decay": lambda_,
}


def symbolized(rule: Rule) -> Rule:
    """The same variant with each number that is not zero replaced by its symbol."""
    names = [name for name in _SYMBOL_OF if getattr(rule, name) not in (0, "first_square")]
    return replace(rule, **{name: _SYMBOL_OF[name] for name in names})


def equations(rule: Rule) -> tuple[Eq, ...]:
    """The update equations of ``rule``, in order, as ``reference.step`` computes them.

    Each is one assignment: its left side is new, its right side holds what was there before it.
    Where the average starts, ``v0``, is not part of the update.
    """
    before = State(t - 1, v, m if rule.centered else None, b if rule.momentum != 0 else None)
    new_theta, after = step(theta, g, before, symbolized(rule), sympy)
    named: list[tuple[Symbol, Expr]] = []
    if rule.weight_decay != 0 and rule.weight_decay_form == "l2":
        named.append((g_decayed, g + lambda_ * theta))
    corrected = rule.bias_correction
    for name, value in (
        (v_t, after.v),
        (v_hat, v_t / (1 - beta**t) if corrected else None),
        (m_t, after.m),
        (m_hat, m_t / (1 - beta**t) if corrected and rule.centered else None),
        (b_t, after.b),
        (theta_t, new_theta),
    ):
        if value is not None:
            for earlier, expression in named:
                value = value.subs(expression, earlier)
            named.append((name, value))
    return tuple(Eq(name, value, evaluate=False) for name, value in named)


def latex(rule: Rule) -> str:
    """The update equations of ``rule`` as LaTeX, one line each, aligned at the equals signs."""
    names = {**_NAMES, eta: r"\eta_t"} if isinstance(rule.lr, tuple) else _NAMES
    lines = (rf"{tex(eq.lhs, names)} &= {tex(eq.rhs, names)}" for eq in equations(rule))
    return r"\begin{aligned}" + r" \\[4pt] ".join(lines) + r"\end{aligned}"


# How the symbols are written in the update equations, and in which order they read best: what is
# old before what is new.
_NAMES = {
    theta: r"\theta_{t-1}",
    b: "b_{t-1}",
    m: "m_{t-1}",
    v: "v_{t-1}",
    theta_t: r"\theta_t",
    g_decayed: r"\tilde g_t",
    g: "g_t",
    v_hat: r"\hat v_t",
    m_hat: r"\hat m_t",
    eta: r"\eta",
    mu: r"\mu",
    beta: r"\beta",
    eps_in: r"\varepsilon_{\mathrm{in}}",
    eps_out: r"\varepsilon_{\mathrm{out}}",
    eps_floor: r"\varepsilon_{\mathrm{floor}}",
    lambda_: r"\lambda",
}
_ORDER = ("theta", "b", "m", "v", "v_hat", "m_hat", "v_t", "m_t", "b_t", "g_decayed", "g")
_PLACE = {name: place for place, name in enumerate(_ORDER)}
_HYPER = {"c", *(str(symbol) for symbol in _SYMBOL_OF.values())}  # c: a factor on all gradients


def _place(expression: Expr) -> int:
    names = {str(symbol) for symbol in expression.free_symbols}
    if not names:
        return -1  # numbers first
    if "lambda" in names:  # weight decay last: it came after the rest
        return 100
    return min(_PLACE.get(name, 99 if name in _HYPER else 50) for name in names)


class _InReadingOrder(LatexPrinter):  # type: ignore[misc]  # SymPy ships no types
    """SymPy's LaTeX, but sums and products in the order in which a person writes them."""

    def _print_Add(self, expr: Expr, order: Any = None) -> str:
        terms = sorted(expr.as_ordered_terms(), key=_place)
        first = next((x for x in terms if not x.could_extract_minus_sign()), terms[0])
        terms = [first, *(term for term in terms if term is not first)]
        return re.sub(r"\+ -\s*", "- ", " + ".join(str(self._print(term)) for term in terms))

    def _print_Mul(self, expr: Expr) -> str:
        if expr.could_extract_minus_sign():
            return f"- {self._print(-expr)}"
        above, below = sympy.fraction(expr)
        if below != 1:
            return rf"\frac{{{self._print(above)}}}{{{self._print(below)}}}"

        def key(factor: Expr) -> tuple[bool, bool, int]:  # numbers, hyper-parameters, the rest
            names = {str(symbol) for symbol in factor.free_symbols}
            return isinstance(factor, sympy.Sum), not names <= _HYPER, _place(factor)

        factors = sorted(expr.as_ordered_factors(), key=key)
        return " ".join(str(self.parenthesize(factor, 50)) for factor in factors)

    def _print_Function(self, expr: Expr, exp: str | None = None) -> str:
        if str(expr.func) != "g":
            return str(super()._print_Function(expr, exp))
        return f"g_{{{self._print(expr.args[0])}}}" + (f"^{{{exp}}}" if exp else "")


def tex(expression: Any, names: Any = None) -> str:
    """``expression`` as LaTeX, in reading order; ``names`` says how symbols are written."""
    return str(_InReadingOrder({"symbol_names": names or {}}).doprint(expression))
