"""The kinds of values that sections hold: their ranges, and what is expected in words.

pydantic tests a range, and a schema shows it; the words are ours, since it would say which limit
was passed ("less than or equal to 255") and not what the value means ("in units of 1/255").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_wrap_validator_function

from pixelproof.params.validation import NAME, RESERVED

T = TypeVar("T")

OFFSET = "offset:([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"  # d from 1 to 255

WORDED = "worded"  # the type of an error that is in our words already
_RANGE = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "string_pattern_mismatch",
}


def _unexpected(words: str, got: object) -> PydanticCustomError:
    return PydanticCustomError(
        WORDED, "expected {words}, got {got}", {"words": words, "got": repr(got)}
    )


@dataclass(frozen=True)
class Expected:
    """Words for a value that is out of its range; follows the range in an annotation."""

    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The schema of the range, with these words for its errors."""
        return no_info_wrap_validator_function(self._check, handler(source))

    def _check(self, value: object, validate: Callable[[object], T]) -> T:
        try:
            return validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
            outside = [each["input"] for each in found if each["type"] in _RANGE]
            if not outside:
                raise
            raise _unexpected(self.words, outside[0]) from None


@dataclass(frozen=True)
class Several:
    """Turns a list of YAML into a tuple; a single number becomes a tuple of one entry.

    Attributes:
        least: The smallest number of entries.
        words: Says what is expected if there are fewer.
        distinct: Says what is expected if an entry is repeated; None allows repetition.
    """

    least: int = 0
    words: str = ""
    distinct: str | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The schema of a tuple, which takes a list, too."""
        return no_info_wrap_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The JSON schema: a list, or a single number."""
        several = handler(schema)
        if self.least:
            several["minItems"] = self.least
        if self.distinct:
            several["uniqueItems"] = True
        single = several["items"]
        return {"anyOf": [several, single]} if single.get("type") != "string" else several

    def _check(self, value: object, validate: Callable[[object], tuple[T, ...]]) -> tuple[T, ...]:
        entries = [value] if isinstance(value, int | float) else value
        checked = validate(tuple(entries) if isinstance(entries, list) else entries)
        if len(checked) < self.least:
            raise _unexpected(self.words, checked)
        if self.distinct and len(set(checked)) != len(checked):
            raise _unexpected(self.distinct, checked)
        return checked


def three(value: Any) -> Any:
    """Turn a list of three numbers, one for each channel, into a tuple.

    Anything but a list or a tuple is passed on, for pydantic to refuse.
    """
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 3:
        raise PydanticCustomError(WORDED, "expected 3 entries, got {n}", {"n": len(value)})
    return tuple(value)


def _not_reserved(name: Any) -> Any:
    if name in RESERVED:
        others = f"names other than {' and '.join(RESERVED)}"
        raise _unexpected(f"{others}, whose changes DVC does not notice", name)
    return name


Count = Annotated[int, Field(ge=1), Expected("a number from 1")]
CountOrAll = Annotated[int, Field(ge=1), Expected("null or a number from 1")] | None
Seed = Annotated[int, Field(ge=0, lt=2**63), Expected("an integer from 0")]
LearningRate = Annotated[float, Field(gt=0, le=10), Expected("a number above 0, to 10")]
Level = Annotated[int, Field(ge=1, le=255)]
Epsilon = Annotated[Level, Expected("an integer from 1 to 255, in units of 1/255")]
AreaSide = Annotated[int, Field(ge=1), Expected("null or a side from 1")] | None
PixelCounts = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    Expected("numbers of pixels from 1"),
    Several(1, "numbers of pixels from 1", distinct="each number once"),
]
Names = Annotated[tuple[str, ...], Several()]
Triple = Annotated[tuple[float, float, float], BeforeValidator(three)]
RegisteredName = Annotated[
    str, Field(pattern=f"^{NAME.pattern}$"), Expected("a name of a-z, 0-9, - and _")
]
Name = Annotated[
    str,
    Field(pattern=f"^{NAME.pattern}$"),
    Expected("names of a-z, 0-9, - and _"),
    BeforeValidator(_not_reserved),
]
