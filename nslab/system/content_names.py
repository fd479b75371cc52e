"""Names of things that are identified by their content: ``kind:where#digest``, such as a folder of
images.

``where`` says where to look, or is a name for people. Only the digest is part of a run's identity,
so a folder that was moved or renamed is still the same, and one that changed is another.
"""

import re

DIGITS = 12  # hexadecimal, of a digest
_FORM = re.compile(rf"([a-z]+):(.*)#([0-9a-f]{{{DIGITS}}})", re.DOTALL)


def content_name(kind: str, where: object, digest: str) -> str:
    """The name of something by its content."""
    return f"{kind}:{where}#{digest[:DIGITS]}"


def parse_content_name(name: str) -> tuple[str, str, str] | None:
    """Kind, where and digest of a name of this form; None for any other name.

    >>> parse_content_name("folder:/data/pets#0123456789ab")
    ('folder', '/data/pets', '0123456789ab')
    >>> parse_content_name("cifar10")
    """
    found = _FORM.fullmatch(name)
    return (found[1], found[2], found[3]) if found else None


def content_of(name: str) -> str:
    """The name without where to look; this is the part that is hashed.

    >>> content_of("folder:/data/pets#0123456789ab"), content_of("cifar10")
    ('folder:#0123456789ab', 'cifar10')
    """
    parts = parse_content_name(name)
    return content_name(parts[0], "", parts[2]) if parts else name


def without_folders(name: str) -> str:
    """The name with only the last part of where to look, which reveals no folders of this machine.

    >>> without_folders("folder:/data/pets#0123456789ab"), without_folders("cifar10")
    ('folder:pets#0123456789ab', 'cifar10')
    """
    parts = parse_content_name(name)
    return content_name(parts[0], last_part(parts[1]), parts[2]) if parts else name


def last_part(where: str) -> str:
    """The last part of a path, of any system.

    >>> last_part("/data/pets/"), last_part("C:\\\\data\\\\pets")
    ('pets', 'pets')
    """
    return where.replace("\\", "/").rstrip("/").rpartition("/")[2]


def short_name(name: str) -> str:
    """The name as tables and labels show it.

    >>> short_name("folder:/data/pets#0123456789ab"), short_name("cifar10")
    ('pets #0123', 'cifar10')
    >>> short_name("module:<lambda>#0123456789ab")
    'lambda #0123'
    """
    parts = parse_content_name(name)
    if not parts:
        return name
    return f"{last_part(parts[1]).strip('<>')} #{parts[2][:4]}"
