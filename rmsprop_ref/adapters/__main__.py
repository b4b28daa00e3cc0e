"""``python -m rmsprop_ref.adapters NAME``: what the oracle says of a library, as JSON.

With ``--long``: how far its bits go over 10,000 steps of 100,000 elements.
"""

import json
import sys

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.adapters.survey import long_run, survey
from rmsprop_ref.oracle.report import speakable


def main(arguments: list[str]) -> int:
    """Print the survey of one adapter: 0; 1 when the library is not here, 2 for misuse."""
    names = [argument for argument in arguments if argument != "--long"]
    if len(names) != 1 or names[0] not in ADAPTERS:
        print(f"which? Not {' '.join(names)!r}: one of {', '.join(ADAPTERS)}", file=sys.stderr)
        return 2
    try:
        found = (long_run if "--long" in arguments else survey)(ADAPTERS[names[0]])
    except Unsupported as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(speakable(found)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
