"""The section `select`: reading, splitting and choosing the images."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pixelproof.params.kinds import CountOrAll, Expected, Seed
from pixelproof.params.section import section
from pixelproof.params.validation import require

Fit = Literal["stretch", "crop", "imagenet"]  # how an image becomes a square


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return pattern


@section
class Group:
    """What keeps images of one part in one split: a pattern on the path, or a CSV column.

    Intervals and tests then go by part, since images of one part are alike.
    """

    pattern: Annotated[str, AfterValidator(_check_pattern)] | None = None
    """A regular expression that is searched in `class/file`; its first group names the part, or the
    whole match where it has no group."""
    block: Annotated[int, Field(ge=2), Expected("null or a number from 2")] | None = None
    """With a pattern whose last group is a number: so many consecutive numbers are one part, as
    frames of a recording are; the groups before it tell recordings apart. null: what the pattern
    finds is the part's name."""
    csv: str | None = None
    """A table in the data folder, in place of a pattern; its column `path` has `class/file`."""
    column: str | None = None
    """The column of the table that names the part."""

    def __post_init__(self) -> None:
        by_csv = self.csv is not None and self.column is not None
        require(
            (self.pattern is None) == by_csv and (self.csv is None) == (self.column is None),
            "pattern",
            "either a pattern, or a csv and its column",
            dataclasses.asdict(self),
        )
        whole = self.block is None or self.pattern is not None
        require(whole, "block", "null, since there is no pattern", self.block)


@section
class Select:
    """Reading, splitting and choosing the images."""

    data: str = "data"
    """The folder of the images, `DATA/<class>/<image>`, which `DATA.dvc` tracks."""
    side: Annotated[int, Field(ge=8, le=4096), Expected("a side of 8 to 4096 pixels")] = 128
    """The side in pixels of the square that every image becomes."""
    fit: Fit = "stretch"
    """How an image becomes a square. `stretch`: the whole image is resized, both sides by
    themselves. `crop`: the largest square at its centre. `imagenet`: 7/8 of that square, bicubic,
    as networks are evaluated on ImageNet."""
    split: Literal["hash", "none"] = "hash"
    """`hash`: an image's split is a hash of its content or its group. `none`: every image is held
    out, and nothing is trained."""
    seed: Seed = 2021
    """Of the split and of the choice of a subset."""
    held_out: Annotated[float, Field(gt=0, lt=1), Expected("a share between 0 and 1")] = 0.3
    """The share of the images that no model is trained on."""
    validation: (
        Annotated[float, Field(gt=0, lt=1), Expected("null or a share between 0 and 1")] | None
    ) = None
    """For a choice between recipes: the share of the training images that is cut off by a hash and
    takes the place of the held-out ones, which no stage then stores; null: none."""
    train_images: CountOrAll = None
    """How many training images to use at most; null: all. Classes keep their shares."""
    held_out_images: CountOrAll = None
    """How many held-out images to use at most; null: all. Classes keep their shares."""
    group: Group | None = None
    """Keeps the images of one part in one split; null: each image stands alone."""
    strategy: Literal["random"] = "random"
    """How a subset is chosen: at random, by a hash of each image."""
    unreadable: Annotated[float, Field(ge=0, le=1), Expected("a share from 0 to 1")] = 0.01
    """The share of the files that may be unreadable, and are then quarantined; above it the stage
    stops."""

    def __post_init__(self) -> None:
        trained = self.validation is None or self.split == "hash"
        require(trained, "validation", "null, since split is none", self.validation)
        table = self.group.csv if self.group else None
        if table is not None:  # what lies elsewhere could change without a stage that runs again
            inside = ".." not in Path(table).parts and Path(table).is_relative_to(self.data)
            require(inside, "group.csv", f"a file in {self.data}/, where DVC sees changes", table)
