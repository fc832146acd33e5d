"""DeepFool: the nearest decision boundary, approached step by step, in the L2 norm.

Moosavi-Dezfooli, Fawzi and Frossard 2016, "DeepFool: a simple and accurate method to fool deep
neural networks".
"""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_mode, check_number
from pixelproof.core.attacks.gradients import rival_slopes, wide

_OVERSHOOT = 0.02  # beyond the boundary, so that the class changes
_NUDGE = 1e-4  # added to each step: an image on the boundary itself would stay there


def deepfool(
    model: nn.Module, images: Tensor, labels: Tensor, steps: int = 50, rivals: int = 10
) -> Tensor:
    """The nearest example that a straight approximation of the network finds, in floats.

    Each step goes to the nearest of the boundaries to the likeliest other classes, as if the
    logits were straight. An image stops where it is fooled, or where no gradient leads on.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        steps: At most so many, from 1.
        rivals: How many of the other classes with the largest logits are tried in a step.

    Returns:
        (B, C, H, W) floats in [0, 1]; see `integer_grid` for images of whole numbers.

    Raises:
        ValueError: A number is out of its range, or the model is in training mode.
    """
    check_mode(model)
    check_number("steps", steps)
    check_number("rivals", rivals)
    origin = images.float() / 255
    moved = torch.zeros_like(origin)
    active = torch.arange(len(images), device=images.device)
    for _ in range(steps):
        step, fooled = _step(model, _beyond(origin, moved)[active], labels[active], rivals)
        moved[active] += step
        active = active[~fooled & (step.flatten(1).norm(dim=1) > 0)]
        if not len(active):
            break
    return _beyond(origin, moved)


def _beyond(origin: Tensor, moved: Tensor) -> Tensor:
    return (origin + (1 + _OVERSHOOT) * moved).clamp(0, 1)


def _step(model: nn.Module, current: Tensor, labels: Tensor, rivals: int) -> tuple[Tensor, Tensor]:
    """The step (B, C, H, W) to the nearest boundary, 0 for images that are fooled, and which are.

    Where all gradients are zero, the step is zero, too.
    """
    logits, slopes = rival_slopes(model, current, labels, rivals)
    nearest = torch.full(labels.shape, torch.inf, device=current.device)
    step = torch.zeros_like(current)
    for gap, slope in slopes:
        length = slope.flatten(1).norm(dim=1)
        distance = (gap.abs() / length).float()
        nearer = (distance < nearest) & (length > 0) & length.isfinite()
        nearest = torch.where(nearer, distance, nearest)
        towards = -slope / wide(length) * wide(distance + _NUDGE)
        step = torch.where(wide(nearer), towards, step)
    fooled = logits.argmax(dim=1) != labels
    return step.masked_fill(wide(fooled), 0), fooled
