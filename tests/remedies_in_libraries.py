"""Whether the code that a translation prints makes a real library compute the other's rule.

Run with the Python of an environment of the atlas: python remedies_in_libraries.py pytorch
"""

import sys
from types import SimpleNamespace

from rmsprop_ref import check, translate
from rmsprop_ref.adapters.catalogue import rate
from rmsprop_ref.oracle.suite import SCHEDULE

CASES = {
    "pytorch": [
        ("autograd", {"step_size": 0.01}),
        ("keras3", {"weight_decay": 0.01, "epsilon": 0}),
        (
            "optax",
            {"learning_rate": SCHEDULE, "eps_in_sqrt": False, "momentum": 0.9, "centered": True}
            | {"initial_scale": 1.0, "eps": 1e-3},
        ),
    ],
    "keras3": [
        ("tf1", {"learning_rate": 0.01}),
        ("stable_baselines3", {"lr": SCHEDULE, "momentum": 0.9}),
    ],
}


def in_pytorch(found, theta0, grads, lr, **arguments):
    p = torch.nn.Parameter(torch.from_numpy(theta0.copy()))
    optimizer = torch.optim.RMSprop([p], lr=rate(lr, 0), **arguments)
    names = {"torch": torch, "optimizer": optimizer, "model": SimpleNamespace()}
    names["model"].parameters = lambda: [p]
    each_step = [x.code for x in found.remedies if x.text.startswith("Before each step")]
    for remedy in found.remedies:
        exec(remedy.code if remedy.code not in each_step else "", names)
    for t, grad in enumerate(grads):
        if t and "set_lr" in names:
            names["set_lr"](optimizer, rate(lr, t))
        p.grad = torch.from_numpy(grad.copy())
        for code in each_step:
            exec(code, names)
        optimizer.step()
        yield p.detach().numpy().copy()


def in_keras(found, theta0, grads, learning_rate, **arguments):
    keras.config.set_floatx(theta0.dtype.name)  # the learning rate is of this type
    p = keras.Variable(theta0, dtype=theta0.dtype.name)
    optimizer = keras.optimizers.RMSprop(learning_rate=rate(learning_rate, 0), **arguments)
    names = {"keras": keras, "optimizer": optimizer}
    names["model"] = SimpleNamespace(trainable_variables=[p])
    for remedy in found.remedies:
        exec(remedy.code, names)
    for t, grad in enumerate(grads):
        if t and "set_lr" in names:
            names["set_lr"](optimizer, rate(learning_rate, t))
        optimizer.apply([keras.ops.convert_to_tensor(grad)], [p])
        yield keras.ops.convert_to_numpy(p.value)


if __name__ == "__main__":
    (target,) = sys.argv[1:]
    if target == "pytorch":  # before the oracle's clock runs
        import torch
    else:
        import keras
    run = {"pytorch": in_pytorch, "keras3": in_keras}[target]
    for source, given in CASES[target]:
        found = translate(source, target, **given)
        assert found.remedies
        assert all(remedy.code for remedy in found.remedies)
        assert found.left is None
        report = check(
            lambda theta, grads, found=found: run(found, theta, grads, **found.arguments),
            found.given.rule,
            "float32",
            timeout=60,
        )
        report.raise_for_failure()
        print(source, report.verdict)
