"""The section `compare`: intervals, tests, and the point of reference."""

from typing import Annotated, Literal

from pydantic import Field

from pixelproof.params.kinds import CountOrAll, Expected, Names, Seed
from pixelproof.params.section import section


@section
class Reference:
    """The point at which models are compared in one number."""

    experiment: Literal["pixels", "stuck"] = "stuck"
    """The experiment, which must be among those of `evaluate`."""
    n: int = 256
    """The number of changed pixels, which must be among those of the experiment."""


@section
class Compare:
    """How models are compared: intervals, tests, and the point of reference."""

    reference: Reference = Reference()
    """The point at which models are compared in one number."""
    control: str | None = "clean"
    """The arm whose training differs from a hardened one's by the changed pixels alone; null: there
    is none."""
    defects: Names = ()
    """The classes whose misses are named first."""
    images: CountOrAll = None
    """How many of the common images to use at most; null: all."""
    resamples: Annotated[
        int, Field(ge=100, le=1_000_000), Expected("a number from 100 to a million")
    ] = 10_000
    """How often the images are resampled for an interval (bootstrap)."""
    seed: Seed = 0
    """Of the resampling."""
