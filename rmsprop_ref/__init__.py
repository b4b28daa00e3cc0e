"""RMSProp to learn and to look up: one annotated reference, its algebra, and a course.

>>> from rmsprop_ref import Rule, init, step
"""

from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule, State

__all__ = ["Rule", "State", "init", "step"]
__version__ = "0.1.0"
