"""Optimisers whose libraries need an older NumPy: a program that answers JSON lines.

``python -I in_python.py NAME`` runs in the environment of the library, without rmsprop_ref. NAME is
one of the functions below; each takes its library's own arguments, with a learning rate that may be
a list, one a step, and yields the parameters after each step.
"""

import json
import sys
import warnings

import numpy


class Unsupported(Exception):  # noqa: N818 — no error: the library says that it cannot
    """What the library refuses, in its own words."""


def rate(lr, t):
    """The learning rate of step ``t``, from 0."""
    return float(lr[t] if isinstance(lr, list) else lr)


def chainer(theta, grads, **arguments):
    """``chainer.optimizers.RMSprop``."""
    return _in_chainer("RMSprop", theta, grads, **arguments)


def chainer_graves(theta, grads, **arguments):
    """``chainer.optimizers.RMSpropGraves``."""
    return _in_chainer("RMSpropGraves", theta, grads, **arguments)


def _in_chainer(name, theta, grads, lr, **arguments):
    from chainer import Link, Parameter, optimizers

    link = Link()
    with link.init_scope():
        link.theta = Parameter(theta)
    optimiser = getattr(optimizers, name)(lr=rate(lr, 0), **arguments).setup(link)
    for t, grad in enumerate(grads):
        optimiser.lr = rate(lr, t)
        link.theta.grad = grad
        try:
            optimiser.update()
        except ValueError as error:
            if "too small" not in str(error):  # an ε that is 0 in the dtype
                raise
            raise Unsupported(error) from error
        yield link.theta.array


def mxnet(theta, grads, learning_rate, **arguments):
    """``mxnet.optimizer.RMSProp``, as the trainers call it."""
    from mxnet import nd, optimizer, util

    util.set_np_shape(True)  # an array may be empty
    optimiser = optimizer.RMSProp(learning_rate=rate(learning_rate, 0), **arguments)
    update = optimizer.get_updater(optimiser)
    weight = nd.array(theta, dtype=theta.dtype)
    for t, grad in enumerate(grads):
        optimiser.set_learning_rate(rate(learning_rate, t))
        update(0, nd.array(grad, dtype=grad.dtype), weight)
        yield weight.asnumpy()


def mxnet_update(theta, grads, **arguments):
    """``mxnet.nd.rmsprop_update``."""
    return _by_operator("rmsprop_update", 1, theta, grads, **arguments)


def mxnet_alex_update(theta, grads, **arguments):
    """``mxnet.nd.rmspropalex_update``."""
    return _by_operator("rmspropalex_update", 3, theta, grads, **arguments)


def _by_operator(name, averages, theta, grads, lr, **arguments):
    from mxnet import nd, util

    util.set_np_shape(True)
    weight = nd.array(theta, dtype=theta.dtype)
    state = [nd.zeros(theta.shape, dtype=theta.dtype) for _ in range(averages)]
    for t, grad in enumerate(grads):
        g = nd.array(grad, dtype=grad.dtype)
        getattr(nd, name)(weight, g, *state, lr=rate(lr, t), out=weight, **arguments)
        yield weight.asnumpy()


def answer(run, request):
    """The trajectory that the request asks for, or why there is none."""
    theta, *grads = (
        numpy.array([float.fromhex(x) for x in row], request["dtype"])
        for row in [request["theta0"], *request["grads"]]
    )
    try:
        rows = run(theta, grads, **request["arguments"])
        return {"trajectory": [[float(x).hex() for x in row] for row in rows]}
    except Unsupported as error:
        return {"unsupported": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    # Old libraries warn of what later NumPys will bring, and of special values.
    warnings.simplefilter("ignore")
    numpy.seterr(all="ignore")
    run = globals()[sys.argv[1]]
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"id": request["id"], **answer(run, request)}), flush=True)
