"""An attack that follows the gradient once: FGSM."""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_epsilon, check_mode
from pixelproof.core.attacks.gradients import cross_entropy, gradient_of


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the cross-entropy by the image.

    Only its sign and direction mean anything to an attack, so the loss is summed, which keeps
    an image's gradient free of the batch it stands in.

    Args:
        model: Takes (B, C, H, W) floats in [0, 1] and returns logits (B, K); in eval mode.
        images: (B, C, H, W) floats in [0, 1].
        labels: (B,) int64.

    Returns:
        (B, C, H, W) floats.

    Raises:
        ValueError: The model is in training mode, where dropout and batch statistics would
            turn half of the signs.
    """
    check_mode(model)
    return gradient_of(model, images, cross_entropy(labels))[2]


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, epsilon: int) -> Tensor:
    """One step of size epsilon along the sign of the gradient (Goodfellow et al. 2014).

    On uint8 images and an integer epsilon the result is an image again, exactly: no rounding
    that a file of it would undo. A zero gradient leaves its value alone.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.

    Returns:
        (B, C, H, W) uint8, within epsilon of the images and in 0..255.

    Raises:
        ValueError: epsilon is no integer from 1 to 255, or the model is in training mode.
    """
    check_epsilon(epsilon)
    gradient = input_gradient(model, images.float() / 255, labels)
    step = gradient.sign().to(torch.int16) * epsilon
    return (images.to(torch.int16) + step).clamp(0, 255).to(torch.uint8)
