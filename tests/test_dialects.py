"""Every dialect: what it gives, its inverse, its rewrites, and the formulas of its source."""

import inspect
from dataclasses import replace
from decimal import Decimal, localcontext

import library_formulas
import numpy as np
import pytest
import sympy
from library_formulas import FORMULAS

from rmsprop_ref import Rule, enclosure
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import sides
from rmsprop_ref.dialects import DIALECTS
from rmsprop_ref.dialects.dialect import _MEANING, canonical
from rmsprop_ref.oracle import BINARY64, DECIMAL

NAMES = sorted(DIALECTS)
each = pytest.mark.parametrize("name", NAMES)

# Those that no arguments turn into a Rule.
NEVER = {"cntk"}
# Those whose defaults are more than a Rule can say, with what makes them one.
WITHOUT = {"dynet": {"clipping_enabled": False}}
# Those that find the momentum as a difference of two θ, which costs it the digits that θ is larger.
LOSSY = {"lasagne", "pymc"}


def rule_at_random(rng, steps=None):
    """Any numbers, of which a dialect takes those that its library has."""
    eps = float(10.0 ** rng.uniform(-8, -1))
    lr = 10.0 ** rng.uniform(-3, 0, steps)
    return Rule(
        lr=float(lr) if steps is None else lr.tolist(),
        beta=float(rng.uniform(0.3, 0.999)),
        eps_in=eps,
        eps_out=eps,
        eps_floor=float(rng.uniform(0.1, 2.0)),
        v0=float(rng.uniform(0, 3)),
        momentum=float(rng.choice([0.0, rng.uniform(0.1, 0.99)])),
        weight_decay=float(rng.choice([0.0, rng.uniform(0.01, 0.3)])),
    )


def arguments_at_random(dialect, rng, steps=None):
    """The library's own arguments: numbers and flags at random, the others by default."""
    rule = rule_at_random(rng, steps)
    drawn = dict(WITHOUT.get(dialect.name, {}))
    for parameter in dialect.signature.parameters.values():
        name = parameter.name
        if name in drawn or name in dialect.false_friends:
            continue
        if name in dialect.means:
            drawn[name] = getattr(rule, dialect.means[name])
        elif isinstance(parameter.default, bool):
            drawn[name] = bool(rng.integers(2))
        elif name in _MEANING:
            drawn[name] = _MEANING[name](rule)
    return drawn


def settings_at_random(dialect, rng, count, steps=None):
    """As many settings as asked for, of arguments that the dialect does not refuse."""
    found, reasons = [], set()
    for _ in range(40 * count):
        arguments = arguments_at_random(dialect, rng, steps)
        try:
            found.append(dialect(**arguments))
        except (Unsupported, ValueError) as refused:
            reasons.add(str(refused))
        if len(found) == count:
            return found
    raise AssertionError(f"{dialect.name} takes too few arguments: {reasons}")


@each
def test_a_dialect_says_what_it_is(name):
    dialect = DIALECTS[name]
    assert dialect.name == name
    assert ": " in dialect.source or dialect.status == "told"
    assert all((dialect.library, dialect.version, dialect.__doc__, dialect.language))
    assert dialect.status in ("run", "read", "told")
    for discussion in dialect.discussions:
        assert len(discussion.split("/")) == len(discussion.split("#")) == 2
    assert dialect.means.keys() <= dialect.signature.parameters.keys()
    assert set(dialect.false_friends) <= dialect.signature.parameters.keys()


@each
def test_its_defaults_are_a_rule_or_refused_with_a_reason(name):
    dialect = DIALECTS[name]
    if name in NEVER or name in WITHOUT:
        with pytest.raises(Unsupported, match=r".{40}"):
            dialect(**dialect.required)
    if name not in NEVER:
        setting = dialect(**dialect.required, **WITHOUT.get(name, {}))
        assert isinstance(setting.rule, Rule)
        assert dialect.arguments(setting.rule)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEVER])
def test_its_inverse_gives_the_rule_back(name):
    dialect, rng = DIALECTS[name], np.random.default_rng(0)
    for setting in settings_at_random(dialect, rng, 40):
        back = dialect(**dialect.arguments(setting.rule))
        assert canonical(back.rule) == canonical(setting.rule)


@each
def test_what_it_claims_is_not_what_it_does(name):
    """Otherwise there is nothing to claim. A refusal of the arguments is a difference too."""
    dialect = DIALECTS[name]
    for claim in dialect.claims:
        assert claim.source
        try:
            does = dialect(**claim.arguments).rule
        except Unsupported:
            continue
        assert canonical(does) != canonical(claim.rule)


# Rewrites


def written(formula):
    """A formula of ``arithmetic.sides`` in SymPy, with real numbers for its names."""
    if not isinstance(formula, tuple):
        return (
            sympy.Symbol(formula, real=True)
            if isinstance(formula, str)
            else sympy.Integer(int(formula))
        )
    op, *operands = formula
    x = [written(operand) for operand in operands]
    if op == "sqrt":
        return sympy.sqrt(x[0])
    if op == "neg":
        return -x[0]
    if op == "fma":
        return x[0] * x[1] + x[2]
    return {"+": x[0].__add__, "-": x[0].__sub__, "*": x[0].__mul__, "/": x[0].__truediv__,
            "**": x[0].__pow__}[op](x[1])  # fmt: skip


def all_rewrites():
    for name in NAMES:
        dialect, rng = DIALECTS[name], np.random.default_rng(1)
        found = {dialect.arithmetic}
        if name not in NEVER:
            found |= {setting.arithmetic for setting in settings_at_random(dialect, rng, 20)}
        for arithmetic in found - {None}:
            yield from arithmetic.rewrites


@pytest.mark.parametrize("rewrite", sorted(set(all_rewrites())))
def test_a_rewrite_is_an_identity(rewrite):
    left, right = sides(rewrite)
    assert left != right
    assert sympy.simplify(written(left) - written(right)) == 0


# Formulas


def formula_settings(name, count=12):
    """Settings with a schedule where the library has one; and the learning rate of each step."""
    dialect, rng = DIALECTS[name], np.random.default_rng(2)
    for steps in (20, None):
        try:
            for setting in settings_at_random(dialect, rng, count // 2, steps):
                lr = setting.rule.lr
                yield setting, lr if isinstance(lr, tuple) else (lr,) * 20
        except AssertionError:
            assert steps == 20  # it has no schedule


def inputs(rng):
    scale = 10.0 ** rng.uniform(-4, 3, 40)
    theta = rng.normal(size=40) * rng.choice([0, 0.01, 1, 100], 40)
    return theta, rng.normal(size=(20, 40)) * scale * (rng.random((20, 40)) > 0.1)


def farthest(rule, theta, grads, got, reading=BINARY64):
    """The largest error in units of what is allowed."""
    return np.nanmax(enclosure(rule, theta, grads, "float64", reading=reading).theta.excess(got))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_of_its_source_is_inside_the_enclosure_of_its_rule(name):
    """And that of a neighbouring rule is not, so that a wrong dialect would be seen."""
    dialect, formula, rng = DIALECTS[name], FORMULAS[name], np.random.default_rng(3)
    rate = {"lr"} | {p for p in dialect.signature.parameters if _is_rate(dialect, p)}
    takes = inspect.signature(formula).parameters.keys() - {"theta", "grads", "lr"}
    tried = 0
    for setting, lr in formula_settings(name):
        told = {k: x for k, x in setting.arguments.items() if k not in rate}
        defaults = dialect.signature.parameters
        assert all(told[k] == defaults[k].default for k in told.keys() - takes)
        theta, grads = inputs(rng)
        arguments = {k: told[k] for k in takes}
        if name in LOSSY:
            arguments = {k: x if isinstance(x, bool) else Decimal(x) for k, x in arguments.items()}
        numbers = decimals if name in LOSSY else lambda *told: told
        with np.errstate(all="ignore"), localcontext(prec=40):
            got = np.array(list(formula(*numbers(theta, grads, lr), **arguments))).astype(float)
        assert np.isfinite(got).mean() > 0.9
        reading = DECIMAL if name == "dqn" else BINARY64  # it says 0.95 and 0.05
        assert farthest(setting.rule, theta, grads, got, reading) <= 1
        if tried % 6 == 0:
            for other in neighbours(setting.rule):
                assert farthest(other, theta, grads, got) > 1e3
        tried += 1
    assert tried >= 6


def _is_rate(dialect, name):
    if name in dialect.means:
        return dialect.means[name] == "lr"
    return name in _MEANING and _MEANING[name](Rule(lr=0.123)) == 0.123


def decimals(*told):
    """The same numbers with forty digits, for what loses more in float64 than a Rule allows."""
    return [np.vectorize(Decimal, otypes=[object])(x) for x in told]


def neighbours(rule):
    """The same numbers, with ε elsewhere, another start, or the learning rate elsewhere."""
    yield replace(rule, v0=rule.v0 + 1.0)
    if rule.eps_in != rule.eps_out:
        yield replace(rule, eps_in=rule.eps_out, eps_out=rule.eps_in)
    if rule.momentum:
        yield replace(rule, momentum=0.0, nesterov=False)
        if isinstance(rule.lr, tuple):
            yield replace(rule, lr_in_buffer=not rule.lr_in_buffer)
    if rule.weight_decay:
        other = "l2" if rule.weight_decay_form != "l2" else "decoupled"
        yield replace(rule, weight_decay_form=other)
    yield replace(rule, centered=not rule.centered)


def test_climin_asks_for_gradients_where_nesterov_would():
    """What its dialect says of momentum. Its own θ is a step behind the points where it asks."""
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(5, 5))
    curvature = matrix @ matrix.T
    steps = library_formulas.climin_asks(
        rng.normal(size=5), lambda x: curvature @ x, 0.05, 0.9, 0.8, 21
    )
    asked, gradients, held = map(np.array, zip(*steps, strict=True))
    plain = Rule(lr=0.05, beta=0.9, eps_in=1e-8, v0=1.0, momentum=0.8, lr_in_buffer=True)
    nesterov = replace(plain, nesterov=True)
    assert farthest(nesterov, asked[0], gradients[:-1], asked[1:]) <= 1
    assert farthest(nesterov, asked[0], gradients, held) > 1e3
    # Fed gradients that were recorded, it is plain momentum; but plain momentum takes them at held.
    assert farthest(plain, asked[0], gradients, held) <= 1
    assert np.abs(gradients[1:] - held[:-1] @ curvature).max() > 1e-3
