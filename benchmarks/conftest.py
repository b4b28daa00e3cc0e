"""At the end of a run: the table of the ratios."""

import pytest

MEASURED = pytest.StashKey[dict]()


@pytest.fixture
def measured(pytestconfig):
    """Seconds an element and step, by dtype and by what was measured."""
    return pytestconfig.stash.setdefault(MEASURED, {})


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(MEASURED, {})
    if not found:
        return
    terminalreporter.section("one element, one step")
    for dtype, seconds in found.items():
        for name, best in seconds.items():
            line = f"{dtype:8} {name:32} {best * 1e9:12.1f} ns"
            if name != "enclosure" and "enclosure" in seconds:
                ratio = seconds["enclosure"] / best
                side = (
                    f"{ratio:.0f} times as long" if ratio > 1 else f"{1 / ratio:.0f} times faster"
                )
                line += f"   the enclosure: {side}"
            terminalreporter.write_line(line)
