"""The distance to the decision boundary, to first order."""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_mode
from pixelproof.core.attacks.gradients import rival_slopes


def boundary_distance(model: nn.Module, images: Tensor, labels: Tensor, rivals: int = 10) -> Tensor:
    """The first-order distance to the decision boundary, r of Equation 3.

    For a network that is straight near the image it is exact: the difference of two logits
    over the length of its gradient, for the nearest of the likeliest other classes
    (Moosavi-Dezfooli et al. 2016).

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        rivals: How many of the other classes with the largest logits are tried.

    Returns:
        (B,) the Euclidean distance where a value spans 0..1; negative where the model is wrong,
        infinite where the gradient is zero.

    Raises:
        ValueError: The model is in training mode.
    """
    check_mode(model)
    _, slopes = rival_slopes(model, images.float() / 255, labels, rivals)
    distances = [gap / slope.flatten(1).norm(dim=1) for gap, slope in slopes]
    return torch.stack(distances).amin(dim=0)
