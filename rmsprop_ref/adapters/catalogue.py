"""Which libraries can be put before the oracle, how each is run, and what it needs.

An adapter is the few lines that run a library with *its own* arguments. Which arguments those are
for a given Rule, its dialect says: so an adapter tests both.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import Arithmetic
from rmsprop_ref.dialects import DIALECTS, Dialect
from rmsprop_ref.dialects.in_jax import OPTAX_COMPILED
from rmsprop_ref.rule import Rule

Run = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Adapter:
    """A library, or one path through it, as implementations under test.

    Attributes
    ----------
    name : str
        What it is called here, ``"pytorch-foreach"``.
    dialect_name : str
        The dialect whose arguments it takes, ``"pytorch"``.
    function : str
        ``"module:function"`` below ``rmsprop_ref.adapters.libraries``. The function is a generator
        ``function(theta0, grads, **arguments)`` of the parameters after each step; its arguments
        are the library's own, with a learning rate that may be a schedule.
    environment : str
        The environment of the atlas in which the library is installed.
    needs : str
        What ``pip install`` (or ``npm install``) is to be given.
    dtypes : tuple of str
        The dtypes in which the library computes.
    options : dict
        What chooses the path, beside the arguments of the dialect.
    arithmetic : Arithmetic, optional
        How this path rounds, where it is not the dialect's.
    """

    name: str
    dialect_name: str
    function: str
    environment: str
    needs: str
    dtypes: tuple[str, ...] = ("float32",)
    options: Mapping[str, Any] = field(default_factory=dict)
    arithmetic: Arithmetic | None = None

    @property
    def dialect(self) -> Dialect:
        """The dialect whose arguments it takes."""
        return DIALECTS[self.dialect_name]

    @property
    def is_program(self) -> bool:
        """Whether it is a process of its own, which reads all gradients at once."""
        return self.function.startswith("program:")

    def make(self, rule: Rule) -> Run:
        """The library with the arguments that compute ``rule``, as an implementation under test.

        Raises
        ------
        Unsupported
            When the library cannot compute the rule, or is not installed: with what installs it.
        """
        return self.run(self.dialect.arguments(rule))

    def run(self, arguments: Mapping[str, Any]) -> Run:
        """The library with its own arguments, as an implementation under test.

        Raises
        ------
        Unsupported
            When the library is not installed: with what installs it.
        """
        module, _, name = self.function.partition(":")
        try:
            function = getattr(
                importlib.import_module(f"rmsprop_ref.adapters.libraries.{module}"), name
            )
        except ImportError as error:
            raise Unsupported(
                f"{self.dialect.library} is not here ({error}): {self.needs} installs it"
            ) from error

        def run(theta0: Any, grads: Any) -> Iterator[Any]:
            if theta0.dtype.name not in self.dtypes:
                legal = ", ".join(self.dtypes)
                raise Unsupported(f"{self.name} computes in {legal}, not in {theta0.dtype.name}")
            yield from function(theta0, grads, **arguments, **self.options)

        return run


def rate(lr: Any, t: int) -> float:
    """The learning rate of step ``t``, from 0: of a schedule, or the only one there is."""
    return float(lr[t]) if isinstance(lr, (tuple, list)) else float(lr)


_TORCH = "pip install torch==2.13.0"
_TENSORFLOW = "pip install tensorflow-cpu==2.21.0"
_TF_KERAS = f"{_TENSORFLOW} tf-keras==2.21.0"
_SONNET = f"{_TENSORFLOW} dm-sonnet==2.0.2 dm-tree==0.1.10 tabulate==0.10.0"
_PADDLE = "pip install paddlepaddle==3.3.1"
_JAX = "pip install jax==0.10.2"
_OPTAX = f"{_JAX} optax==0.2.8"
_MLX = 'pip install "mlx[cpu]==0.32.4"'
_AUTOGRAD = "pip install autograd==1.9.1"
_HALVES = ("float16", "bfloat16")
_ALL = (*_HALVES, "float32", "float64")

_THREE = ("float16", "float32", "float64")
_PROGRAMS = [
    (
        "tfjs",
        "npm install @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-cpu@4.22.0",
        ("float32",),
        ("tfjs",),
    ),
    ("tfjs", "npm install convnetjs@0.3.0", ("float64",), ("convnetjs",)),
    (
        "chainer",
        "pip install --no-build-isolation chainer==7.8.1 numpy==1.23.5 (after setuptools<60)",
        _THREE,
        ("chainer", "chainer-graves"),
    ),
    ("mxnet", "pip install mxnet==1.9.1 numpy==1.23.5", ("float32",), ("mxnet",)),
    (
        "mxnet",
        "pip install mxnet==1.9.1 numpy==1.23.5",
        _THREE,
        ("mxnet-update", "mxnet-alex-update"),
    ),
]

_ON_TORCH = [
    ("timm", "timm==1.0.31", _ALL),
    ("stable-baselines3", "stable_baselines3==2.9.2", _ALL),
    ("fastai", "fastai==2.8.12", _ALL),
    ("bitsandbytes", "bitsandbytes==0.50.2", (*_HALVES, "float32")),
    ("torchopt", "torchopt==0.7.3", _ALL),
]

_LISTED = [
    # In PyTorch, and on top of it
    Adapter("pytorch", "pytorch", "torch:rmsprop", "torch", _TORCH, _ALL, {"foreach": False}),
    Adapter(
        "pytorch-foreach", "pytorch", "torch:rmsprop", "torch", _TORCH, _ALL, {"foreach": True}
    ),
    Adapter(
        "pytorch-compiled", "pytorch", "torch:compiled", "torch", _TORCH, _ALL, {"foreach": False}
    ),
    Adapter(
        "pytorch-compiled-foreach",
        "pytorch",
        "torch:compiled",
        "torch",
        _TORCH,
        ("float32", "float64"),
        {"foreach": True},
    ),
    *(
        Adapter(
            name,
            name.replace("-", "_"),
            f"{name.replace('-', '_')}:rmsprop",
            "torch",
            f"{_TORCH} {package}",
            dtypes,
        )
        for name, package, dtypes in _ON_TORCH
    ),
    # In JAX, and in other array libraries of Python
    Adapter("optax", "optax", "optax:rmsprop", "jax", _OPTAX, _ALL),
    Adapter(
        "optax-jit", "optax", "optax:rmsprop", "jax", _OPTAX, _ALL, {"jit": True}, OPTAX_COMPILED
    ),
    Adapter("optax-injected", "optax", "optax:rmsprop", "jax", _OPTAX, _ALL, {"injected": True}),
    Adapter("jax-examples", "jax_examples", "jax:rmsprop", "jax", _JAX, _ALL),
    Adapter(
        "jax-examples-momentum",
        "jax_examples_momentum",
        "jax:rmsprop_momentum",
        "jax",
        _JAX,
        _ALL,
    ),
    Adapter("mlx", "mlx", "mlx:rmsprop", "jax", _MLX, _ALL),
    Adapter("autograd", "autograd", "autograd:rmsprop", "jax", _AUTOGRAD, ("float64",)),
    # In TensorFlow and Keras
    Adapter("tf1", "tf1", "tensorflow:rmsprop", "tensorflow", _TENSORFLOW, _ALL),
    Adapter("tf-op", "tensorflow_op", "tensorflow:op", "tensorflow", _TENSORFLOW, _ALL),
    Adapter(
        "tf-op-jit",
        "tensorflow_op",
        "tensorflow:op",
        "tensorflow",
        _TENSORFLOW,
        _ALL,
        {"jit": True},
    ),
    Adapter("keras-legacy", "keras_legacy", "tf_keras:legacy", "tensorflow", _TF_KERAS, _ALL),
    Adapter("keras-2.11", "keras2_11", "tf_keras:rmsprop", "tensorflow", _TF_KERAS, _ALL),
    *(
        Adapter(
            f"keras-3-{backend}",
            "keras3",
            "keras:rmsprop",
            backend,
            f"pip install keras==3.15.1 {package}",
            _ALL,
            {"backend": backend},
        )
        for backend, package in (
            ("tensorflow", "tensorflow-cpu==2.21.0"),
            ("jax", "jax==0.10.2"),
            ("torch", "torch==2.13.0"),
        )
    ),
    Adapter("sonnet-2", "sonnet2", "sonnet:rmsprop", "tensorflow", _SONNET, _ALL),
    Adapter("paddle", "paddle", "paddle:rmsprop", "paddle", _PADDLE, ("float32", "float64")),
    # Programs that answer JSON lines
    *(
        Adapter(
            name,
            name.replace("-", "_"),
            "program:rmsprop",
            environment,
            needs,
            dtypes,
            {"environment": environment, "optimiser": name.replace("-", "_")},
        )
        for environment, needs, dtypes, names in _PROGRAMS
        for name in names
    ),
]
ADAPTERS = {adapter.name: adapter for adapter in _LISTED}
