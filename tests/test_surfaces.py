"""The surfaces of the chapter on non-convex losses, and how runs on them are counted."""

import mpmath
import numpy as np
import pytest
import sympy

from rmsprop_ref import Rule
from rmsprop_ref.course import runs
from rmsprop_ref.course import surfaces as on
from rmsprop_ref.course.surfaces import METHODS, RATES, ROTATED, SURFACES, X, Y

ALL = {**SURFACES, **ROTATED}


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_the_derivative_of_the_loss(name):
    surface = ALL[name]
    loss = sympy.lambdify((X, Y), surface.formula, "mpmath")
    for x, y in surface.starts(3):
        got = surface.gradient(np.array([x, y]))
        with mpmath.workdps(40):
            exact = [mpmath.diff(loss, (x, y), n) for n in ((1, 0), (0, 1))]
        scale = float(max(1, *map(abs, exact)))
        # (Sums of terms up to 1e4 times their result: 1e-12 is 1e4 roundings.)
        assert np.abs(got - np.array(exact, dtype=float)).max() <= 1e-12 * scale


@pytest.mark.parametrize("name", SURFACES)
def test_the_minima_are_the_lowest_points_of_the_box(name):
    surface = SURFACES[name]
    lowest = surface.loss(*surface.minima.T)
    assert np.ptp(lowest) < 1e-12
    assert surface.loss(*surface.starts(400).T).min() >= lowest.min() - 1e-12
    hessian = sympy.hessian(surface.formula, (X, Y))
    for x, y in surface.minima:
        assert np.linalg.eigvalsh(np.array(hessian.subs({X: x, Y: y}), float))[0] > 0


@pytest.mark.parametrize("name", ["saddle", "monkey saddle"])
def test_no_start_lies_on_the_line_that_leads_into_the_saddle(name):
    starts = SURFACES[name].starts()
    assert starts.shape == (on.SIDE**2, 2)
    assert np.abs(starts[:, 1]).min() > 0.01


def test_a_turned_surface_is_the_same_at_turned_points():
    ours = SURFACES["Rosenbrock"]
    points = ours.starts(7)
    for name, degrees in on.ANGLES.items():
        turned = ours.turn(points, degrees)
        np.testing.assert_allclose(
            ROTATED[name].loss(*turned.T), ours.loss(*points.T), rtol=1e-11, atol=1e-11
        )


def test_the_run_of_rmsprop_is_that_of_the_reference():
    surface, start = SURFACES["Beale"], np.array([-2.5, -1.0])
    ours = np.stack(list(on.positions(surface, "RMSProp", 0.01, start, 50)))
    reference = runs.rmsprop(surface.gradient, start, Rule(lr=0.01, beta=0.9, eps_out=1e-8), 50)
    np.testing.assert_array_equal(ours, reference)


def test_a_falling_rate_ends_at_zero():
    path = [*on.positions(SURFACES["saddle"], "RMSProp", 0.1, np.ones(2), 10, falling=True)]
    lengths = np.abs(np.diff(np.stack(path)[:, 0]))
    assert lengths[0] == pytest.approx(0.1 / np.sqrt(0.1), rel=1e-6)
    assert lengths[-1] < 0.02


def test_arrival_is_the_last_time_in():
    far, near = np.array([[0.0, 5.0]]), np.array([[0.0, 1.0]])
    saddle = SURFACES["saddle"]  # a minimum at (0, 1)
    assert on.arrivals(saddle, [near, near]) == 0
    assert on.arrivals(saddle, [far, near, far, near, near]) == 3
    assert on.arrivals(saddle, [near, near, far]) == np.inf
    assert on.arrivals(saddle, [near, near * np.nan]) == np.inf


def test_the_stored_table_has_each_method_at_its_best_rate():
    best = on.tuned()
    for surface in SURFACES:
        for method in METHODS:
            row = best[surface, method]
            assert RATES[0] < row.lr < RATES[-1]
            assert 0 < row.arrived <= on.SIDE**2
    assert set(on.tuned(falling=True)) == {(s, m) for s in SURFACES for m in on.TUNED}


def test_ends():
    saddle = SURFACES["saddle"]
    ends = on.ends_in(saddle, [np.zeros((3, 2)), np.array([[0, 1.1], [0, -0.9], [3, 0.0]])])
    assert ends.tolist() == [0, 1, -1]
