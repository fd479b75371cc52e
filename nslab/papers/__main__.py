"""``python -m nslab.papers NS 7`` lists the lines that compute Eq. 7 of the NS paper."""

import sys

from nslab.papers.equations import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
