"""The attack of Carlini and Wagner in the L2 norm.

Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks".
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_mode, check_number
from pixelproof.core.attacks.gradients import wide
from pixelproof.core.attacks.margin import lead_of

_FIRST_WEIGHT = 0.01  # of the lead against the distance
_RATE = 0.01  # Adam's
_DECAYS = (0.9, 0.999)
_INSIDE = 1 - 1e-6  # so that black and white have a finite arctangent


def carlini_wagner(
    model: nn.Module, images: Tensor, labels: Tensor, steps: int = 100, searches: int = 6
) -> Tensor:
    """The nearest example that Adam finds, in floats.

    It makes the squared distance plus a weight times the lead of the true class small, in the
    arctangent of the values, where no bound is in the way. A search over the weight, image by
    image, makes it smaller where it fooled and larger where it did not.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        steps: For each weight, from 1.
        searches: How many weights, from 1.

    Returns:
        (B, C, H, W) floats in [0, 1], the images themselves where nothing fooled; see
        `integer_grid` for images of whole numbers.

    Raises:
        ValueError: A number is out of its range, or the model is in training mode.
    """
    check_mode(model)
    check_number("steps", steps)
    check_number("searches", searches)
    origin = images.float() / 255
    found = _Nearest(origin.clone(), torch.full(labels.shape, torch.inf, device=images.device))
    low = torch.zeros_like(found.distance)
    high = torch.full_like(low, torch.inf)
    weight = torch.full_like(low, _FIRST_WEIGHT)
    for _ in range(searches):
        fooled = _minimise(model, origin, labels, weight, steps, found)
        high = torch.where(fooled, weight, high)
        low = torch.where(fooled, low, weight)
        weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)
    return found.examples


@dataclass
class _Nearest:
    """The nearest examples that fool, and their squared distances; infinite where none does."""

    examples: Tensor
    distance: Tensor

    def keep(self, examples: Tensor, distance: Tensor, fooled: Tensor) -> None:
        nearer = fooled & (distance < self.distance)
        self.distance = torch.where(nearer, distance, self.distance)
        self.examples = torch.where(wide(nearer), examples, self.examples)


def _minimise(
    model: nn.Module, origin: Tensor, labels: Tensor, weight: Tensor, steps: int, found: _Nearest
) -> Tensor:
    """Run Adam at some weights, keep what fools, and say for which images anything did."""
    hidden = torch.atanh((2 * origin - 1) * _INSIDE)
    start = (hidden.tanh() + 1) / 2  # distances are taken from here, lest the first step has one
    mean, square = torch.zeros_like(hidden), torch.zeros_like(hidden)
    ever = torch.zeros_like(labels, dtype=torch.bool)
    for step in range(1, steps + 1):
        leaf = hidden.detach().requires_grad_(True)
        with torch.enable_grad():
            examples = (leaf.tanh() + 1) / 2
            logits = model(examples)
            distance = (examples - start).square().flatten(1).sum(dim=1)
            lead = lead_of(logits, labels)
            loss = distance + weight * lead.clamp(min=0)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        fooled = logits.detach().argmax(dim=1) != labels
        ever |= fooled
        found.keep(examples.detach(), distance.detach(), fooled)
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        mean = _DECAYS[0] * mean + (1 - _DECAYS[0]) * gradient
        square = _DECAYS[1] * square + (1 - _DECAYS[1]) * gradient.square()
        size = (square / (1 - _DECAYS[1] ** step)).sqrt() + 1e-8
        hidden = hidden - _RATE * mean / (1 - _DECAYS[0] ** step) / size
    return ever
