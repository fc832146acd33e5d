"""Attacks that follow the gradient: FGSM and its iterated form."""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.ball import Ball
from pixelproof.core.attacks.checks import check_epsilon, check_mode, check_number
from pixelproof.core.attacks.gradients import cross_entropy, gradient_of, wide


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


def whole_step(epsilon: int, steps: int) -> int:
    """The length of each of several steps: about 2.5 epsilon / steps, and a whole unit at least."""
    return max(1, round(2.5 * epsilon / steps))


def iterated_fgsm(
    model: nn.Module, images: Tensor, labels: Tensor, epsilon: int, steps: int
) -> Tensor:
    """FGSM in small steps, each projected back (Kurakin et al. 2016, Madry et al. 2017).

    Each step is a whole number of units, about 2.5 epsilon / steps and at least 1, so that each
    iterate is an image. For each image the iterate with the largest loss is returned.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        steps: How many, from 1.

    Returns:
        (B, C, H, W) uint8, within epsilon of the images and in 0..255.

    Raises:
        ValueError: epsilon or steps is out of its range, or the model is in training mode.
    """
    check_epsilon(epsilon)
    check_number("steps", steps)
    check_mode(model)
    ball, length = Ball(images, epsilon), whole_step(epsilon, steps)
    current, worst = ball.centre, ball.centre
    largest = torch.full(labels.shape, -torch.inf, device=images.device)
    for _ in range(steps + 1):
        _, loss, gradient = gradient_of(model, current.float() / 255, cross_entropy(labels))
        worse = loss > largest
        largest = torch.where(worse, loss, largest)
        worst = torch.where(wide(worse), current, worst)
        current = ball.step(current, gradient, length)
    return worst.to(torch.uint8)
