"""The environments in which the libraries run: those that cannot live together live apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# Where they are made.
FOLDER = Path(os.environ.get("RMSPROP_REF_ATLAS", ".atlas")).absolute()


class Environment(NamedTuple):
    """What is installed, in this order.

    Attributes
    ----------
    pip : tuple of str
        The arguments of each call of ``pip install``. None: an environment without Python.
    npm : str
        Those of ``npm install``.
    oracle : bool
        Whether this package is installed too: where not, a program answers JSON lines.
    """

    pip: tuple[str, ...] = ()
    npm: str = ""
    oracle: bool = True


# torch first and alone: other packages would bring a build of several gigabytes. What asks for more
# than its optimiser needs is installed without its dependencies, and those that it needs after it.
ENVIRONMENTS = {
    "torch": Environment(
        (
            "torch==2.13.0",
            "--no-deps timm==1.0.31 stable-baselines3==2.9.2 fastai==2.8.12 torchopt==0.7.3",
            "fastcore==2.2.41 fastprogress==1.0.5 fasttransform==0.0.5 plum-dispatch==2.9.0",
            "matplotlib==3.10.9 pandas==2.3.3 pillow==13.0.0 pyyaml==6.0.4 requests==2.34.2",
            "scipy==1.17.1",
            "bitsandbytes==0.50.2 keras==3.15.1 optree==0.20.0 graphviz==0.21",
        )
    ),
    "jax": Environment(
        ("jax==0.10.2 optax==0.2.8 keras==3.15.1 autograd==1.9.1 mlx[cpu]==0.32.4",)
    ),
    "tensorflow": Environment(
        (
            "tensorflow-cpu==2.21.0 tf-keras==2.21.0 keras==3.15.1",
            "--no-deps dm-sonnet==2.0.2",
            "dm-tree==0.1.10 tabulate==0.10.0",
        )
    ),
    "paddle": Environment(("paddlepaddle==3.3.1",)),
    "chainer": Environment(
        (
            "numpy==1.23.5 setuptools==59.8.0 wheel==0.45.1",
            "--no-build-isolation chainer==7.8.1",
        ),
        oracle=False,
    ),
    "mxnet": Environment(("numpy==1.23.5 mxnet==1.9.1",), oracle=False),
    "tfjs": Environment(
        npm="@tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-cpu@4.22.0 convnetjs@0.3.0"
    ),
}


def missing(name: str) -> bool:
    """Whether the environment has yet to be made."""
    return not (FOLDER / name / "ready").exists()


def prepare(name: str) -> None:
    """Make the environment.

    Raises
    ------
    subprocess.CalledProcessError
        When something cannot be installed: its ``cmd`` says what.
    """
    wanted, where = ENVIRONMENTS[name], FOLDER / name
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    if wanted.pip:
        # NumPy 1.23, which the oldest libraries need, knows no Python after 3.11.
        old = None if wanted.oracle else shutil.which("python3.11")
        subprocess.run([old or sys.executable, "-m", "venv", str(where)], check=True)
        python = str(where / "bin" / "python")
        for arguments in wanted.pip:
            call = [python, "-m", "pip", "install", "--quiet", *arguments.split()]
            subprocess.run(call, check=True)
        if wanted.oracle:
            call = [python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[oracle]"]
            subprocess.run([*call, "ml-dtypes"], check=True)
    if wanted.npm:
        call = ["npm", "install", "--silent", "--no-package-lock", "--prefix", str(where)]
        subprocess.run([*call, *wanted.npm.split()], check=True)
    (where / "ready").touch()
