"""Names that become part of a path, checked in one place so that none points out of its folder."""

LONGEST = 150  # bytes: file systems take 255, and suffixes and temporary names need room
# Windows has no such files, whatever comes after a dot
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{p}{n}" for p in ("COM", "LPT") for n in range(1, 10))}


def checked_filename(name: str, what: str) -> str:
    """``name``, if it can be the name of one file or folder inside another.

    Raises ``ValueError`` naming ``what`` for an empty or very long name, ``.`` and ``..``, names
    that begin like a hidden file or an option, separators, control characters, invalid Unicode, and
    names that Windows cannot use, because results and figures are passed on.
    """
    problem = _problem(name)
    if problem:
        shown = name if len(name) <= 40 else f"{name[:40]}..."
        raise ValueError(
            f"{what} {shown!r} {problem}: give a plain name, without folders, such as 'ns_tail'"
        )
    return name


def _problem(name: str) -> str:
    if not name or name != name.strip():
        return "is empty" if not name.strip() else "begins or ends with a blank"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is no text"
    if size > LONGEST:
        return f"is too long ({size} bytes, at most {LONGEST})"
    if name.startswith((".", "-")):
        return f"begins with {name[0]!r}"
    if any(separator in name for separator in "/\\:"):
        return "would be a path"
    if any(mark in name for mark in '<>"|?*'):
        return 'has one of the characters <>"|?*'
    if name.partition(".")[0].rstrip().upper() in RESERVED:
        return "is not a valid file name on Windows"
    if name.endswith("."):
        return "ends with '.'"
    return "" if name.isprintable() else "has characters that cannot be printed"
