"""``python -m rmsprop_ref`` is the command ``rmsprop-ref``."""

import sys

from rmsprop_ref.cli import main

sys.exit(main())
