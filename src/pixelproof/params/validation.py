"""From nested YAML to typed dataclasses: types checked, unknown keys refused, keys named."""

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Collection, Iterable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

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


def check_training(learning_rate: float, batch_size: int, seed: int) -> None:
    """Check what an original's and an arm's training share."""
    require(0 < learning_rate <= 10, "learning_rate", "a number above 0, to 10", learning_rate)
    require(batch_size >= 1, "batch_size", "a number from 1", batch_size)
    require(0 <= seed < 2**63, "seed", "an integer from 0", seed)


def check_epsilon(key: str, epsilon: int) -> None:
    """Check the strength of an attack."""
    require(1 <= epsilon <= 255, key, "an integer from 1 to 255, in units of 1/255", epsilon)


def _scalar(kind: type, value: object, key: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ParameterError(f"{key}: expected a finite number, got a larger one") from None
    hint = ""
    if kind is int and isinstance(value, float) and "epsilon" in key:
        hint = "; it counts in units of 1/255, so 8/255 is written 8"
    elif kind in (int, float) and isinstance(value, str):
        hint = "; a number stands without quotes"
    if type(value) is not kind:
        raise ParameterError(f"{key}: expected {kind.__name__}, got {value!r}{hint}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{key}: expected a finite number, got {value!r}")
    return value


def _sequence(kinds: tuple[Any, ...], value: object, key: str) -> tuple[Any, ...]:
    items = [value] if isinstance(value, int | float) and kinds[-1] is Ellipsis else value
    if not isinstance(items, list):
        raise ParameterError(f"{key}: expected a list, got {value!r}")
    if kinds[-1] is not Ellipsis and len(items) != len(kinds):
        raise ParameterError(f"{key}: expected {len(kinds)} entries, got {len(items)}")
    return tuple(_convert(kinds[0], item, f"{key}[{at}]") for at, item in enumerate(items))


def _convert(kind: Any, value: object, key: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(one for one in get_args(kind) if one is not type(None)), value, key)
    if origin is Literal:
        choices = get_args(kind)
        if value not in choices:
            near = nearest(value, choices)
            raise ParameterError(f"{key}: expected one of {list(choices)}, got {value!r}{near}")
        return value
    if origin is tuple:
        return _sequence(get_args(kind), value, key)
    if origin is dict:
        entries = _mapping(value, key)
        for name in entries:
            require(
                name not in RESERVED,
                key,
                f"names other than {' and '.join(RESERVED)}, whose changes DVC does not notice",
                name,
            )
        return {
            name: _convert(get_args(kind)[1], entries[name], f"{key}.{name}") for name in entries
        }
    if dataclasses.is_dataclass(kind):
        return build_section(kind, value, key)
    return _scalar(kind, value, key)


def _mapping(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ParameterError(f"{key or 'params.yaml'}: expected keys and values, got {value!r}")
    for name in value:
        if not isinstance(name, str):
            raise ParameterError(f"{key or 'params.yaml'}: expected names as keys, got {name!r}")
    return value


def build_section(kind: Any, value: object, key: str) -> Any:
    """Build a dataclass from what YAML holds, by the types of its fields.

    Args:
        kind: The dataclass; its `__post_init__` checks what types cannot say.
        value: What stands under the key.
        key: Where it stands, for errors; empty at the root.

    Returns:
        An object of `kind`.

    Raises:
        ParameterError: A key is unknown or missing, or a value is of another type.
    """
    hints = get_type_hints(kind)
    given = {}
    for name, entry in _mapping(value, key).items():
        full = f"{key}.{name}" if key else name
        if name not in hints:
            raise ParameterError(f"{full}: unknown key{nearest(name, hints)}")
        given[name] = _convert(hints[name], entry, full)
    for entry in dataclasses.fields(kind):
        required = entry.default is entry.default_factory is dataclasses.MISSING
        if required and entry.name not in given:
            raise ParameterError(f"{key}.{entry.name}".lstrip(".") + ": missing")
    try:
        return kind(**given)
    except ParameterError as error:
        raise ParameterError(f"{key}.{error}".lstrip(".")) from None
