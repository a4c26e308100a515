"""`python -m anml` is the command `anml`."""

import sys

from anml.cli import main

if __name__ == "__main__":
    sys.exit(main())
