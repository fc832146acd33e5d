"""FAB: the nearest example in the L-infinity norm, by projections onto straightened boundaries.

Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary
attack".
"""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_mode, check_number
from pixelproof.core.attacks.gradients import rival_slopes, wide
from pixelproof.core.attacks.starts import uniform
from pixelproof.core.counter_random import UInt64

_STREAM = 2**45  # beyond those of the other searches
_LARGEST_BIAS = 0.1  # the largest weight of the way back to the image
_OVERSHOOT = 1.05
_BACK = 0.9  # the share of an example's distance from which the search goes on
_RIVALS = 10  # of the other classes with the largest logits


def fab(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    epsilon: int,
    steps: int,
    restarts: int,
    seed: int = 0,
) -> Tensor:
    """Step between the image and the boundary, and keep the nearest example, in floats.

    Each step straightens the network, goes to the nearest of the boundaries to the likeliest other
    classes within the bounds of images, and is drawn towards the same boundary's nearest point to
    the image itself. The first start is the image, further ones are random, half as far away as
    the best example (or as the budget, where there is none).

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        image_ids: (B,) uint64, which key the random starts.
        epsilon: The budget in units of 1/255, from 1. It limits the random starts alone.
        steps: From each start, from 1.
        restarts: How many starts, from 1.
        seed: Of the starts.

    Returns:
        (B, C, H, W) floats in [0, 1], the images themselves where nothing fooled; see
        `integer_grid` for images of whole numbers.

    Raises:
        ValueError: A number is out of its range, or the model is in training mode.
    """
    check_mode(model)
    for name, number in (("epsilon", epsilon), ("steps", steps), ("restarts", restarts)):
        check_number(name, number)
    origin = images.float() / 255
    best, nearest = origin, torch.full(labels.shape, torch.inf, device=images.device)
    for restart in range(restarts):
        start = origin
        if restart:
            drawn = 2 * uniform(image_ids, origin, seed, _STREAM + restart).float() - 1
            start = (origin + wide(nearest.clamp(max=epsilon / 255) / 2) * drawn).clamp(0, 1)
        best, nearest = _search(model, origin, start, labels, steps, best, nearest)
    return best


def _search(
    model: nn.Module,
    origin: Tensor,
    start: Tensor,
    labels: Tensor,
    steps: int,
    best: Tensor,
    nearest: Tensor,
) -> tuple[Tensor, Tensor]:
    """The nearest examples from a start, and how far they lie; those given where none is nearer."""
    current = start
    for step in range(steps + 1):
        normal, offset, fooled = _boundary(model, current, labels)
        far = (current - origin).abs().flatten(1).amax(dim=1)
        nearer = fooled & (far < nearest)
        best = torch.where(wide(nearer), current, best)
        nearest = torch.where(nearer, far, nearest)
        if step == steps:
            break
        current = torch.where(wide(fooled), origin + _BACK * (current - origin), current)
        near, back = project(current, normal, offset), project(origin, normal, offset)
        lengths = [each.abs().flatten(1).amax(dim=1).clamp(min=1e-8) for each in (near, back)]
        bias = wide((lengths[0] / (lengths[0] + lengths[1])).clamp(max=_LARGEST_BIAS))
        ahead = (1 - bias) * (current + _OVERSHOOT * near) + bias * (origin + _OVERSHOOT * back)
        current = ahead.clamp(0, 1)
    return best, nearest


def _boundary(model: nn.Module, current: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest straightened boundary <normal, x> = offset of each image, and which are fooled.

    The normal (B, C, H, W) points to the side of the true class; without a gradient it is 0.
    """
    logits, slopes = rival_slopes(model, current, labels, _RIVALS)
    normal, offset = torch.zeros_like(current), torch.zeros_like(labels, dtype=current.dtype)
    nearest = torch.full_like(offset, torch.inf)
    for gap, slope in slopes:
        length = slope.abs().flatten(1).sum(dim=1)
        distance = gap.float().abs() / length
        nearer = (distance < nearest) & (length > 0) & length.isfinite()
        nearest = torch.where(nearer, distance, nearest)
        normal = torch.where(wide(nearer), slope, normal)
        at = (slope * current).flatten(1).sum(dim=1)
        offset = torch.where(nearer, at - gap.float(), offset)
    return normal, offset, logits.argmax(dim=1) != labels


def project(points: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    """The smallest steps, by their largest value, that lead onto hyperplanes within [0, 1].

    All values go equally far, but for those that a bound stops sooner. Where the bounds are too
    narrow for the hyperplane, the step goes as near to it as they allow.

    Args:
        points: (B, C, H, W) in [0, 1].
        normal: (B, C, H, W).
        offset: (B,) the hyperplane is <normal, x> = offset.

    Returns:
        (B, C, H, W), so that points plus steps lie in [0, 1].
    """
    x, w = points.flatten(1).double(), normal.flatten(1).double()
    gap = (w * x).sum(dim=1) - offset
    direction = -gap.sign()[:, None] * w.sign()
    room = torch.where(direction < 0, x, 1 - x)
    room, order = room.masked_fill(direction == 0, 0).sort(dim=1)
    weight = w.abs().gather(1, order)
    stopped = (weight * room).cumsum(dim=1)  # what the values that stop here or sooner do
    moving = weight.flip(1).cumsum(dim=1).flip(1)
    before, after = stopped - weight * room, moving - weight
    reached = stopped + room * after  # at a step as far as this value's room
    at = (reached < gap.abs()[:, None]).sum(dim=1).clamp(max=x.shape[1] - 1)[:, None]
    rest = gap.abs()[:, None] - before.gather(1, at)
    size = torch.nan_to_num(rest / moving.gather(1, at), nan=0.0, posinf=1.0)
    widest = torch.where(direction < 0, x, 1 - x)
    step = direction * torch.minimum(size.clamp(min=0).expand_as(widest), widest)
    return step.view(points.shape).to(points.dtype)
