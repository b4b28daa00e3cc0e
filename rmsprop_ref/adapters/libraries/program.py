"""Optimisers in other languages, or in an old Python: programs that answer JSON lines."""

from __future__ import annotations

import atexit
import os
import shutil
from pathlib import Path
from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.program import Program, ProgramError

PROGRAMS = Path(__file__).parents[1] / "programs"
TIMEOUT = 60.0  # seconds for one trajectory: who checks sets a shorter one

_running: dict[tuple[str, str], Program] = {}


def rmsprop(theta0: Any, grads: Any, *, environment: str, optimiser: str, **arguments: Any) -> Any:
    """The optimiser that a program calls so, in an environment of the atlas.

    The atlas is the folder that the variable RMSPROP_REF_ATLAS names, or ``.atlas`` here. A process
    serves all trajectories of an optimiser, until it fails or Python ends.

    Raises
    ------
    Unsupported
        When the environment or its interpreter is not there; or by the library itself.
    """
    key = environment, optimiser
    if key not in _running:
        _running[key] = Program(_command(*key), timeout=TIMEOUT)
        atexit.register(_running[key].close)
    try:
        return _running[key].with_arguments(arguments)(theta0, grads)
    except ProgramError:  # it may have ended: the next trajectory starts another
        _running.pop(key).close()
        raise


def _command(environment: str, optimiser: str) -> list[str]:
    folder = Path(os.environ.get("RMSPROP_REF_ATLAS", ".atlas"), environment)
    if not folder.is_dir():
        raise Unsupported(f"there is no {folder}, where the library is: make atlas makes it")
    if not (folder / "node_modules").is_dir():
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        return [str(python), "-I", str(PROGRAMS / "in_python.py"), optimiser]
    node = shutil.which("node")
    if node is None:
        raise Unsupported("there is no Node.js: its command node runs JavaScript")
    return [node, str(PROGRAMS / "in_node.mjs"), optimiser, str(folder)]
