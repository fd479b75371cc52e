"""The type checker of the tests: beartype, which allows an int where a float is annotated."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
