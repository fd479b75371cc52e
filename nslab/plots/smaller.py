"""Smaller PNGs for READMEs, by fewer colours: ``python -P -m nslab.plots.smaller FILE.png ...``."""

import sys
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def reduce_colours(file: Path, colours: int = 128) -> int:
    """Rewrite a PNG with a palette of ``colours``, keeping its metadata; returns its size in bytes.
    Lines and letters look the same, photographs do not."""
    with Image.open(file) as whole:
        kept = PngInfo()
        for key, text in whole.info.items():
            if isinstance(key, str) and isinstance(text, str):
                kept.add_text(key, text)
        small = whole.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        small.save(file, pnginfo=kept, dpi=whole.info.get("dpi"), optimize=True)
    return file.stat().st_size


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, reduce_colours(Path(name)))
