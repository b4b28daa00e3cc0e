"""The oracle: whether an implementation computes the rule that it claims, to a proved tolerance."""

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.oracle.answers import Axis, Identification, RunnerUp
from rmsprop_ref.oracle.enclosures import BINARY64, DECIMAL, Enclosure, enclosure
from rmsprop_ref.oracle.identification import identify
from rmsprop_ref.oracle.inputs import FLAGS, Case, cases
from rmsprop_ref.oracle.recording import Recording
from rmsprop_ref.oracle.report import Point, Report, SuiteReport
from rmsprop_ref.oracle.suite import RULES
from rmsprop_ref.oracle.values import Trajectory, exact
from rmsprop_ref.oracle.verdicts import check, check_suite

__all__ = [
    "BINARY64",
    "DECIMAL",
    "FLAGS",
    "RULES",
    "Axis",
    "Case",
    "Enclosure",
    "Identification",
    "Point",
    "Recording",
    "Report",
    "RunnerUp",
    "SuiteReport",
    "Trajectory",
    "Unsupported",
    "cases",
    "check",
    "check_suite",
    "enclosure",
    "exact",
    "identify",
]
