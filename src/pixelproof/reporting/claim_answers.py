"""What the tests of the paper's claims have in common: their answer, and how models are paired."""

from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from pixelproof.core.statistics.differences import Difference, paired_difference
from pixelproof.reporting.comparison import Comparison

Status = Literal["reproduced", "not reproduced", "undecided", "not comparable"]
Rates = npt.NDArray[Any]

SMALL = 0.5  # a difference within this share of the rate that it is compared with is "little"


class Answer(NamedTuple):
    """How a claim compares with what is found here.

    Attributes:
        status: Reproduced where the interval lies on the claim's side, not reproduced where it lies
            on the other, undecided where it holds both answers.
        found: The figures here, with 95 % intervals.
        reason: The test, or why there is none.
    """

    status: Status
    found: str
    reason: str


def paired(
    comparison: Comparison,
    wrong: Rates,
    other: Rates,
    *,
    drawn: bool = True,
    images: list[str] | None = None,
) -> Difference:
    """The difference of two models or settings, paired by image and draw.

    Args:
        comparison: For the resamples, and for whether images share their draws.
        wrong: Of one, (images, draws).
        other: Of the other, of the same shape.
        drawn: Whether the columns are draws; unchanged images and attacks have none.
        images: The ids of the images; by default they are the common ones.
    """
    compare = comparison.params.compare
    shared = drawn and comparison.params.generate.positions == "shared"
    return paired_difference(
        wrong,
        other,
        resamples=compare.resamples,
        seed=compare.seed,
        by_draw=shared,
        groups=comparison.groups(images),
    )


def status(holds: bool, fails: bool) -> Status:
    """The status of a claim that was tested.

    Args:
        holds: Whether the figures are certain to be on the claim's side.
        fails: Whether they are certain to be on the other.
    """
    return "reproduced" if holds else "not reproduced" if fails else "undecided"


def above(difference: Difference) -> Status:
    """The status of a claim that a difference is above zero."""
    return status(difference.low > 0, difference.high <= 0)


def missing(what: str) -> Answer:
    """The answer where an experiment was not run."""
    return not_comparable(f"not measured here: {what}")


def not_comparable(reason: str, found: str = "") -> Answer:
    """The answer where there is no test, and why."""
    return Answer("not comparable", found, reason)


def nothing_flips() -> Answer:
    """The answer where no model errs."""
    return not_comparable("no prediction flips, so there is no rate to compare with")


def original(comparison: Comparison) -> str:
    """The original that the control belongs to, or the first."""
    control = comparison.params.compare.control
    arms = comparison.params.finetune.arms
    return arms[control].baseline if control in arms else next(iter(comparison.params.baselines))
