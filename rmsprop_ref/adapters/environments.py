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


# torch first and alone: other packages would bring a build of several gigabytes.
ENVIRONMENTS = {
    "torch": Environment(("torch==2.13.0",)),
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
        subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
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
