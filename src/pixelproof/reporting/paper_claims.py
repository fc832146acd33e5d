"""The paper's claims, each tested on these images and models."""

from collections.abc import Callable
from dataclasses import dataclass

from pixelproof.reporting import claims_on_hardening as hardening
from pixelproof.reporting import claims_on_pixels as pixels
from pixelproof.reporting.claim_answers import Answer, Status
from pixelproof.reporting.comparison import Comparison


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and the figures here.

    Attributes:
        words: The claim.
        paper: The paper's figures, and where they are.
        status: Reproduced where the interval lies on the claim's side, not reproduced where it lies
            on the other, undecided where it holds both answers.
        found: The figures here, with 95 % intervals.
        reason: The test, or why there is none.
    """

    words: str
    paper: str
    status: Status
    found: str
    reason: str


_TESTS: list[tuple[str, str, Callable[[Comparison], Answer]]] = [
    (
        "Errors grow with the number of changed pixels",
        "Table 6: ResNet 0.82 % at n = 4, 4.16 % at 64",
        pixels.number,
    ),
    (
        "Errors grow with the magnitude of the change",
        "Table 7: 0.24 % at ± 10, 2.22 % at ± 127, n = 64",
        pixels.magnitude,
    ),
    (
        "The area of the changes matters little",
        "Table 8: 2.34 % whole, 2.05 % in 50 × 50, n = 32; but 5.34 % and 2.51 % at n = 64",
        pixels.area,
    ),
    (
        "The magnitude matters more than the position",
        "Section 6.1.4, from Tables 7 and 8",
        pixels.magnitude_or_area,
    ),
    (
        "Pi ranks classifiers as accuracy does",
        "Table 5, whose rates of AlexNet and VGG are swapped",
        pixels.ranking,
    ),
    (
        "Random pixels disarm FGSM examples",
        "Table 9: 33.0 % come back at n = 4, 77.4 % at 64",
        pixels.disarming,
    ),
    (
        "Retraining helps at every n",
        "Table 10: 2.2 to 5.5 % on the training images, no control",
        hardening.retraining,
    ),
    (
        "Arms with few changed pixels beat arms with many",
        "Table 10 at n = 64: 2.7 % (4 pixels), 5.5 % (64)",
        hardening.few_or_many,
    ),
    ("Clean accuracy is kept", "Section 6.2, without a figure", hardening.clean_accuracy),
    ("Retraining recovers FGSM examples", "Table 11: 75.1 %, no control", hardening.recovery),
    (
        "Retraining moves the decision boundary away, r' > r",
        "Equation 6, without a measurement",
        hardening.boundary,
    ),
    (
        "Ordinary augmentation does not help",
        "Section 4, without a measurement",
        hardening.augmentation,
    ),
]


def claims(comparison: Comparison) -> list[Claim]:
    """Each claim of the paper, in its order."""
    return [Claim(words, paper, *test(comparison)) for words, paper, test in _TESTS]
