"""RMSProp as a program for the oracle to ask: a request a line in, an answer a line out."""

import json
import sys

import numpy as np


def trajectory(rule, theta, grads):
    """The parameters after each step, as hexadecimal floats."""
    lr, beta, eps_in, eps_out = (
        float.fromhex(rule[name]) for name in ("lr", "beta", "eps_in", "eps_out")
    )
    v = np.zeros_like(theta)
    for g in grads:
        # NumPy rounds a Python float to the dtype of the array that it meets.
        v = beta * v + (1 - beta) * (g * g)
        theta = theta - lr * g / (np.sqrt(v + eps_in) + eps_out)
        yield [float(x).hex() for x in theta]


def numbers(texts, dtype):
    """A row of the request as an array."""
    return np.array([float.fromhex(text) for text in texts], dtype)


OTHERS = ("eps_floor", "v0", "bias_correction", "centered", "momentum", "weight_decay")
for line in sys.stdin:
    request = json.loads(line)
    answer, rule, dtype = {"id": request["id"]}, request["rule"], request["dtype"]
    used = [name for name in OTHERS if rule[name] not in ("0x0p+0", False)]
    if used or isinstance(rule["lr"], list) or dtype == "bfloat16":
        answer["unsupported"] = f"plain RMSProp only: no {', '.join(used) or 'schedule, bfloat16'}"
    else:
        rows = [numbers(row, dtype) for row in request["grads"]]
        answer["trajectory"] = list(trajectory(rule, numbers(request["theta0"], dtype), rows))
    print(json.dumps(answer), flush=True)  # without the flush the answer stays in a buffer
