"""``python -m nslab`` is the command ``nslab``."""

from nslab.cli import app

app(prog_name="nslab")
