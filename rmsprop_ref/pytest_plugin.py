"""The pytest plugin: a fixture that checks, and a line at the end that counts the inputs checked.

It is loaded in every run of pytest where rmsprop_ref is installed: the oracle waits for its use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# What the test that runs now has found: "exact", "proven" or "failed", for each input.
seen: list[str] = []


@pytest.fixture(scope="session")
def rmsprop_check() -> Callable[..., Any]:
    """``check`` for a test: ``rmsprop_check(run, rule, dtype="float32")`` fails or gives a Report.

    Examples
    --------
    ::

        def test_my_rmsprop(rmsprop_check):
            rmsprop_check(run, Rule(lr=0.01))
    """
    from rmsprop_ref.oracle import Report, Unsupported, check

    def checked(run: Any, rule: Any, dtype: Any = "float32", *, timeout: float = 10.0) -> Report:
        __tracebackhide__ = True
        try:
            report = check(run, rule, dtype, timeout=timeout)
        except Unsupported as error:
            pytest.skip(str(error))
        found = (case.verdict for case in report.cases)
        seen.extend(kind if kind in ("exact", "proven") else "failed" for kind in found)
        report.raise_for_failure()
        return report

    return checked


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Hand the counts of a test to its report, which may travel to another process."""
    yield
    if seen:
        item.user_properties.append(("rmsprop_ref", dict(Counter(seen))))
        seen.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many inputs were checked, if any."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, value in report.user_properties:
                    if name == "rmsprop_ref":
                        total.update(value)
    if total:
        parts = ", ".join(f"{total[kind]} {kind}" for kind in ("exact", "proven", "failed"))
        count = f"{total.total()} input{'s' * (total.total() != 1)}"
        terminalreporter.write_line(f"rmsprop_ref: {count}: {parts}")
