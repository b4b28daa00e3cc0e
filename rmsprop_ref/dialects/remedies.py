"""What makes one library compute another's RMSProp beyond its arguments: a state, a few lines.

Each remedy is a theorem of ``rmsprop_ref.symbolic``, or plainly the rule's own line done by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rmsprop_ref.dialects.dialect import Setting
from rmsprop_ref.rule import Rule


class Remedy(NamedTuple):
    """Something to do beside giving arguments.

    Attributes
    ----------
    axes : dict
        The fields of the Rule that it puts right, with the values that they then have.
    text : str
        What to do.
    code : str
        The same for the library, where it is known.
    """

    axes: Mapping[str, Any]
    text: str
    code: str = ""


def remedies(wanted: Rule, there: Setting) -> Iterator[Remedy]:
    """What turns the rule of a setting into ``wanted``, or nearer to it, one axis each."""
    has, name = there.rule, there.dialect.name
    if wanted.v0 != has.v0 and wanted.beta != 0 and has.v0 != "first_square":
        yield Remedy(
            {"v0": wanted.v0},
            "Before the first step set the average of squares to "
            + ("the first squared gradient." if wanted.v0 == "first_square" else f"{wanted.v0:g}."),
            _loading(name, wanted),
        )
    if has.momentum and wanted.momentum and wanted.lr_in_buffer != has.lr_in_buffer:
        ratio = "the old rate over the new" if wanted.lr_in_buffer else "the new rate over the old"
        yield Remedy(
            {"lr_in_buffer": wanted.lr_in_buffer},
            f"Whenever the learning rate changes, multiply the momentum buffer by {ratio}.",
            _SET_LR.get((name, has.lr_in_buffer), ""),
        )
    if wanted.weight_decay and not has.weight_decay:
        yield _decay(wanted, name)
    if wanted.bias_correction != has.bias_correction and _corrigible(wanted, has):
        root = "√(1-β^t)" if wanted.bias_correction else "1/√(1-β^t)"
        text = f"Before step t, from 1, set the learning rate to {root} times what it was"
        if has.eps_out or has.eps_floor:
            text += ", and ε likewise"
        elif has.eps_in:
            text += f", and ε to {root}² times"
        yield Remedy({"bias_correction": wanted.bias_correction}, f"{text}.")


def _corrigible(wanted: Rule, has: Rule) -> bool:
    """Whether a schedule does what bias correction does: see symbolic.correction_as_schedule."""
    if has.centered or has.v0 == "first_square":
        return False
    if any(x.weight_decay and x.weight_decay_form == "decoupled" for x in (wanted, has)):
        return False  # the rate of the day would be in it, too
    in_buffer = has.momentum_on == "step" and wanted.lr_in_buffer and has.lr_in_buffer
    return has.momentum == 0 or in_buffer


def _decay(wanted: Rule, name: str) -> Remedy:
    strength, form = wanted.weight_decay, wanted.weight_decay_form
    code = ""
    if form == "l2":
        text = f"Before each step add {strength:g} θ to the gradient."
    else:
        factor = f"1 - {strength:g} η" if form == "decoupled" else f"1 - {strength:g}"
        text = f"Before each step multiply θ by {factor}."
        if name == "pytorch":
            code = _SHRINK.format(factor.replace("η", '* group["lr"]'))
    return Remedy({"weight_decay": strength, "weight_decay_form": form}, text, code)


def _loading(name: str, wanted: Rule) -> str:
    if name not in _LOADING or wanted.v0 == "first_square":
        return ""
    more = {"momentum_buffer": wanted.momentum, "grad_avg": wanted.centered}
    lines = "".join(f"        {x}=torch.zeros_like(p),\n" for x, used in more.items() if used)
    return _LOADING[name].format(v0=wanted.v0, more=lines)


_LOADING = {
    "pytorch": """\
for p in model.parameters():
    optimizer.state[p].update(
        step=torch.zeros(()),
        square_avg=torch.full_like(p, {v0}),
{more}    )""",
    "keras3": """\
optimizer.build(model.trainable_variables)
for average in optimizer._velocities:
    average.assign(keras.ops.full(average.shape, {v0}))""",
}
# By the library, and whether its own buffer holds the learning rate.
_SET_LR = {
    ("pytorch", False): """\
def set_lr(optimizer, lr):
    for group in optimizer.param_groups:
        for state in filter(None, map(optimizer.state.get, group["params"])):
            state["momentum_buffer"].mul_(group["lr"] / lr)
        group["lr"] = lr""",
    ("keras3", True): """\
def set_lr(optimizer, lr):
    for buffer in optimizer._momentums:
        buffer.assign(buffer * (lr / float(optimizer.learning_rate)))
    optimizer.learning_rate = lr""",
}
_SHRINK = """\
with torch.no_grad():
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.mul_({})"""
