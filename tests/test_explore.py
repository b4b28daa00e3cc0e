"""The explorable: the page runs the reference, and what it tells the reader to notice is so."""

import html
import re
import subprocess

import numpy as np
import pytest
from test_site import CHROMIUM, SITES

from rmsprop_ref import Rule
from rmsprop_ref.course.runs import gradient_descent, rmsprop_states
from rmsprop_ref.trace import javascript, trace

ETA, BETA, STEPS = 0.02, 0.9, 300


@pytest.fixture(params=SITES)
def page(request):
    path = SITES[request.param] / "book" / "explore.html"
    if not path.exists():
        pytest.skip(f"not built: make {'book' if request.param == 'html' else request.param}")
    return path


def test_the_page_brings_the_reference_along(page):
    program = trace(Rule(), free=["lr", "beta", "eps_in", "eps_out"])
    code = javascript(program, "rmspropStep")
    text = page.read_text(encoding="utf-8")
    assert f"<script>\n{code}\n</script>" in text
    shown = re.search(r'<div class="highlight-javascript.*?</div>', text, re.DOTALL)[0]
    assert html.unescape(re.sub("<.*?>", "", shown)).strip() == code
    script = page.parents[1] / "_static" / "explore.js"
    assert "rmspropStep(" in script.read_text(encoding="utf-8")


def test_no_other_page_loads_it(page):
    for other in page.parents[1].rglob("*.html"):
        text = other.read_text(encoding="utf-8")
        assert ("explore.js" in text) == ("explore.css" in text) == (other == page), other


class Run:
    """RMSProp and gradient descent where the page starts, apart from what is said."""

    def __init__(self, ratio=100.0, turn=0, start=(1.0, 1.0), lr=ETA, **numbers):
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        axes = np.array([[c, -s], [s, c]])
        hessian = axes @ np.diag([1, ratio]) @ axes.T

        def gradient(theta):
            return hessian @ theta

        rule = Rule(**{"lr": lr, "beta": BETA, "eps_out": 1e-8, **numbers})
        run = rmsprop_states(gradient, axes @ start, rule, STEPS)
        self.path = np.array([theta for theta, _ in run])
        self.roots = np.sqrt([state.v for _, state in run])
        self.steps = np.abs(np.diff(self.path, axis=0)) / lr
        self.left = np.linalg.norm(self.path, axis=1)
        descent = gradient_descent(gradient, axes @ start, 2 / (1 + ratio), STEPS)
        self.descent_left = np.linalg.norm(descent, axis=1)


def test_two_degrees_are_enough_and_turn_gradient_descent_only_along():
    straight, turned = Run(), Run(turn=2)
    line = straight.path[:51]
    np.testing.assert_allclose(line[:, 0], line[:, 1], rtol=1e-5)
    assert straight.left[50] < 0.15
    assert turned.left[50] > 0.99
    np.testing.assert_allclose(turned.descent_left, straight.descent_left, rtol=1e-9)


def test_the_path_is_the_same_in_every_valley():
    for ratio in (1, 1000):
        np.testing.assert_allclose(Run(ratio=ratio).path, Run().path, atol=1e-5)


@pytest.mark.parametrize("start", [(1, 1), (1, 0.05), (-0.3, 0.8)])
def test_the_path_sets_off_at_45_degrees(start):
    first = Run(start=start).steps[0]
    assert first[0] == pytest.approx(first[1], rel=1e-5)


def test_twice_the_rate_arrives_in_half_the_steps_and_jumps_twice_as_far():
    arrived = [int(np.argmax(Run(lr=lr).left < 0.1)) for lr in (ETA, 2 * ETA)]
    assert arrived[1] / arrived[0] == pytest.approx(0.5, abs=0.05)
    for lr in (ETA, 2 * ETA):
        np.testing.assert_allclose(Run(lr=lr).steps[-1], 1, rtol=1e-3)


def test_without_a_past_a_step_is_eta_and_with_a_long_one_the_first_is_ten():
    signs = Run(beta=0.0)
    large = np.abs(signs.path[:-1]) > 1e-4  # against ε; the 51st gradient is not
    assert large.sum() >= 2 * STEPS - 2
    np.testing.assert_allclose(signs.steps[large], 1, rtol=1e-3)
    np.testing.assert_allclose(Run(beta=0.99).steps[0], 10, rtol=1e-6)


def test_epsilon_brings_the_flat_weight_to_rest_and_then_nearly_stops_it():
    assert Run(eps_out=1e-8).steps[-1].min() > 0.99
    flat, steep = Run(eps_out=0.1).steps[-1]
    assert flat < 1e-12
    assert steep > 0.9
    creeping = Run(eps_out=10.0)
    assert 0.5 < creeping.path[-1, 0] < 0.6
    assert creeping.left[-1] > 100 * creeping.descent_left[-1]


def test_the_same_number_inside_the_root():
    assert Run(eps_out=1e-4).steps[-1, 0] > 0.9
    assert Run(eps_out=0.0, eps_in=1e-4).steps[-1, 0] < 1e-12
    assert Run(eps_out=1e-2).steps[-1, 0] < 1e-12  # what weighs the same outside


def test_the_box_has_the_shape_of_the_valley_or_is_a_square():
    wide, tall = Run().roots[1:51].T
    np.testing.assert_allclose(tall / wide, 100, rtol=1e-3)
    wide, tall = Run(turn=45).roots[1:51].T
    np.testing.assert_allclose(tall / wide, 1, atol=0.1)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_the_numbers_of_the_reference(page, tmp_path):
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"]
    arguments += ["--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    done = subprocess.run(
        [CHROMIUM, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    readouts = re.findall(r'<p id="explore-(?:readout|status)".*?>(.*?)</p>', done.stdout)
    run = Run()
    numbers = [run.left[50], run.descent_left[50], *run.steps[49], *run.roots[50]]
    mine, other, *rest = (f"{x:.2g}" for x in numbers)
    words = f"After 50 steps RMSProp is {mine} from the minimum, gradient descent {other}."
    for readout in readouts:
        assert readout.startswith(words)
        assert re.findall(r"[\d.]+\d", readout)[3:] == rest
    assert len(readouts) == 2  # to be seen, and to be heard
