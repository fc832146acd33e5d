"""The section `compare`: intervals, tests, and the point of reference."""

from dataclasses import dataclass
from typing import Literal

from pixelproof.params.validation import require


@dataclass(frozen=True)
class Reference:
    """The point at which models are compared in one number."""

    experiment: Literal["pixels", "stuck"] = "stuck"
    n: int = 256


@dataclass(frozen=True)
class Compare:
    """Intervals and tests; `defects` are classes whose misses are told first, if there."""

    reference: Reference = Reference()
    control: str | None = "clean"
    defects: tuple[str, ...] = ()
    images: int | None = None
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        number = self.images
        require(number is None or number >= 1, "images", "null or a number from 1", number)
        expected = "a number from 100 to a million"
        require(100 <= self.resamples <= 1_000_000, "resamples", expected, self.resamples)
        require(0 <= self.seed < 2**63, "seed", "an integer from 0", self.seed)
