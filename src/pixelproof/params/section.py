"""The sections of `params.yaml` as classes that pydantic checks, with errors of one line.

Sections are pydantic's dataclasses and not its models, since `dataclasses.replace` checks what it
makes and a model's copy does not. The errors are worded here: pydantic's own take several lines,
write a key otherwise than a person does, and suggest no name.
"""

import dataclasses
import functools
import inspect
import types
from typing import (
    Any,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema, ErrorDetails

from pixelproof.errors import ParameterError
from pixelproof.params.kinds import WORDED
from pixelproof.params.validation import nearest

T = TypeVar("T")
Location = tuple[str | int, ...]

CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
ROOT = "params.yaml"
_UNKNOWN = ("unexpected_keyword_argument", "invalid_key")
_EXPECTED = {
    "bool_type": "bool",
    "dataclass_type": "keys and values",
    "dict_type": "keys and values",
    "finite_number": "a finite number",
    "float_type": "float",
    "int_type": "int",
    "invalid_key": "names as keys",
    "string_type": "str",
    "tuple_type": "a list",
}


@dataclass_transform(frozen_default=True, field_specifiers=(Field, dataclasses.field))
def section(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that checks the values it is made of.

    Invalid values raise a ParameterError that names the key, what was expected and what came.
    """
    cls.__get_pydantic_core_schema__ = classmethod(_from_mapping)  # type: ignore[attr-defined]
    made: Any = dataclass(frozen=True, config=CONFIG)(cls)
    shape, init = inspect.signature(made), made.__init__

    @functools.wraps(init)
    def checked(self: object, *values: object, **by_name: object) -> None:
        try:
            init(self, **shape.bind(*values, **by_name).arguments)
        except ValidationError as error:
            raise ParameterError(in_words(error, made)) from None

    made.__init__ = checked
    return made  # type: ignore[no-any-return]


def _from_mapping(cls: type, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Accept a mapping for a section; strict pydantic would only take an instance of it."""
    return cast("CoreSchema", {**handler(source), "strict": False})


def in_words(error: ValidationError, kind: Any) -> str:
    """Say in one line what is wrong; an unknown key first, since it may be a misspelt required one.

    Args:
        error: Of pydantic.
        kind: The section that was to be made.
    """
    found = error.errors(include_url=False)
    return _line(next((each for each in found if each["type"] in _UNKNOWN), found[0]), kind)


def _line(error: ErrorDetails, kind: Any) -> str:
    what, where, got = error["type"], error["loc"], error["input"]
    if what == "missing":
        return f"{_key(where)}: missing"
    if what == "unexpected_keyword_argument":
        return f"{_key(where)}: unknown key{nearest(where[-1], _hints(_at(kind, where[:-1])))}"
    if what == "value_error":
        return _own(error["ctx"]["error"], _key(where))
    if where[-1:] == ("[key]",):
        what = "invalid_key" if what == "string_type" else what
        where = where[:-2]
    elif what == "invalid_key":
        where = where[:-1]
    key = _key(where)
    if what == WORDED:
        return f"{key}: {error['msg']}"
    if what == "float_type" and type(got) is int:
        return f"{key}: expected a finite number, got a larger one"
    if what == "literal_error":
        known = get_args(_at(kind, where))
        return f"{key}: expected one of {list(known)}, got {got!r}{nearest(got, known)}"
    expected = _EXPECTED.get(what, error["msg"])
    return f"{key or ROOT}: expected {expected}, got {got!r}{_hint(what, key, got)}"


def _own(cause: Exception, key: str) -> str:
    """The message of a check of our own; that of a section starts with a key within it."""
    if isinstance(cause, ParameterError):
        return f"{key}.{cause}".lstrip(".")
    return f"{key}: {cause}"


def _hint(what: str, key: str, got: object) -> str:
    if what == "int_type" and isinstance(got, float) and "epsilon" in key:
        return "; it counts in units of 1/255, so 8/255 is written 8"
    if what in ("int_type", "float_type") and isinstance(got, str):
        return "; a number stands without quotes"
    return ""


def _key(where: Location) -> str:
    """A place as a person writes it: `evaluate.pixels.n[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)[1:]


def _at(kind: Any, where: Location) -> Any:
    """The type of the value at a place within a section."""
    for step in where:
        if dataclasses.is_dataclass(kind):
            kind = _hints(kind)[str(step)]
        else:
            kind = get_args(kind)[-1 if get_origin(kind) is dict else 0]
        if get_origin(kind) in (Union, types.UnionType):
            kind = get_args(kind)[0]
    return kind


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
