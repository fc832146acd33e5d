"""The gradient of what an attack makes larger or smaller, image by image."""

from collections.abc import Callable

import torch
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
