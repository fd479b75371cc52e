"""``python -m nslab.papers NS 7``."""

import sys

from nslab.papers.equations import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
