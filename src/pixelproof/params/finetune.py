"""The section `finetune`: the arms, and what all of them share."""

from typing import Annotated, Literal

from pydantic import Field

from pixelproof.params.kinds import OFFSET, AreaSide, Count, Expected, LearningRate, Name, Seed
from pixelproof.params.section import section

Values = Annotated[  # what `parse_values` accepts; its module would import numpy
    str,
    Field(pattern=rf"^(full|stuck|{OFFSET})$"),
    Expected("full, stuck or offset:d with d from 1 to 255"),
]


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
    """The share of the training images that stay unchanged, drawn anew each epoch."""
    train: Literal["whole", "head"] = "whole"
    """What is trained: the whole network, or its last layer alone (a control)."""
    augment: Literal["none", "geometric", "colour", "erasing", "autoaugment"] = "none"
    """An ordinary augmentation of the training images (a control). `geometric`: flip, rotation by
    up to 15 degrees, crop. `colour`: jitter, blur, noise. `erasing`: a box is blanked.
    `autoaugment`: the policy for ImageNet."""
    seed: Annotated[int, Field(ge=0, lt=2**63), Expected("null or from 0")] | None = None
    """Of this arm's training, in place of the seed that all arms share; arms that differ in it
    alone are repetitions."""


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
