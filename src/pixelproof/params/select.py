"""The section `select`: reading, splitting and choosing the images."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelproof.errors import ParameterError
from pixelproof.params.validation import require

Fit = Literal["stretch", "crop", "imagenet"]  # how an image becomes a square


@dataclass(frozen=True)
class Group:
    """What keeps images of one part in one split: a pattern on the path, or a CSV column."""

    pattern: str | None = None
    csv: str | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        by_csv = self.csv is not None and self.column is not None
        require(
            (self.pattern is None) == by_csv and (self.csv is None) == (self.column is None),
            "pattern",
            "either a pattern, or a csv and its column",
            dataclasses.asdict(self),
        )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ParameterError(f"pattern: expected a regular expression: {error}") from None


@dataclass(frozen=True)
class Select:
    """Reading, splitting and choosing the images."""

    data: str = "data"
    side: int = 128
    fit: Fit = "stretch"
    split: Literal["hash", "none"] = "hash"
    seed: int = 2021
    held_out: float = 0.3
    train_images: int | None = None
    held_out_images: int | None = None
    group: Group | None = None
    strategy: Literal["random"] = "random"
    unreadable: float = 0.01

    def __post_init__(self) -> None:
        require(8 <= self.side <= 4096, "side", "a side of 8 to 4096 pixels", self.side)
        require(0 <= self.seed < 2**63, "seed", "an integer from 0", self.seed)
        require(0 < self.held_out < 1, "held_out", "a share between 0 and 1", self.held_out)
        require(0 <= self.unreadable <= 1, "unreadable", "a share from 0 to 1", self.unreadable)
        table = self.group.csv if self.group else None
        if table is not None:  # what lies elsewhere could change without a stage that runs again
            inside = ".." not in Path(table).parts and Path(table).is_relative_to(self.data)
            require(inside, "group.csv", f"a file in {self.data}/, where DVC sees changes", table)
        for key in ("train_images", "held_out_images"):
            number = getattr(self, key)
            require(number is None or number >= 1, key, "null or a number from 1", number)
