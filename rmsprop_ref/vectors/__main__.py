"""Computes the packaged test vectors anew, or checks that they come out the same.

python -m rmsprop_ref.vectors            writes the files and adds new ids to ids.txt
python -m rmsprop_ref.vectors --check    writes nothing; fails if a byte would change
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rmsprop_ref.oracle.suite import published
from rmsprop_ref.vectors.generator import contents, fingerprint

_HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, or 1 where files differ or an id stands for something else."""
    parser = argparse.ArgumentParser(
        prog="python -m rmsprop_ref.vectors", description="Compute the test vectors anew."
    )
    parser.add_argument("--check", action="store_true", help="write nothing: compare")
    check = parser.parse_args(arguments).check

    ids = _HERE / "ids.txt"
    old = ids.read_text("utf-8") if ids.exists() else ""
    known = dict(line.split() for line in old.splitlines())
    now = {case.id: fingerprint(case) for case in published()}
    changed = [name for name in now if known.get(name, now[name]) != now[name]]
    if changed:
        print(f"These ids stand for other inputs: {', '.join(changed)}. Give new ones.")
        return 1
    added = "".join(f"{name} {now[name]}\n" for name in now if name not in known)

    made = {_HERE / "v1" / name: text for name, text in contents().items()}
    made[ids] = old + added
    stale = [path for path, text in made.items() if not _same(path, text)]
    extra = [path for path in (_HERE / "v1").iterdir() if path not in made]
    for path in stale + extra:
        print(f"{'differs' if check else 'removed' if path in extra else 'written'}: {path.name}")
        if not check:
            path.unlink() if path in extra else path.write_bytes(made[path].encode())
    print(f"{len(made) - len(stale)} files as they were")
    return int(check and bool(stale or extra))


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() == text.encode()


if __name__ == "__main__":
    sys.exit(main())
