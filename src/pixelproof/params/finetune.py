"""The section `finetune`: the arms, and what all of them share."""

from typing import Annotated, Literal

from pydantic import Field

from pixelproof.params.kinds import (
    OFFSET,
    AreaSide,
    Count,
    Epsilon,
    Expected,
    LearningRate,
    Name,
    Seed,
)
from pixelproof.params.section import section
from pixelproof.params.validation import require

Values = Annotated[  # what `parse_values` accepts; its module would import numpy
    str,
    Field(pattern=rf"^(full|stuck|{OFFSET})$"),
    Expected("full, stuck or offset:d with d from 1 to 255"),
]


Share = Annotated[float, Field(gt=0, le=1), Expected("a share above 0, to 1")]


@section
class AdversarialShare:
    """Adversarial examples of the model as it stands: FGSM from a random start.

    They are made anew in each step of the training (Wong et al. 2020).
    """

    epsilon: Epsilon = 1
    """The largest change of a value, in units of 1/255."""
    steps: Annotated[int, Field(ge=1, le=100), Expected("a number from 1 to 100")] = 1
    """Of the attack; each costs as much as a step of the training."""
    share: Share = 0.5
    """The share of the training images that become such examples, drawn anew each epoch."""


@section
class WorstShare:
    """Pixels that a short search found to be bad for the model as it stands.

    A choice by the gradient, then random steps. An image that is wrong already stays as it is.
    """

    n: Count = 64
    """How many pixels at most; `values` and `area` are the arm's."""
    queries: Annotated[int, Field(ge=1, le=1000), Expected("a number from 1 to 1,000")] = 8
    """How often the model is asked for an image."""
    share: Share = 0.25
    """The share of the training images that are changed so, drawn anew each epoch."""


@section
class Arm:
    """One hardened or control classifier: what its training images are changed by."""

    baseline: str
    """The original that it starts from."""
    n: Annotated[int, Field(ge=0), Expected("a number of pixels from 0 (0: unchanged images)")] = 0
    """How many pixels of a training image change; 0 trains on unchanged images, a control."""
    values: Values = "full"
    """What a changed pixel becomes. `full`: any value, each channel by itself. `stuck`: 0 or 255 in
    all channels, as a dead or hot pixel of a camera. `offset:d`: its old value ± d, clipped."""
    area: AreaSide = None
    """The side in pixels of the centred square in which pixels change; null: the whole image."""
    mix: Annotated[float, Field(ge=0, lt=1), Expected("a share from 0, below 1")] = 0.0
    """The share of the training images that stay unchanged, drawn anew each epoch. What `mix` and
    the shares of `adversarial` and `worst` leave gets `n` random pixels."""
    adversarial: AdversarialShare | None = None
    """A share of adversarial examples of the model as it stands; null: none."""
    worst: WorstShare | None = None
    """A share of images with pixels that a search found; null: none."""
    train: Literal["whole", "head"] = "whole"
    """What is trained: the whole network, or its last layer alone (a control)."""
    augment: Literal["none", "geometric", "colour", "erasing", "autoaugment"] = "none"
    """An ordinary augmentation of the training images (a control). `geometric`: flip, rotation by
    up to 15 degrees, crop. `colour`: jitter, blur, noise. `erasing`: a box is blanked.
    `autoaugment`: the policy for ImageNet."""
    seed: Annotated[int, Field(ge=0, lt=2**63), Expected("null or from 0")] | None = None
    """Of this arm's training, in place of the seed that all arms share; arms that differ in it
    alone are repetitions."""

    def __post_init__(self) -> None:
        attacked = [part.share for part in (self.adversarial, self.worst) if part is not None]
        words = "at most 1 together with the shares of adversarial and worst"
        require(sum(attacked) + self.mix <= 1 + 1e-9, "mix", words, self.mix)


@section
class Finetune:
    """Small-scale retraining (Section 6.2): what all arms share, and the arms."""

    arms: dict[Name, Arm]
    """The hardened and control classifiers, by name."""
    epochs: Annotated[int, Field(ge=1, le=10_000), Expected("a number from 1 to 10,000")] = 3
    """How often training goes through the images; the last epoch is used."""
    learning_rate: LearningRate = 0.01
    """The peak of the one-cycle schedule."""
    batch_size: Count = 16
    """Images in a step of training."""
    seed: Seed = 1
    """Of the order of the images."""
    fresh: bool = True
    """true: a new draw of the changes in each epoch. false: one draw, as in the paper."""

    @property
    def train_draws(self) -> int:
        """How many draws an image the arms train on: one an epoch where they are fresh."""
        return self.epochs if self.fresh else 1
