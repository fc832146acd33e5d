"""Examples in floats become images of whole numbers, which is what a file holds.

Attacks that look for the nearest example stop just beyond the boundary, by steps smaller than a
unit: rounded, most of them fool no more. What they found is a direction, so the rounded example is
pushed along it.
"""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.distances import Norm, within
from pixelproof.core.attacks.gradients import wide
from pixelproof.core.attacks.margin import judge

_GROWTH, _PUSHES = 1.25, 30  # 800 times as far in the end
_HALVINGS = 6  # of the last push, which goes further than it must


def to_integers(
    model: nn.Module, images: Tensor, labels: Tensor, examples: Tensor, norm: Norm, budget: int
) -> tuple[Tensor, Tensor]:
    """Round examples; those that fool no more are pushed along their direction until they do.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        examples: (B, C, H, W) floats in [0, 1].
        norm: Of the budget.
        budget: See `within`; nothing is pushed beyond it.

    Returns:
        (B, C, H, W) uint8: the nearest example found on the way that fools, or the rounded one;
        and (B,) whether the floats fool within the budget.
    """
    steps = 255 * torch.nan_to_num(examples) - images
    limit = budget if norm == "linf" else 255

    def pushed(rows: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images at so many times their steps: themselves, and whether they fool and may be."""
        moved = (steps[rows] * wide(scale)).round().clamp(-limit, limit)
        stored = (images[rows] + moved).clamp(0, 255).to(torch.uint8)
        allowed = within(images[rows], stored, norm, budget)
        return stored, judge(model, stored, labels[rows])[0] & allowed, allowed

    every = torch.arange(len(images), device=images.device)
    scale = torch.ones(len(images), device=images.device)
    best, fooled, _ = pushed(every, scale)
    floats_fool = examples_fool(model, examples, labels)
    rows = every[~fooled & floats_fool]
    found = every[:0]
    for _ in range(_PUSHES):
        if not len(rows):
            break
        scale[rows] *= _GROWTH
        stored, fooled, allowed = pushed(rows, scale[rows])
        best[rows[fooled]] = stored[fooled]
        found = torch.cat([found, rows[fooled]])
        rows = rows[~fooled & allowed]
    high = scale[found]
    low = high / _GROWTH
    for _ in range(_HALVINGS if len(found) else 0):
        middle = (low + high) / 2
        stored, fooled, _ = pushed(found, middle)
        best[found[fooled]] = stored[fooled]
        high, low = torch.where(fooled, middle, high), torch.where(fooled, low, middle)
    return best, floats_fool & within(images, examples, norm, budget)


def examples_fool(model: nn.Module, examples: Tensor, labels: Tensor) -> Tensor:
    """Which examples (B,) in floats the model gets wrong; none that holds anything but [0, 1]."""
    valid = ((examples >= 0) & (examples <= 1)).flatten(1).all(dim=1)
    shown = torch.where(wide(valid), examples, 0)
    with torch.inference_mode():
        logits = model(shown)
    fool: Tensor = (logits.argmax(dim=1) != labels) & valid & logits.isfinite().all(dim=1)
    return fool
