"""The published test vectors: inputs, exact values and bounds, as JSON for any language.

The files lie in ``v1/``: one for each rule of the suite, the flags, a manifest with their hashes,
and a schema. ``ids.txt`` holds every id ever used, with a hash of what it stands for. The page
``book/vectors.md`` says how to read them; ``python -m rmsprop_ref.vectors`` computes them anew.

>>> first = next(load())
>>> first["id"], first["dtype"], first["rule"]["beta"]["decimal"], len(first["steps"])
('plain/usual/float32', 'float32', '0.9', 12)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

_PACKAGED = files("rmsprop_ref.vectors") / "v1"


def export(directory: Path) -> int:
    """Copy the packaged files to a directory, which is made if need be, and count them."""
    directory.mkdir(parents=True, exist_ok=True)
    packaged = list(_PACKAGED.iterdir())
    for file in packaged:
        (directory / file.name).write_bytes(file.read_bytes())
    return len(packaged)


def generate(directory: Path) -> None:
    """Compute the files anew, into a directory: the same bytes on every machine, in a minute.

    Raises
    ------
    ArithmeticError
        When the two ways to the exact values disagree, or an enclosure does not hold them.
    ImportError
        Without mpmath and ml_dtypes.
    """
    from rmsprop_ref.vectors.generator import contents

    made = contents()
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (directory / name).write_bytes(text.encode())


def load() -> Iterator[dict[str, Any]]:
    """The packaged cases, as the files have them; each with its ``rule``."""
    manifest = json.loads((_PACKAGED / "manifest.json").read_text("utf-8"))
    for name, entry in manifest["files"].items():
        if entry["cases"]:
            document = json.loads((_PACKAGED / name).read_text("utf-8"))
            for case in document["cases"]:
                yield {**case, "rule": document["rule"]}
