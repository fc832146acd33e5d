"""How far an example lies from its image, and whether that is within a budget."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l0"]

_ROUNDING = 0.01  # what sums of 32-bit floats may add to a distance, in units of 1/255


class Distances(NamedTuple):
    """Of B examples, each (B,) float64.

    Attributes:
        l0: How many pixels differ (positions, not values of channels).
        l2: The Euclidean length of the difference, in units of 1/255.
        linf: The largest difference of a value, in units of 1/255.
    """

    l0: Tensor
    l2: Tensor
    linf: Tensor


def distances(images: Tensor, examples: Tensor) -> Distances:
    """Measure examples; exact where both are uint8.

    Args:
        images: (B, C, H, W) uint8.
        examples: (B, C, H, W), uint8, or floats in [0, 1].
    """
    if examples.is_floating_point():
        gap = (255 * examples.double() - images.double()).abs()
        changed, squares = gap.amax(dim=1) > _ROUNDING, gap.square()
    else:
        gap = (examples.to(torch.int16) - images.to(torch.int16)).abs()
        changed, squares = gap.amax(dim=1) > 0, gap.int().square()
    return Distances(
        changed.flatten(1).sum(dim=1).double(),
        squares.flatten(1).sum(dim=1).double().sqrt(),
        gap.flatten(1).amax(dim=1).double(),
    )


def within(images: Tensor, examples: Tensor, norm: Norm, budget: int) -> Tensor:
    """Which examples (B,) are images, and no further away than a budget.

    Args:
        images: (B, C, H, W) uint8.
        examples: (B, C, H, W), uint8, or floats that should lie in [0, 1]. One that holds NaN is
            outside.
        norm: Of the budget.
        budget: Pixels for `l0`, else units of 1/255.
    """
    slack = _ROUNDING if examples.is_floating_point() and norm != "l0" else 0
    near: Tensor = getattr(distances(images, examples), norm) <= budget + slack  # not so for NaN
    if not examples.is_floating_point():
        return near
    return near & ((examples >= 0) & (examples <= 1)).flatten(1).all(dim=1)
