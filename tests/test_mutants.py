import numpy as np
import pytest

from rmsprop_ref import Rule, init, step
from rmsprop_ref.course.mutants import MUTANTS, RMSProp
from rmsprop_ref.course.published_tests import PUBLISHED, descend, differs, pytorch, verdict

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
# Centered and bias-corrected, the variance after one step is 0 but for rounding: tested apart.
BOTH = BY_NAME["correction-mean-forgotten"].rule
RULES = {mutant.rule for mutant in MUTANTS} | {rule for test in PUBLISHED for rule in test.rules}


def reference(rule):
    def run(theta0, grads):
        theta, state, rows = theta0, init(theta0, rule), []
        with np.errstate(all="ignore"):
            for g in grads:
                theta, state = step(theta, g, state, rule)
                rows.append(theta)
        return np.array(rows, theta0.dtype).reshape(grads.shape)

    return run


def test_table():
    assert len(BY_NAME) == len(MUTANTS) >= 72
    assert len({mutant.fault for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        assert mutant.fault
        assert not mutant.fault.endswith(".")
        assert mutant.keywords
        assert all(word and word == word.lower() for word in mutant.keywords)


@pytest.mark.parametrize("rule", sorted(RULES - {BOTH}, key=repr))
def test_the_honest_class_computes_the_rule(rule):
    assert not differs(RMSProp(rule), reference(rule), rule)


def test_the_honest_class_where_the_variance_cancels():
    rng = np.random.default_rng(3)
    theta0, grads = rng.standard_normal(7), 1e-2 * rng.standard_normal((12, 7))
    expected = reference(BOTH)(theta0, grads)
    assert np.allclose(RMSProp(BOTH)(theta0, grads), expected, rtol=1e-9)
    wrong = BY_NAME["correction-mean-forgotten"].run(theta0, grads)
    assert not np.allclose(wrong, expected, rtol=1e-4)


@pytest.mark.parametrize("name", BY_NAME)
def test_each_mutant_is_wrong(name):
    mutant = BY_NAME[name]
    assert differs(mutant.run, reference(mutant.rule), mutant.rule)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mutants_run_in_every_dtype(dtype):
    rng = np.random.default_rng(2)
    theta0, grads = rng.standard_normal(17).astype(dtype), rng.standard_normal((12, 17))
    for mutant in MUTANTS:
        got = mutant.run(theta0.copy(), grads.astype(dtype))
        assert got.dtype == dtype or mutant.name == "precision-float64-result"


def test_the_rest_of_a_rule_survives_a_fault():
    """A mutant is its rule with one line changed, not another rule altogether."""
    rule = Rule(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1)
    wrong = Rule(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1, eps_in=1e-8)
    assert not differs(BY_NAME["epsilon-inside"].make(rule), reference(wrong), rule)


@pytest.mark.parametrize("test", PUBLISHED, ids=lambda test: test.name)
def test_published_tests_accept_the_honest(test):
    assert test.accepts(RMSProp)


def test_published_tests_are_no_oracles():
    torch = PUBLISHED[-1]
    assert torch.accepts is pytorch
    assert verdict(torch, BY_NAME["epsilon-inside"]) is True
    assert verdict(torch, BY_NAME["step-sign"]) is False
    assert verdict(torch, BY_NAME["momentum-nesterov-missing"]) is None
    assert verdict(torch, BY_NAME["shape-transposed"]) is None


def test_a_closed_loop_from_outside():
    rule, theta0 = Rule(lr=0.05), np.array([1.0, -3.0])
    inside = descend(RMSProp(rule), theta0, lambda theta: 2 * theta, 30)
    outside = descend(reference(rule), theta0, lambda theta: 2 * theta, 30)
    assert np.allclose(inside, outside, rtol=1e-12)
