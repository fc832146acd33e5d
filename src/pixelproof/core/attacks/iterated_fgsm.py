"""FGSM in several small steps, each projected back."""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.ball import Ball
from pixelproof.core.attacks.checks import check_epsilon, check_mode, check_number
from pixelproof.core.attacks.gradients import cross_entropy, gradient_of


def whole_step(epsilon: int, steps: int) -> int:
    """The length of each of several steps: about 2.5 epsilon / steps, in whole units, from 1.

    So each iterate is an image.
    """
    return max(1, round(2.5 * epsilon / steps))


def iterated_fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: int,
    steps: int,
    strongest: bool = False,
) -> Tensor:
    """FGSM in steps of whole units, each projected back (Kurakin et al. 2016, Madry et al. 2017).

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        steps: How many, from 1.
        strongest: Take all steps on every image, as for examples that other models are shown. Else
            an image that is fooled is left as it is: no step makes it count for more.

    Returns:
        (B, C, H, W) uint8, within epsilon of the images and in 0..255: of the iterates that fool,
        or of all where none does, the one with the largest loss.

    Raises:
        ValueError: epsilon or steps is out of its range, or the model is in training mode.
    """
    check_epsilon(epsilon)
    check_number("steps", steps)
    check_mode(model)
    worst = images.clone()
    largest = torch.full(labels.shape, -torch.inf, device=images.device)
    reached = torch.zeros_like(labels, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    current = Ball(images, epsilon).centre
    for step in range(steps + 1):
        asked, last = current.float() / 255, step == steps
        logits, loss, gradient = _look(model, asked, labels[rows], with_gradient=not last)
        fooled = logits.argmax(dim=1) != labels[rows]
        worse = torch.where(fooled == reached[rows], loss > largest[rows], fooled)
        worst[rows[worse]] = current[worse].to(torch.uint8)
        largest[rows[worse]] = loss[worse]
        reached[rows] = reached[rows] | fooled
        left = torch.ones_like(fooled) if strongest else ~fooled
        if last or not left.any():
            break
        rows, ball = rows[left], Ball(images[rows[left]], epsilon)
        current = ball.step(current[left], gradient[left], whole_step(epsilon, steps))
    return worst


def _look(
    model: nn.Module, images: Tensor, labels: Tensor, *, with_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The logits, the loss and, where it is wanted, its gradient by the images."""
    loss = cross_entropy(labels)
    if with_gradient:
        return gradient_of(model, images, loss)
    with torch.inference_mode():
        logits = model(images)
        return logits, loss(logits), images
