"""The verdict on an implementation: it computes the rule that it claims, or what it does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from rmsprop_ref.adapters import Broken, Unsupported
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.diagnosis import diagnosed
from rmsprop_ref.oracle.enclosures import check_rule, format_name
from rmsprop_ref.oracle.inputs import Case, cases
from rmsprop_ref.oracle.judgement import Expected, Judgement, Trajectories, expected
from rmsprop_ref.oracle.report import CaseResult, Report, SuiteReport
from rmsprop_ref.oracle.running import Run, TimedOut, attempt
from rmsprop_ref.oracle.suite import RULES
from rmsprop_ref.rule import Rule


def check(run: Run, rule: Rule, dtype: Any = "float32", *, timeout: float = 10.0) -> Report:
    """Whether ``run`` computes ``rule`` in ``dtype``, and if not, what it does.

    Parameters
    ----------
    run : callable
        ``run(theta0, grads) -> trajectory``: the parameters before the first step, shape (n,), and
        the gradient of each step, (T, n), to the parameters after each step, (T, n); all in
        ``dtype``. A list or a generator of rows will do.
    rule : Rule
        What it claims to compute; its hyper-parameters are those that ``run`` has built in.
    dtype : str or dtype
        ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``.
    timeout : float
        Seconds that one call of ``run`` may take.

    Raises
    ------
    TypeError, ValueError
        For a run that cannot be called, a rule that is no Rule of numbers, another dtype.
    Unsupported
        When the implementation itself says that it cannot express the rule.

    Examples
    --------
    >>> def stays(theta0, grads):
    ...     return [theta0 for _ in grads]
    >>> print(check(stays, Rule(lr=0.5)).diagnosis)
    θ never moves
    """
    if not callable(run):
        raise TypeError(f"run is {run!r}: expected a callable run(theta0, grads) -> trajectory")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r} is not possible: it is a number of seconds above 0")
    name = format_name(dtype)
    check_rule(rule)
    inputs = cases(rule, name)

    got: dict[str, Floats] = {}
    broken: dict[str, str] = {}
    errors: list[Broken] = []
    for case in inputs:
        try:
            got[case.id] = attempt(run, case, timeout)
        except Broken as error:
            broken[case.id] = str(error)
            errors.append(error)
            if isinstance(error, TimedOut):  # it would only take longer
                break
    first = inputs[0]
    if first.id in got and not any(isinstance(error, TimedOut) for error in errors):
        broken = _unrepeatable(run, first, got[first.id], expected(rule, name), timeout) | broken
    return _report(rule, name, inputs, got, broken)


def check_suite(
    make: Callable[[Rule], Run],
    rules: Mapping[str, Rule] | Iterable[Rule] | None = None,
    dtypes: Sequence[Any] = ("float32", "float64"),
    *,
    timeout: float = 10.0,
    executor: Executor | None = None,
) -> SuiteReport:
    """Check an adapter on all rules and dtypes that it supports.

    Parameters
    ----------
    make : callable
        ``make(rule) -> run``; it raises ``Unsupported``, with the reason, for a rule that the
        library cannot express, and so may ``run``.
    rules : mapping of names to Rules, or Rules, optional
        Which; by default the rules of the suite.
    dtypes : sequence of str
        Which.
    timeout : float
        Seconds that one call of a run may take.
    executor : concurrent.futures.Executor, optional
        Where the checks run, each a job: a pool of processes, a Dask client's
        ``client.get_executor()``, or another. Processes need a ``make`` that can be pickled: a
        function at the top of a module. By default all run here, one after the other.
    """
    if rules is None:
        rules = RULES
    if not isinstance(rules, Mapping):
        rules = {str(i): rule for i, rule in enumerate(rules)}
    named = [format_name(dtype) for dtype in dtypes]
    for rule in rules.values():
        check_rule(rule)
    asked = [(name, rule, dtype) for name, rule in rules.items() for dtype in named]
    given = [(make, rule, dtype, timeout) for _, rule, dtype in asked]
    if executor is None:
        reports = [_supported(*each) for each in _progress(given)]
    else:
        futures = [executor.submit(_supported, *each) for each in given]
        reports = [future.result() for future in _progress(futures)]
    rows = zip(asked, reports, strict=True)
    return SuiteReport(tuple((name, dtype, report) for (name, _, dtype), report in rows))


def _supported(make: Callable[[Rule], Run], rule: Rule, dtype: str, timeout: float) -> Report | str:
    """The report on what ``make`` makes of a rule, or why it makes nothing."""
    try:
        run = make(rule)
    except Unsupported as error:
        return str(error)
    except Exception as error:
        said = f"make raised {type(error).__name__}: {error}"
        return Report("broken", said, rule, dtype, axis="interface")
    try:
        return check(run, rule, dtype, timeout=timeout)
    except Unsupported as error:
        return str(error)


def _progress(items: list[Any]) -> Iterator[Any]:
    """The items; on a terminal a bar, once it has taken two seconds."""
    start = time.monotonic()
    shown = False
    for i, item in enumerate(items):
        if sys.stderr.isatty() and time.monotonic() - start > 2:
            done = 30 * i // len(items)
            sys.stderr.write(f"\r[{'#' * done}{'.' * (30 - done)}] {i} of {len(items)} ")
            shown = True
        yield item
    if shown:
        sys.stderr.write("\r\x1b[K")


def _unrepeatable(
    run: Run, case: Case, first: Floats, right: Expected, timeout: float
) -> dict[str, str]:
    """What is wrong with a second and a third call, after all the others."""
    try:
        again = attempt(run, case, timeout)
        other_order = attempt(run, case, timeout, order="F")
    except Broken as error:
        return {case.id: f"called again with the same input: {error}"}
    if not np.array_equal(first, again, equal_nan=True):
        if Judgement(right, {case.id: first}).passes:
            said = "it keeps state from one call to the next: right the first time, not later"
        else:
            said = "it is not repeatable: the same input gives another result each time"
        return {case.id: said}
    if not np.array_equal(first, other_order, equal_nan=True):
        return {case.id: "the result depends on the order of the gradients in memory"}
    return {}


def _report(
    rule: Rule,
    dtype: str,
    inputs: Sequence[Case],
    got: Trajectories,
    broken: Mapping[str, str],
) -> Report:
    right = expected(rule, dtype)
    judged = [case for case in inputs if case.id in got]
    judgement = Judgement(right, got)
    bits = right.bits
    exact = {
        case.id: np.array_equal(bits[case.id], got[case.id], equal_nan=True) for case in judged
    }
    results = tuple(
        CaseResult(case.id, "broken", np.nan, broken[case.id])
        if case.id in broken
        else judgement.result(case, exact[case.id])
        for case in inputs
        if case.id in got or case.id in broken
    )
    ordinary = [case.id for case in judged if case.ordinary]
    common: dict[str, Any] = {"rule": rule, "dtype": dtype, "cases": results}
    if not broken and judgement.passes:
        verdict = "exact" if all(exact.values()) else "proven"
        said = {
            "exact": "the reference's own bits, on every input",
            "proven": "inside the enclosure of every legal evaluation, on every input",
        }[verdict]
        reading = judgement.reading.name
        if judgement.flush:
            reading += "; subnormal numbers flushed to zero"
        return Report(verdict, said, reading=reading, worst=judgement.worst(ordinary), **common)

    bad = [case.id for case in judged if np.any(judgement.excess[case.id] > 1)]
    shown = [case for case in bad if case in ordinary] or bad
    common |= {"worst": judgement.worst(shown), "first": judgement.first(shown)}
    unrepeatable = any(case in broken for case in got)
    found = diagnosed(judgement, judged, shown) if bad and not unrepeatable else None
    if broken:
        case_id, sentence = next(iter(broken.items()))
        others = f", and on {len(broken) - 1} more" if len(broken) > 1 else ""
        said = f"{sentence} (input {case_id}{others})"
        if found is not None and found.verdict == "wrong rule" and found.axis != "unknown":
            said += f"; besides, {found.sentence}"
        return Report("broken", said, axis="interface", **common)
    assert found is not None
    computes = found.rule if found.verdict == "wrong rule" and found.rule != rule else None
    return Report(found.verdict, found.sentence, axis=found.axis, computes=computes, **common)
