"""The section `generate`: how small-distance samples are drawn."""

from dataclasses import dataclass
from typing import Literal

from pixelproof.params.validation import require


@dataclass(frozen=True)
class Generate:
    """How small-distance samples are drawn (Algorithm 1)."""

    seed: int = 2021
    test_seed: int = 2022
    positions: Literal["per_image", "shared"] = "per_image"
    channels: Literal["all", "first"] = "all"
    batch_size: int = 256

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)
        for key in ("seed", "test_seed"):
            seed = getattr(self, key)
            require(0 <= seed < 2**63, key, "an integer from 0", seed)
