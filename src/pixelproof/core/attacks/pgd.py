"""Projected gradient descent from several random starts, in the L-infinity norm.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018, "Towards deep learning models resistant to
adversarial attacks", on images of whole numbers.
"""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.ball import Ball
from pixelproof.core.attacks.checks import check_epsilon, check_mode, check_number
from pixelproof.core.attacks.gradients import cross_entropy, gradient_of, wide
from pixelproof.core.attacks.iterated_fgsm import whole_step
from pixelproof.core.attacks.margin import judge, lead_of
from pixelproof.core.attacks.starts import uniform
from pixelproof.core.counter_random import UInt64

_STREAM = 2**42  # beyond those of the other searches


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    epsilon: int,
    steps: int,
    restarts: int,
    seed: int = 0,
) -> Tensor:
    """Steps along the sign of the gradient, projected back, from each random start anew.

    Steps are whole numbers of units, as those of `iterated_fgsm`. An image that is fooled is
    started no more.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        image_ids: (B,) uint64, which key the starts.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        steps: From each start, from 1.
        restarts: How many starts, from 1.
        seed: Of the starts.

    Returns:
        (B, C, H, W) uint8, the examples with the smallest lead of the true class.

    Raises:
        ValueError: A number is out of its range, or the model is in training mode.
    """
    check_mode(model)
    check_epsilon(epsilon)
    check_number("steps", steps)
    check_number("restarts", restarts)
    best = images.clone()
    fooled, lead = judge(model, images, labels)
    fooled, lead = fooled.clone(), lead.float().clone()
    for restart in range(restarts):
        rows = torch.nonzero(~fooled).squeeze(1)
        if not len(rows):
            break
        drawn = uniform(image_ids[rows.cpu().numpy()], images[rows], seed, _STREAM + restart)
        start = (drawn * (2 * epsilon + 1)).floor().to(torch.int16) - epsilon
        found, least = _descend(model, images[rows], start, labels[rows], epsilon, steps)
        better = least < lead[rows]
        best[rows[better]], lead[rows[better]] = found[better], least[better]
        fooled = lead < 0
    return best


def _descend(
    model: nn.Module, images: Tensor, start: Tensor, labels: Tensor, epsilon: int, steps: int
) -> tuple[Tensor, Tensor]:
    """The example on the way from a start that has the smallest lead, and that lead."""
    ball, length, loss = Ball(images, epsilon), whole_step(epsilon, steps), cross_entropy(labels)
    current = ball.nearest(ball.centre + start)
    best, least = current, torch.full(labels.shape, torch.inf, device=images.device)
    for _ in range(steps + 1):
        logits, _, gradient = gradient_of(model, current.float() / 255, loss)
        lead = lead_of(logits, labels).float()
        better = lead < least
        least = torch.where(better, lead, least)
        best = torch.where(wide(better), current, best)
        current = ball.step(current, gradient, length)
    return best.to(torch.uint8), least
