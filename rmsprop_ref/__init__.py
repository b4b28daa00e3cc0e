"""RMSProp to learn, to look up, and to test others: a course, a reference, an oracle.

>>> from rmsprop_ref import Rule, init, step, check
"""

from typing import Any

from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule, State

__version__ = "0.1.0"

# The oracle and the dialects load when they are first used.
_ORACLE = (
    "Identification",
    "Recording",
    "Report",
    "SuiteReport",
    "Unsupported",
    "check",
    "check_suite",
    "enclosure",
    "exact",
    "identify",
)
_TRANSLATION = ("Translation", "translate")
__all__ = ["Rule", "State", "init", "step", *_ORACLE, *_TRANSLATION]


def __getattr__(name: str) -> Any:
    if name in _ORACLE:
        from rmsprop_ref import oracle

        return getattr(oracle, name)
    if name in _TRANSLATION:
        from rmsprop_ref.dialects import translation

        return getattr(translation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ORACLE, *_TRANSLATION])
