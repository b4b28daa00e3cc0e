"""Conformance tests for pytest: one test for each rule and each input.

See :func:`parametrize_conformance`. It needs pytest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from rmsprop_ref.adapters import Broken, Unsupported
from rmsprop_ref.oracle import RULES, Case, cases, check
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.enclosures import check_rule, format_name
from rmsprop_ref.oracle.judgement import Judgement, expected
from rmsprop_ref.oracle.running import Run, attempt
from rmsprop_ref.pytest_plugin import seen
from rmsprop_ref.rule import Rule

__all__ = ["ConformanceCase", "parametrize_conformance"]


def parametrize_conformance(
    make: Callable[..., Any],
    rules: Rule | Mapping[str, Rule] | Iterable[Rule] | None = None,
    dtypes: Sequence[Any] = ("float32",),
    *,
    timeout: float = 10.0,
) -> pytest.MarkDecorator:
    """Make of a test function with the argument ``case`` one test for each rule, dtype and input.

    The tests are called as ``plain-float32-usual``; the last of each rule and dtype,
    ``repeated-calls``, gives one run the same input twice. Nothing is run before a test is.

    Each input is judged by itself. :func:`rmsprop_ref.check` judges all together, and is stricter
    in one point: they must be legal under one reading of the hyper-parameters.

    Parameters
    ----------
    make : callable
        ``make(rule) -> run``, called by each test; it, or the run, raises ``Unsupported`` for a
        rule that the implementation does not have, and the test is skipped. When ``rules`` is a
        single Rule: the run itself.
    rules : Rule, mapping of names to Rules, or Rules, optional
        What is claimed; by default the rules of the suite.
    dtypes : sequence of str
        In which formats.
    timeout : float
        Seconds that one call of a run may take.

    Raises
    ------
    TypeError, ValueError
        For a ``make`` that cannot be called, a rule that is no Rule of numbers, another dtype, a
        timeout that is not above 0.

    Examples
    --------
    >>> from rmsprop_ref import Rule, init, step
    >>> def make(rule):
    ...     def run(theta, grads):
    ...         state = init(theta, rule)
    ...         for grad in grads:
    ...             theta, state = step(theta, grad, state, rule)
    ...             yield theta
    ...
    ...     return run
    >>> @parametrize_conformance(make, rules={"mine": Rule(lr=0.01), "slow": Rule(lr=1e-4)})
    ... def test_my_rmsprop(case):
    ...     case.check()

    For one implementation of one rule:

    >>> @parametrize_conformance(make(Rule(lr=0.5)), Rule(lr=0.5), dtypes=["float32", "float64"])
    ... def test_my_run(case):
    ...     case.check()
    """
    if not callable(make):
        raise TypeError(f"make is {make!r}: expected a callable")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r} is not possible: it is a number of seconds above 0")
    if isinstance(rules, Rule):
        run = make
        return parametrize_conformance(lambda rule: run, {"": rules}, dtypes, timeout=timeout)
    if rules is None:
        rules = RULES
    if not isinstance(rules, Mapping):
        rules = {str(i): rule for i, rule in enumerate(rules)}
    made = [
        case
        for name, rule in rules.items()
        for dtype in map(format_name, dtypes)
        for case in _conformance_cases(make, name, rule, dtype, timeout)
    ]
    return pytest.mark.parametrize("case", made, ids=str)


def _conformance_cases(
    make: Callable[[Rule], Run], name: str, rule: Rule, dtype: str, timeout: float
) -> list[ConformanceCase]:
    check_rule(rule)
    prefix = f"{name}-{dtype}" if name else dtype
    inputs = cases(rule, dtype)

    @cache
    def whole() -> str:
        report = check(make(rule), rule, dtype, timeout=timeout)
        return f"{report.verdict}: {report.diagnosis}"

    asked: dict[str, tuple[Case, ...]] = {case.id: (case,) for case in inputs}
    asked["repeated-calls"] = inputs[0], inputs[1], inputs[0]
    return [
        ConformanceCase(f"{prefix}-{name}", rule, dtype, calls, make, timeout, whole)
        for name, calls in asked.items()
    ]


@dataclass(frozen=True, eq=False)
class ConformanceCase:
    """One input for one rule, to be checked.

    Attributes
    ----------
    id : str
        The rule's name, the dtype and the input's id.
    rule : Rule
        What is claimed.
    dtype : str
        In which format.
    inputs : tuple of Case
        The input; or those of the repeated calls.
    make : callable
        ``make(rule) -> run``.
    timeout : float
        Seconds that one call of the run may take.
    diagnosis : callable
        What the check of all inputs says, for an input that fails: it runs once.
    """

    id: str
    rule: Rule
    dtype: str
    inputs: tuple[Case, ...]
    make: Callable[[Rule], Run]
    timeout: float
    diagnosis: Callable[[], str]

    def __str__(self) -> str:
        return self.id

    __repr__ = __str__  # what pytest shows of the argument ``case``

    def check(self) -> None:
        """Run the implementation on the input, and judge what it gives.

        Raises
        ------
        AssertionError
            When it is wrong: where, what it gave, what is right, and what the check of all inputs
            says of the implementation.
        pytest.skip.Exception
            When the implementation says that it does not have the rule.
        """
        __tracebackhide__ = True
        cause: BaseException | None = None
        try:
            run = self.make(self.rule)
            got = [attempt(run, case, self.timeout) for case in self.inputs]
            wrong = self._wrong(got)
        except Unsupported as error:
            pytest.skip(str(error))
        except Broken as error:
            wrong, cause = f"input {self.inputs[0].id}: {error}", error.__cause__
        if wrong:
            seen.append("failed")
            raise AssertionError(f"{wrong}\nall inputs together: {self.diagnosis()}") from cause

    def _wrong(self, got: list[Floats]) -> str:
        """What is wrong with the trajectories; nothing, if nothing is."""
        if len(got) > 1:
            if np.array_equal(got[0], got[-1], equal_nan=True):
                return ""
            return "asked again, it gives another result: it keeps state, or draws at random"
        (case,), (trajectory,) = self.inputs, got
        right = expected(self.rule, self.dtype)
        judgement = Judgement(right, {case.id: trajectory})
        point = judgement.first([case.id])
        if point is None:
            exact = np.array_equal(right.bits[case.id], trajectory, equal_nan=True)
            seen.append("exact" if exact else "proven")
            return ""
        return str(point)
