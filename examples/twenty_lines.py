"""The protocol in twenty lines: one rule, lr=0.01,beta=0.9,eps_out=1e-8, in float64."""

import json
import math
import sys

for line in sys.stdin:
    request = json.loads(line)
    theta = [float.fromhex(x) for x in request["theta0"]]
    v, rows = [0.0] * len(theta), []
    for grad in request["grads"]:
        for i, g in enumerate(map(float.fromhex, grad)):
            v[i] = 0.9 * v[i] + 0.1 * (g * g)
            theta[i] -= 0.01 * g / (math.sqrt(v[i]) + 1e-8)
        rows.append([x.hex() for x in theta])
    print(json.dumps({"id": request["id"], "trajectory": rows}), flush=True)
