"""FGSM from a random start, for training: one gradient an example, or a few.

Wong, Rice and Kolter 2020, "Fast is better than free: revisiting adversarial training", on images
of whole numbers.
"""

import numpy as np
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.ball import Ball
from pixelproof.core.attacks.checks import check_epsilon, check_number
from pixelproof.core.attacks.fgsm import input_gradient


def from_random_start(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: int,
    steps: int,
    random: np.random.Generator,
) -> Tensor:
    """Steps along the sign of the gradient from a random start, each projected back.

    A single step is 1.25 epsilon long, as published, of several each is 2.5 epsilon / steps, both
    rounded up to whole units: what a classifier is trained on is an image again.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        steps: How many, from 1.
        random: Draws the start, uniform over the whole units within epsilon.

    Returns:
        (B, C, H, W) uint8, within epsilon of the images and in 0..255.

    Raises:
        ValueError: epsilon or steps is out of its range, or the model is in training mode.
    """
    check_epsilon(epsilon)
    check_number("steps", steps)
    length = -(-5 * epsilon // 4) if steps == 1 else -(-5 * epsilon // (2 * steps))
    ball = Ball(images, epsilon)
    start = random.integers(-epsilon, epsilon + 1, tuple(images.shape), dtype=np.int16)
    current = ball.nearest(ball.centre + torch.from_numpy(start).to(images.device))
    for _ in range(steps):
        gradient = input_gradient(model, current.float() / 255, labels)
        current = ball.step(current, gradient, length)
    return current.to(torch.uint8)
