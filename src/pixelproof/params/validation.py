"""Checks that refuse a parameter in one line, with the nearest known name."""

import difflib
import re
from collections.abc import Collection, Iterable

from pixelproof.errors import ParameterError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # of a baseline, an arm, a registered model
RESERVED = ("size", "nfiles")  # keys that DVC's run cache leaves out of what it compares


def require(holds: bool, key: str, expected: str, got: object) -> None:
    """Check a condition on a key.

    Raises:
        ParameterError: It does not hold; says what was expected and what came.
    """
    if not holds:
        raise ParameterError(f"{key}: expected {expected}, got {got!r}")


def choose(key: str, name: str, known: Collection[str]) -> None:
    """Check that a name is known.

    Raises:
        ParameterError: It is not; names the key and the nearest name.
    """
    if name not in known:
        raise ParameterError(
            f"{key}: expected one of {list(known)}, got {name!r}{nearest(name, known)}"
        )


def nearest(name: object, known: Iterable[str]) -> str:
    """A suggestion to end an error with; empty where nothing is near."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
