"""Other people's RMSProps as implementations under test: an adapter makes a run from a Rule.

``make(rule)`` gives a callable ``run(theta0, grads) -> trajectory``: parameters ``(n,)`` and
gradients ``(T, n)`` in, the parameters after each step ``(T, n)`` out. Nothing is imported here:
each adapter is a module of its own, and loads with the library that it adapts.
"""

__all__ = ["Broken", "Unsupported"]


class Unsupported(Exception):  # noqa: N818 — no error: the library is as it is
    """A rule that the library cannot express, with the reason."""


class Broken(Exception):  # noqa: N818 (it is a verdict)
    """What an implementation did that is no trajectory, as a sentence."""
