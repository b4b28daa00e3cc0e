"""The recurrent networks of chapter 16: their gradients, their sequences, what is said of steps."""

import contextlib
import io

import mpmath
import numpy as np
import pytest
import sympy

from rmsprop_ref import Rule, State, step
from rmsprop_ref.course.experiments import stored
from rmsprop_ref.course.recurrent import (
    SGD_RATE,
    TASKS,
    Network,
    Stack,
    adding,
    by_lag,
    clipped,
    final,
    ladder,
    network,
    quadrants,
    recall,
    train,
    zen,
)
from rmsprop_ref.course.runs import on_gradients


def finite_differences(net, theta, x, y, h=1e-5):
    slopes = [
        (net.loss_and_gradient(theta + e, x, y)[0] - net.loss_and_gradient(theta - e, x, y)[0])
        / (2 * h)
        for e in h * np.eye(net.size)
    ]
    return np.stack(slopes, axis=-1)


@pytest.mark.parametrize("cell", ["tanh", "lstm"])
@pytest.mark.parametrize(("task", "length"), [("adding", 5), ("recall", 4), ("text", 3)])
def test_gradient_against_differences(cell, task, length):
    net = network(task, cell, 3)
    theta = net.start([1, 2], 1.3)
    batches = [TASKS[task](np.random.default_rng(seed), 4, length) for seed in (3, 4)]
    x, y = (np.stack(both) for both in zip(*batches, strict=True))
    slope = net.loss_and_gradient(theta, x, y)[1]
    # The differences neglect h² = 1e-10 times a third derivative, and lose 1e-16/h to rounding.
    np.testing.assert_allclose(slope, finite_differences(net, theta, x, y), atol=1e-7)


def test_gradient_of_the_stack_against_differences():
    net = Stack(3, 4)
    theta = net.start([1, 2])
    x, y = (a[None] for a in quadrants(np.random.default_rng(3), 8, 0))
    slope = net.loss_and_gradient(theta, x, y)[1]
    np.testing.assert_allclose(slope, finite_differences(net, theta, x, y), atol=1e-8)


@pytest.mark.parametrize(("cell", "hidden"), [("tanh", 2), ("lstm", 1)])
def test_gradient_against_sympy(cell, hidden):
    """The same network written in symbols, for a few steps of time, differentiated by SymPy."""
    net, length = Network(cell, 1, hidden, 1), 3 if cell == "tanh" else 2
    names = sympy.symbols(f"w:{net.size}")
    parts, at = {}, 0
    for name, shape in net.shapes.items():
        parts[name] = sympy.Matrix(*shape, names[at : at + shape[0] * shape[1]])
        at += shape[0] * shape[1]
    xs = [sympy.Rational(1, 2), sympy.Rational(-3, 4), sympy.Rational(1, 5)]
    h = c = sympy.zeros(1, hidden)
    for number in xs[:length]:
        z = h * parts["W"] + number * parts["U"] + parts["b"]
        if cell == "tanh":
            h = z.applyfunc(sympy.tanh)
            continue
        i, f, o = (z[:, k].applyfunc(lambda u: 1 / (1 + sympy.exp(-u))) for k in range(3))
        c = f.multiply_elementwise(c) + i.multiply_elementwise(z[:, 3].applyfunc(sympy.tanh))
        h = o.multiply_elementwise(c.applyfunc(sympy.tanh))
    loss = ((h * parts["V"] + parts["c"])[0] - sympy.Rational(1, 3)) ** 2
    theta = np.random.default_rng(1).standard_normal((1, net.size))
    formulas = [loss, *(sympy.diff(loss, name) for name in names)]
    with mpmath.workdps(30):
        exact = sympy.lambdify(names, formulas, "mpmath", cse=True)(*map(mpmath.mpf, theta[0]))

    x = np.array(xs[:length], float).reshape(1, length, 1, 1)
    found, slope = net.loss_and_gradient(theta, x, np.array([[[1 / 3]]]))
    np.testing.assert_allclose(found[0], float(exact[0]), rtol=1e-13)
    np.testing.assert_allclose(slope[0], np.array(exact[1:], float), rtol=1e-12, atol=1e-15)


def test_runs_are_independent_and_views_are_views():
    net = network("recall", "lstm", 3)
    theta = net.start([1, 2])
    x, y = (a[None] for a in recall(np.random.default_rng(0), 4, 6))
    loss, slope = net.loss_and_gradient(theta, x, y)
    alone, alone_slope = net.loss_and_gradient(theta[1:], x, y)
    np.testing.assert_allclose((loss[1], *slope[1]), (alone[0], *alone_slope[0]), rtol=1e-12)
    net.views(theta)["c"][:] = 7.0
    assert (theta[:, -4:] == 7.0).all()


def test_lags_sum_to_the_gradient():
    net = network("adding", "tanh", 4)
    x, y = (a[None] for a in adding(np.random.default_rng(0), 4, 6))
    back = net.through(net.start([1]), x, y)
    lags = by_lag(back)
    np.testing.assert_allclose(lags.sum(1), net.views(back.slope)["W"], rtol=1e-12, atol=1e-16)
    assert (lags[:, -1] == 0).all()  # before the first step the state is zero


def test_sequences():
    x, y = adding(np.random.default_rng(0), 20000, 10)
    assert (x[:5, :, 1].sum(0) == 1).all()
    assert (x[5:, :, 1].sum(0) == 1).all()
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(0), y[:, 0], rtol=1e-15)
    # Four standard errors: (y-1)² has the variance 7/180.
    assert abs(((y - 1) ** 2).mean() - 1 / 6) < 4 * np.sqrt(7 / 180 / 20000)
    x, y = recall(np.random.default_rng(0), 50, 7)
    assert (x[0, :, :4] == y).all()
    assert not x[1:, :, :4].any()

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile("import importlib, this; importlib.reload(this)", "zen", "exec"))
    assert printed.getvalue().endswith(zen() + "\n")
    x, y = TASKS["text"](np.random.default_rng(0), 5, 8)
    assert (x[1:] == y[:-1]).all()


def test_clipping():
    g = np.array([[3.0, 4.0], [0.3, 0.4]])
    moved, _ = clipped(np.zeros((2, 2)), g, {}, lr=1.0)
    np.testing.assert_allclose(-moved, [[0.6, 0.8], [0.3, 0.4]], rtol=1e-15)


def test_a_stored_run_of_a_recurrent_network():
    """Where training does not amplify rounding: the three lowest rates."""
    job = {"task": "recall", "cell": "tanh", "length": 10, "steps": 1000, "method": "SGD, clipped"}
    (result,) = (found for each, found in stored("sequences") if each == job)
    rates = ladder("SGD, clipped", "recall")[:3]
    again = final(train("recall", "tanh", 10, 1000, "SGD, clipped", rates, range(3))).mean(-1)
    np.testing.assert_allclose(again, result["tuning"][:3], rtol=1e-5)


def test_the_mixtures_leave_gradient_descent_its_own_best_rate():
    job = {"task": "recall", "cell": "tanh", "length": 20, "steps": 1000, "method": "SGD"}
    (result,) = (found for each, found in stored("sequences") if each == job)
    assert result["best"] == pytest.approx(SGD_RATE, rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_no_step_is_longer_than_the_cap(beta):
    grads = np.random.default_rng(0).standard_cauchy((500, 200)) ** 3
    steps = np.abs(np.diff(on_gradients(grads, Rule(lr=1.0, beta=beta, eps_out=0.0)), axis=0))
    cap = 1 / np.sqrt(1 - beta)
    assert steps.max() <= cap * (1 + 1e-12)
    assert steps.max() > 0.999 * cap  # the first step reaches it


def test_contributions_keep_their_ratio():
    near, far, v = np.array([1.0, -2.0]), np.array([1e-3, 1e-6]), np.array([0.5, 7.0])
    rule = Rule(lr=0.1, beta=0.9)
    moved, state = step(np.zeros(2), near + far, State(0, v), rule)
    d = np.sqrt(state.v) + rule.eps_out
    np.testing.assert_allclose(-moved, 0.1 * near / d + 0.1 * far / d, rtol=1e-14)
