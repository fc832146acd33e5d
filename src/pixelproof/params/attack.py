"""The section `attack`: FGSM examples from the originals."""

from dataclasses import dataclass

from pixelproof.params.validation import check_epsilon, require


@dataclass(frozen=True)
class Attack:
    """FGSM examples from the originals."""

    epsilon: int = 1
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_epsilon("epsilon", self.epsilon)
        require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)
