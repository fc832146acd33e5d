"""How a network is fine-tuned."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned; equal for all arms but for what they change in the images.

    Attributes:
        epochs: From 1; the last one is used, since no image is left to choose by.
        learning_rate: The peak of a one-cycle schedule (Smith and Topin 2018).
        batch_size: The largest batch.
        seed: Of the order of the images and of dropout.
        n: How many pixels change in an image; 0 for none.
        mix: The share of images left unchanged, drawn anew each epoch.
        fresh: Whether each epoch has its own draw (else draw 0, as in the paper).
        train: The whole network, or only its final layer.
        augment: An ordinary augmentation beside the changed pixels; see `augmentation`.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    n: int = 0
    mix: float = 0.0
    fresh: bool = True
    train: Literal["whole", "head"] = "whole"
    augment: str = "none"
