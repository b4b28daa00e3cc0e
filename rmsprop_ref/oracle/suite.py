"""The rules of the suite: each axis of a Rule, alone and together; and the published cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rmsprop_ref.oracle.inputs import FAMILIES, Case, case
from rmsprop_ref.rule import Rule

# A warm-up, a plateau and a decay, in twelve steps; no two neighbours are equal.
SCHEDULE = (0.01, 0.02, 0.04, 0.08, 0.05, 0.1, 0.05, 0.025, 0.0125, 0.025, 0.00625, 0.003125)

RULES = {
    "plain": Rule(),
    "beta-0": Rule(beta=0.0),
    "beta-0.99": Rule(lr=0.001, beta=0.99),
    "beta-0.999": Rule(lr=0.001, beta=0.999),
    "beta-0.9999": Rule(lr=0.001, beta=0.9999, eps_out=1e-6),
    "beta-1": Rule(beta=1.0, v0=1.0),
    "no-epsilon": Rule(eps_out=0.0),
    "large-epsilon": Rule(eps_out=1.0),
    "epsilon-inside": Rule(lr=0.001, eps_in=1e-7),
    "epsilon-on-both-sides": Rule(beta=0.95, eps_in=1e-6, eps_out=1e-6),
    "epsilon-floor": Rule(eps_floor=1e-5),
    "start-at-one": Rule(v0=1.0, eps_in=1e-10),
    "start-at-first-square": Rule(beta=0.99, v0="first_square", eps_out=1e-5),
    "bias-correction": Rule(beta=0.99, bias_correction=True),
    "centered": Rule(beta=0.99, centered=True),
    "centered-epsilon-inside": Rule(lr=0.00025, beta=0.95, centered=True, eps_in=0.01),
    "centered-bias-correction": Rule(centered=True, bias_correction=True, eps_in=1e-4),
    "schedule": Rule(lr=SCHEDULE),
    "momentum": Rule(momentum=0.9),
    "momentum-schedule": Rule(lr=SCHEDULE, momentum=0.9),
    "momentum-lr-in-buffer-schedule": Rule(lr=SCHEDULE, momentum=0.9, lr_in_buffer=True),
    "momentum-1": Rule(lr=0.001, momentum=1.0),
    "momentum-on-gradient": Rule(beta=0.99, momentum=0.9, momentum_on="gradient"),
    "nesterov": Rule(momentum=0.9, nesterov=True, lr_in_buffer=True, eps_in=1e-8),
    "l2": Rule(weight_decay=0.1),
    "l2-momentum-centered": Rule(
        beta=0.99, momentum=0.9, centered=True, weight_decay=0.01, eps_out=1e-3
    ),
    "decoupled": Rule(weight_decay=0.1, weight_decay_form="decoupled"),
    "decoupled-schedule": Rule(lr=SCHEDULE, weight_decay=0.5, weight_decay_form="decoupled"),
    "decoupled-unscaled": Rule(weight_decay=0.01, weight_decay_form="decoupled_unscaled"),
    "graves": Rule(lr=1e-4, beta=0.95, eps_in=1e-4, centered=True, momentum=0.9, lr_in_buffer=True),
    "tensorflow-1": Rule(v0=1.0, eps_in=1e-10, momentum=0.9, lr_in_buffer=True),
    "everything": Rule(
        lr=SCHEDULE,
        beta=0.99,
        eps_in=1e-3,
        eps_out=1e-4,
        eps_floor=1e-3,
        v0=0.5,
        bias_correction=True,
        centered=True,
        momentum=0.8,
        nesterov=True,
        lr_in_buffer=True,
        weight_decay=0.1,
    ),
}

# Which inputs are published for which rule, in float32: those that its axis shows itself on.
_SMALL = ("root-near-epsilon", "average-near-epsilon")
_PUBLISHED: dict[str, tuple[str, ...]] = {
    "plain": FAMILIES,
    "beta-0": ("usual", "falling", "sparse"),
    "beta-0.99": ("constant", "long", "impulse"),
    "beta-0.999": ("usual", "long", "falling"),
    "beta-0.9999": ("usual", "long"),
    "beta-1": ("usual", "scales"),
    "no-epsilon": ("usual", "zero-first", "zeros", "square-underflow"),
    "large-epsilon": ("usual", "scales"),
    "epsilon-inside": (*_SMALL, "scales", "zero-first", "subnormal"),
    "epsilon-on-both-sides": _SMALL,
    "epsilon-floor": (*_SMALL, "zeros"),
    "start-at-one": ("usual", "impulse", "zero-first"),
    "start-at-first-square": ("usual", "constant", "zero-first"),
    "bias-correction": ("usual", "long", "constant", "zero-first"),
    "centered": ("usual", "alternating", "nearly-constant"),
    "centered-epsilon-inside": ("usual", "nearly-constant", "constant"),
    "centered-bias-correction": ("usual", "nearly-constant"),
    "schedule": ("usual", "from-zero"),
    "momentum": ("usual", "late-impulse", "long"),
    "momentum-schedule": ("usual", "late-impulse", "alternating"),
    "momentum-lr-in-buffer-schedule": ("usual", "late-impulse", "alternating"),
    "momentum-1": ("usual", "impulse"),
    "momentum-on-gradient": ("usual", "late-impulse", "falling"),
    "nesterov": ("usual", "late-impulse", "alternating"),
    "l2": ("usual", "large-parameters", "through-zero", "zeros"),
    "l2-momentum-centered": ("usual", "large-parameters"),
    "decoupled": ("usual", "large-parameters", "zeros"),
    "decoupled-schedule": ("usual", "large-parameters"),
    "decoupled-unscaled": ("usual", "large-parameters"),
    "graves": ("usual", "nearly-constant"),
    "tensorflow-1": ("usual", "late-impulse"),
    "everything": ("usual", "large-parameters"),
}
_OTHER_FORMATS = ("usual", "scales", "subnormal", "square-underflow", "square-overflow", "nan")
_MOST = 6  # elements of a published case, where its length is not what it is about


def published() -> Iterator[Case]:
    """The cases of the published vectors: an id never stands for another one."""
    for name, families in _PUBLISHED.items():
        for family in families:
            yield _published(name, family, "float32")
    for dtype in ("float64", "float16", "bfloat16"):
        for family in _OTHER_FORMATS:
            yield _published("plain", family, dtype)
        yield _published("everything", "usual", dtype)


def _published(name: str, family: str, dtype: str) -> Case:
    full = case(family, RULES[name], dtype)
    n, steps = len(full.theta0), len(full.grads)
    if "Length" in full.flags:
        most, kept = 1 if n > 100 else steps, slice(None)
    else:
        count = 2 if steps > 100 else _MOST
        # Evenly spread, for neighbours may be of one kind.
        most, kept = steps, slice(None, None, max(1, n // count))
    theta0, grads = full.theta0[kept], full.grads[:most, kept]
    return replace(full, id=f"{name}/{family}/{dtype}", theta0=theta0, grads=grads)
