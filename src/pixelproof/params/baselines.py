"""The section `baselines`: the original classifiers, by name."""

from dataclasses import dataclass
from typing import Literal

from pixelproof.params.validation import check_training, require


@dataclass(frozen=True)
class Baseline:
    """An original classifier: where it comes from, and how it is fine-tuned.

    `architecture` allows a model folder the code that it names: `python:…`. `seen` declares which
    images the weights have seen (see `declared_images`); of one's own weights that is unknown.
    """

    classifier: str
    weights: str = "imagenet"
    head: Literal["auto", "keep", "new"] = "auto"
    classes: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    epochs: int = 7
    learning_rate: float = 0.01
    batch_size: int = 16
    seed: int = 1
    architecture: str | None = None
    seen: str | None = None

    def __post_init__(self) -> None:
        code = self.architecture is None or self.architecture.startswith("python:")
        require(code, "architecture", "python:package.module:factory", self.architecture)
        require(0 <= self.epochs <= 10_000, "epochs", "a number from 0 to 10,000", self.epochs)
        check_training(self.learning_rate, self.batch_size, self.seed)
        if self.std is not None:
            require(min(self.std) > 0, "std", "three numbers above 0", self.std)
        if self.classes is not None:
            distinct = len(set(self.classes)) == len(self.classes) >= 2
            require(distinct, "classes", "two or more distinct names", self.classes)
