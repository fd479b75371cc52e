"""Run a script as ``python FILE WORDS`` does, with additions to its environment:
``-m forked_script NAME=VALUE... FILE WORDS``."""

import os
import re
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    words = sys.argv[1:]
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    runpy.run_path(words[0], run_name="__main__")
