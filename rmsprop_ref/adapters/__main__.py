"""``python -m rmsprop_ref.adapters NAME``: what the oracle says of a library, as JSON.

With ``--long float32=RULE float64=RULE``: how far its bits go over 10,000 steps of 100,000 elements
of those rules of the suite.
"""

import json
import sys

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.adapters.survey import long_run, survey
from rmsprop_ref.oracle.report import speakable


def main(arguments: list[str]) -> int:
    """Print the survey of one adapter: 0; 1 when the library is not here, 2 for misuse."""
    name, *options = arguments or [""]
    rules = dict(option.split("=") for option in options[1:] if option.count("=") == 1)
    wrong = len(options) != len(rules) + ("--long" in options[:1])
    if name not in ADAPTERS or wrong:
        print(f"which? Not {' '.join(arguments)!r}: one of {', '.join(ADAPTERS)}", file=sys.stderr)
        return 2
    try:
        found = long_run(ADAPTERS[name], rules) if options else survey(ADAPTERS[name])
    except Unsupported as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(speakable(found)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
