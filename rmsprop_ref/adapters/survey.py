"""Everything that the oracle can say of one adapter: the material of the atlas.

``python -m rmsprop_ref.adapters NAME`` prints it as JSON, in the environment of the library.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from itertools import islice
from typing import Any

import numpy as np

from rmsprop_ref.adapters import Broken, Unsupported
from rmsprop_ref.adapters.catalogue import Adapter
from rmsprop_ref.arithmetic import Arithmetic
from rmsprop_ref.constant import FORMATS
from rmsprop_ref.dialects.dialect import Setting, canonical
from rmsprop_ref.oracle import check
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.oracle.inputs import Case
from rmsprop_ref.oracle.report import Report
from rmsprop_ref.oracle.running import attempt
from rmsprop_ref.oracle.suite import RULES
from rmsprop_ref.rule import Rule

TIMEOUT = 120.0  # seconds for one trajectory: the first call may compile
LONG_RUN = (10_000, 100_000)  # steps and elements over which bits are compared
SHORT_RUN = (100, 1_000)


def survey(adapter: Adapter) -> dict[str, Any]:
    """What the oracle says of an adapter, ready for JSON.

    Raises
    ------
    Unsupported
        When the library is not installed.
    """
    settings = expressible(adapter)
    rows = []
    for name, setting in settings.items():
        run = adapter.run(setting.arguments)
        verdicts = {dtype: _judged(run, setting.rule, dtype) for dtype in adapter.dtypes}
        bits = {d: bits_of(adapter, setting, d, *SHORT_RUN) for d in adapter.dtypes}
        rows.append(
            {
                "suite": name,
                "rule": fields_of(setting.rule),
                "arguments": setting.arguments,
                "verdicts": verdicts,
                "bits": bits,
            }
        )
    return {
        "adapter": adapter.name,
        "dialect": adapter.dialect_name,
        "versions": versions(adapter),
        "rules": rows,
        "special": {dtype: special(adapter, dtype) for dtype in adapter.dtypes},
        "claims": [_claimed(adapter, claim) for claim in adapter.dialect.claims],
    }


def expressible(adapter: Adapter) -> dict[str, Setting]:
    """The suite in the library's own terms: for each of its rules the nearest that there is.

    Those that come out equal are named after the first.
    """
    found: dict[Rule, tuple[str, Setting]] = {}
    for name, rule in RULES.items():
        try:
            setting = adapter.dialect.nearest(rule)
        except Unsupported:
            continue
        found.setdefault(canonical(setting.rule), (name, setting))
    return dict(found.values())


def versions(adapter: Adapter) -> dict[str, str]:
    """What was run: what the install command pins, NumPy, Python, the kind of machine."""
    pins = re.findall(r"([\w@/.-]+?)(?:\[\w+\])?(?:==|@)([\w.]+)", adapter.needs)
    found = {"numpy": np.__version__} | dict(pins)
    for name, _ in () if adapter.is_program else pins:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found | {"python": platform.python_version(), "machine": platform.machine()}


def _judged(run: Any, rule: Rule, dtype: str) -> dict[str, Any]:
    try:
        report = check(run, rule, dtype, timeout=TIMEOUT)
    except Unsupported as error:
        return {"verdict": "unsupported", "diagnosis": str(error)}
    return _summary(report)


def _summary(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {"verdict": report.verdict, "diagnosis": report.diagnosis}
    if report.reading:
        found["reading"] = report.reading
    if report.worst is not None and report.ok and report.worst.allowed:
        found["worst"] = round(report.worst.error / report.worst.allowed, 2)
    if report.first is not None and not report.ok:
        found["first"] = str(report.first)
    outside = [case.case for case in report.cases if case.verdict not in ("exact", "proven")]
    return found | ({"outside": outside} if outside else {})


def _claimed(adapter: Adapter, claim: Any) -> dict[str, Any]:
    """The library with certain arguments beside what its documentation says of them."""
    dtype = "float32" if "float32" in adapter.dtypes else adapter.dtypes[-1]
    return {
        "arguments": dict(claim.arguments),
        "claimed": fields_of(claim.rule),
        "source": claim.source,
        "dtype": dtype,
        **_judged(adapter.run(claim.arguments), claim.rule, dtype),
    }


# Bits


def bits_of(
    adapter: Adapter,
    setting: Setting,
    dtype: str,
    steps: int,
    elements: int,
    *,
    stop: bool = False,
) -> dict[str, Any]:
    """How far the reference, in the dialect's Arithmetic, goes bit for bit with the library.

    Returns
    -------
    dict
        ``arithmetic``: whether the dialect has one (else the reference's own order is taken);
        ``steps``, ``elements``: of the comparison; ``differs``: the first step after which a
        parameter differs, or None; ``share``: of the parameters equal after the last step, which
        is the first that differs where ``stop`` says so.
    """
    if isinstance(setting.rule.lr, tuple):
        steps = min(steps, len(setting.rule.lr))
    theta0, grads = drawn(dtype, steps, elements)
    known = adapter.arithmetic or setting.arithmetic
    arithmetic = known or Arithmetic()
    found = {
        "arithmetic": known is not None,
        "steps": steps,
        "elements": elements,
        "differs": None,
        "share": 1.0,
    }
    ours = arithmetic.run(setting.rule)(theta0, grads())
    try:
        theirs = adapter.run(setting.arguments)(theta0, _sequence(adapter, grads, steps))
        for t, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
            same = (np.asarray(a) == np.asarray(b)) | (np.isnan(a) & np.isnan(b))
            found["share"] = round(float(same.mean()), 6)
            if found["differs"] is None and not same.all():
                found["differs"] = t
                if stop:
                    break
    except (Unsupported, Broken, ValueError) as error:
        return {"arithmetic": found["arithmetic"], "unsupported": str(error)}
    return found


def _sequence(adapter: Adapter, grads: Callable[[], Iterator[Any]], steps: int) -> Any:
    """Gradients one by one; as one array for a program that reads them all at once."""
    return np.array(list(islice(grads(), steps))) if adapter.is_program else grads()


def drawn(dtype: str, steps: int, elements: int) -> tuple[Any, Callable[[], Iterator[Any]]]:
    """Parameters, and gradients of many sizes, which are drawn as they are asked for."""
    kind = numpy_dtype(dtype)
    rng = np.random.default_rng(20121)
    theta0 = rng.standard_normal(elements).astype(kind)
    scales = np.exp2(rng.integers(-6, 4, elements))

    def grads() -> Iterator[Any]:
        random = np.random.default_rng(20122)
        for _ in range(steps):
            yield (random.standard_normal(elements, np.float32) * scales).astype(kind)

    return theta0, grads


def long_run(adapter: Adapter, rules: Mapping[str, str]) -> dict[str, Any]:
    """Ten thousand steps of 100,000 elements, or until a bit differs. It takes minutes.

    Parameters
    ----------
    adapter : Adapter
        A library. A program reads all gradients at once, and is not asked.
    rules : mapping of str to str
        For each dtype the name of the rule: one whose bits are all the same in a short run.
    """
    settings = expressible(adapter)
    return {
        dtype: {"suite": name} | bits_of(adapter, settings[name], dtype, *LONG_RUN, stop=True)
        for dtype, name in rules.items()
    }


# Special values


def special(adapter: Adapter, dtype: str) -> dict[str, str]:
    """What becomes of θ in the cases that a rule leaves open, or in which libraries fail.

    Each is run with the library's defaults, but for what its name says.
    """
    kind = numpy_dtype(dtype)
    _, e_min, e_max = FORMATS[dtype]
    takes = adapter.dialect.signature.parameters
    defaults = adapter.dialect(**adapter.dialect.required).arguments
    eps = next((name for name in ("eps", "epsilon", "delta") if name in takes), None)

    def ask(grads: Any, theta0: Any = (1.0,), **changed: Any) -> Any:
        theta = np.asarray(theta0, kind)
        rows = np.asarray(grads, np.float64).astype(kind).reshape(-1, len(theta))
        case = Case("", Rule(), dtype, theta.astype(float), rows.astype(float), (), "", False)
        return attempt(adapter.run(defaults | changed), case, TIMEOUT)

    def outcome(grads: Any, theta0: Any = (1.0,), **changed: Any) -> str:
        try:
            got = ask(grads, theta0, **changed)
        except (Unsupported, Broken) as error:
            return f"refused: {str(error).splitlines()[0]}"
        return _class(got[-1], np.asarray(theta0, kind).astype(float))

    found = {"g = 0": outcome([0.0])}
    if eps:
        found["g = 0, ε = 0"] = outcome([0.0], **{eps: 0.0})
    huge = float(2.0 ** (e_max - 1))
    found["g² overflows"] = outcome([huge])
    found["g is subnormal"] = outcome([2.0**e_min], (0.0,))
    found["g is infinite"] = outcome([np.inf])
    found["g is NaN"] = outcome([np.nan])
    try:
        signs = ask([[0.0, -0.0]], (-0.0, -0.0))
        kept = ["kept" if np.signbit(x) else "lost" for x in signs[-1]]
        found["θ = -0, g = 0 or -0"] = f"sign {kept[0]} or {kept[1]}"
    except (Unsupported, Broken):
        pass
    centered = next((name for name in ("centered", "centred") if name in takes), None)
    if centered and dtype in ("float32", "float64"):
        found["centered, constant g"] = _constant_share(ask, centered)
    return found


def _constant_share(ask: Callable[..., Any], centered: str) -> str:
    """How many constant gradients end in NaN: v - m² cancels, and rounding makes it negative."""
    constants = np.exp(np.random.default_rng(7).uniform(np.log(1e-6), np.log(1e3), 1024))
    try:
        got = ask(np.tile(constants, (400, 1)), np.zeros(1024), **{centered: True})
    except (Unsupported, Broken) as error:
        return f"refused: {str(error).splitlines()[0]}"
    lost = int(np.isnan(got[-1]).sum())
    return "finite" if lost == 0 else f"NaN for {lost} of 1024 after 400 steps"


def _class(got: Any, before: Any) -> str:
    if np.isnan(got).any():
        return "NaN"
    if np.isinf(got).any():
        return "infinite"
    return "θ stays" if np.array_equal(got, before) else "θ moves"


def fields_of(rule: Rule) -> dict[str, Any]:
    """The fields of a rule that are not those of the plain one, and always lr, β and ε."""
    plain, named = Rule(), asdict(rule)
    always = ("lr", "beta", "eps_in", "eps_out")
    return {
        field.name: named[field.name]
        for field in fields(Rule)
        if field.name in always or named[field.name] != getattr(plain, field.name)
    }
