"""The section `finetune`: the arms, and what all of them share."""

from dataclasses import dataclass
from typing import Literal

from pixelproof.core.pixel_changes import parse_values
from pixelproof.errors import ParameterError
from pixelproof.params.validation import check_training, require


def _check_values(key: str, values: str) -> None:
    try:
        parse_values(values)
    except ValueError as error:
        raise ParameterError(f"{key}: {error}") from None


@dataclass(frozen=True)
class Arm:
    """One hardened or control classifier; n = 0 fine-tunes on unchanged images.

    `augment` names what is done to the images beside that, and `seed` replaces the arms' own:
    both make controls.
    """

    baseline: str
    n: int = 0
    values: str = "full"
    area: int | None = None
    mix: float = 0.0
    train: Literal["whole", "head"] = "whole"
    augment: Literal["none", "geometric", "colour", "erasing", "autoaugment"] = "none"
    seed: int | None = None

    def __post_init__(self) -> None:
        require(self.seed is None or 0 <= self.seed < 2**63, "seed", "null or from 0", self.seed)
        require(self.n >= 0, "n", "a number of pixels from 0 (0: unchanged images)", self.n)
        require(self.area is None or self.area >= 1, "area", "null or a side from 1", self.area)
        require(0 <= self.mix < 1, "mix", "a share from 0, below 1", self.mix)
        _check_values("values", self.values)


@dataclass(frozen=True)
class Finetune:
    """What all arms share, and the arms."""

    arms: dict[str, Arm]
    epochs: int = 3
    learning_rate: float = 0.01
    batch_size: int = 16
    seed: int = 1
    fresh: bool = True

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 10_000, "epochs", "a number from 1 to 10,000", self.epochs)
        check_training(self.learning_rate, self.batch_size, self.seed)

    @property
    def train_draws(self) -> int:
        """How many draws an image the arms train on: one an epoch where they are fresh."""
        return self.epochs if self.fresh else 1
