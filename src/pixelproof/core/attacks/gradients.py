"""The gradient of what an attack makes larger or smaller, image by image."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gradient_of(
    model: nn.Module, images: Tensor, function: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """A function of the logits, and its gradient by the image.

    Args:
        model: Takes (B, C, H, W) floats in [0, 1] and returns logits (B, K); in eval mode.
        images: (B, C, H, W) floats in [0, 1].
        function: From logits (B, K) to a number for each image (B,).

    Returns:
        The logits, the numbers, and the gradients (B, C, H, W), in which what is not finite is 0.
    """
    leaf = images.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(leaf)
        values = function(logits)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    finite = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    return logits.detach(), values.detach(), finite


def cross_entropy(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """From logits (B, K) to the cross-entropy of each image with its label (B,)."""

    def of_each(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")

    return of_each


def rival_slopes(
    model: nn.Module, images: Tensor, labels: Tensor, rivals: int
) -> tuple[Tensor, Iterator[tuple[Tensor, Tensor]]]:
    """How far the true class leads over each of the likeliest other classes, and the gradients.

    Args:
        model: As of `gradient_of`.
        images: (B, C, H, W) floats in [0, 1].
        labels: (B,) int64, the true classes.
        rivals: How many of the other classes with the largest logits; fewer where there are fewer.

    Returns:
        The logits, and by rival the true class's logit minus the rival's (B,), and its gradient
        by the image (B, C, H, W).
    """
    leaf = images.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(leaf)
        truth = logits.gather(1, labels[:, None])
        others = logits.scatter(1, labels[:, None], -torch.inf)
        chosen = others.topk(min(rivals, logits.shape[1] - 1), dim=1).indices
        gaps = truth - logits.gather(1, chosen)

    def slopes() -> Iterator[tuple[Tensor, Tensor]]:
        for gap in gaps.unbind(dim=1):
            (slope,) = torch.autograd.grad(gap.sum(), leaf, retain_graph=True)
            yield gap.detach(), slope

    return logits.detach(), slopes()


def wide(numbers: Tensor) -> Tensor:
    """A number for each image (B,), as (B, 1, 1, 1), so that it goes with all of its values."""
    return numbers[:, None, None, None]
