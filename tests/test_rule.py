"""A Rule says what is wrong with it: the name, the value and what would be right."""

import copy
import pickle
import re
from collections import deque
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import sympy

from rmsprop_ref import Rule
from rmsprop_ref.rule import _ELSEWHERE

NUMBERS = ("lr", "beta", "eps_in", "eps_out", "eps_floor", "v0", "momentum", "weight_decay")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, -1e-300, float("nan"), float("inf"), -np.inf, 10**400])
def test_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"^{name}=.* is out of range: .* lies in \[0, (∞\)|1\])"):
        Rule(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["0.1", None, True, 1j, [[0.1]], {0.1}, Decimal("0.1"), object()])
def test_not_a_number(name, value):
    with pytest.raises(TypeError, match=rf"^{name}(\[0\])?=.* is not a real number"):
        Rule(**{name: value})


@pytest.mark.parametrize("name", ["beta", "momentum"])
def test_weights_end_at_one(name):
    assert getattr(Rule(**{name: 1}), name) == 1.0
    with pytest.raises(ValueError, match=rf"{name}=1.0000000000000002 is out of range: .*\[0, 1\]"):
        Rule(**{name: np.nextafter(1, 2)})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("rho", "beta"),
        ("alpha", "beta"),
        ("decay", "beta"),
        ("gamma", "beta"),
        ("beta2", "beta"),
        ("epsilon", "eps_out .* or eps_in"),
        ("eps", "eps_out .* or eps_in"),
        ("learning_rate", "lr"),
        ("step_size", "lr"),
        ("initial_scale", "v0"),
        ("lr_in_momentum", "lr_in_buffer"),
        ("centred", "centered"),
    ],
)
def test_other_libraries_names(theirs, ours):
    with pytest.raises(TypeError, match=f"no field '{theirs}': here it is called {ours}"):
        Rule(**{theirs: 0.9})


def test_other_wrong_names():
    with pytest.raises(TypeError, match="no field 'momentun': did you mean momentum"):
        Rule(momentun=0.9)
    with pytest.raises(TypeError, match="no field 'temperature': it has lr, beta, "):
        Rule(temperature=0.9)
    with pytest.raises(TypeError, match=r"by name: Rule\(lr=0.01, "):
        Rule(0.01)


def test_combinations_without_meaning():
    with pytest.raises(ValueError, match=r"nesterov=True with momentum=0 .*\(0, 1\]"):
        Rule(nesterov=True)
    with pytest.raises(ValueError, match="bias_correction=True with beta=1 divides by"):
        Rule(bias_correction=True, beta=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("centered", 1),
        ("nesterov", "yes"),
        ("bias_correction", None),
        ("momentum_on", "steps"),
        ("weight_decay_form", "L2"),
        ("weight_decay_form", True),
    ],
)
def test_choices(name, value):
    with pytest.raises(ValueError, match=rf"{name}={value!r} is not possible: {name} is .* or "):
        Rule(**{name: value})


def test_schedules():
    assert Rule(lr=[0.1, 0.2]).lr == Rule(lr=np.array([0.1, 0.2])).lr == (0.1, 0.2)
    with pytest.raises(ValueError, match="empty schedule"):
        Rule(lr=[])
    with pytest.raises(ValueError, match=r"lr\[1\]=-0.1 is out of range"):
        Rule(lr=(0.1, -0.1))
    with pytest.raises(ValueError, match="step 3 has no learning rate: the schedule lr has 2"):
        Rule(lr=[0.1, 0.2]).constants(3)


def test_v0_has_a_name_among_its_values():
    assert Rule(v0="first_square").v0 == "first_square"
    with pytest.raises(TypeError, match="or is 'first_square'"):
        Rule(v0="first")


def test_numbers_stand_for_exactly_themselves():
    assert Rule(lr=np.float32(0.1)).lr == float(np.float32(0.1))
    assert Rule(lr=np.array(0.5)).lr == 0.5
    assert Rule(lr=Fraction(1, 4), beta=0).lr == 0.25
    with pytest.raises(ValueError, match=r"lr=Fraction\(1, 3\) is not a binary64 number"):
        Rule(lr=Fraction(1, 3))


def test_symbols_are_refused_only_where_they_are_provably_wrong():
    x = sympy.Symbol("x")
    assert Rule(lr=x, beta=x).lr is x
    assert Rule(beta=sympy.Rational(9, 10)).beta == sympy.Rational(9, 10)
    for wrong in (
        sympy.Symbol("y", negative=True),
        sympy.nan,
        sympy.oo,
        sympy.I,
        sympy.Integer(-1),
    ):
        with pytest.raises(ValueError, match="out of range"):
            Rule(lr=wrong)
    with pytest.raises(ValueError, match="out of range"):
        Rule(beta=sympy.Rational(3, 2))


def test_a_rule_is_a_value():
    rule = Rule(lr=[0.1, 0.2], momentum=0.9)
    assert rule == pickle.loads(pickle.dumps(rule)) == copy.deepcopy(rule) == replace(rule)
    assert hash(rule) == hash(replace(rule))
    assert replace(rule, lr=0.1) != rule
    with pytest.raises(FrozenInstanceError):
        rule.lr = 0.1
    with pytest.raises(ValueError, match="beta=2"):
        replace(rule, beta=2)


def test_one_epsilon_unless_two_are_asked_for():
    assert (Rule().eps_in, Rule().eps_out, Rule().eps_floor) == (0.0, 1e-8, 0.0)
    assert Rule(eps_in=1e-7).eps_out == 0.0
    assert Rule(eps_floor=1e-7).eps_out == 0.0
    assert Rule(eps_in=0).eps_out == 1e-8
    assert Rule(eps_in=1e-7, eps_out=1e-8).eps_out == 1e-8
    assert replace(Rule(eps_in=1e-7), lr=0.1) == Rule(lr=0.1, eps_in=1e-7)


def test_every_foreign_name_leads_to_a_field():
    fields = set(Rule.__dataclass_fields__)
    for theirs, ours in _ELSEWHERE.items():
        assert theirs not in fields
        assert fields & set(re.findall(r"\w+", ours))
        with pytest.raises(TypeError, match=f"no field '{theirs}': here it is called {ours[:5]}"):
            Rule(**{theirs: 0.5})
    assert _ELSEWHERE["mu"] == _ELSEWHERE["beta1"] == "momentum"


@pytest.mark.parametrize(
    "value", [sympy.Matrix([1, 2]), sympy.Eq(sympy.Symbol("x"), 1), sympy.Symbol("x") > 0]
)
def test_what_sympy_has_besides_numbers(value):
    with pytest.raises(TypeError, match=r"(?s)^lr=.* is not a real number"):
        Rule(lr=value)


def test_sympy_floats_are_floats():
    with pytest.raises(ValueError, match="nesterov=True with momentum=0"):
        Rule(nesterov=True, momentum=sympy.Float(0))
    with pytest.raises(ValueError, match="bias_correction=True with beta=1"):
        Rule(bias_correction=True, beta=sympy.Float(1))


def test_an_integer_too_long_to_print():
    with pytest.raises(ValueError, match="lr, an integer of 16610 bits, is out of range"):
        Rule(lr=10**5000)


def test_schedules_are_any_sequence():
    assert Rule(lr=range(1, 3)).lr == Rule(lr=deque([1, 2])).lr == (1.0, 2.0)
    assert Rule(nesterov=np.bool_(True), momentum=0.5).nesterov is True
    with pytest.raises(TypeError, match=r"(?s)lr=array.* is not a real number"):
        Rule(lr=np.ones((2, 2)))
    with pytest.raises(ValueError, match="step 0 has no learning rate"):
        Rule(lr=[0.1]).constants(0)


def test_no_bias_to_correct():
    with pytest.raises(ValueError, match="no meaning with v0='first_square'"):
        Rule(bias_correction=True, v0="first_square")


def test_minus_zero_is_zero():
    assert str(Rule(eps_out=-0.0).eps_out) == "0.0"
