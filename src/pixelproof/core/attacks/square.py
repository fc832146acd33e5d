"""An attack that needs scores alone, so that it works where the gradient is hidden.

The Square Attack for the L-infinity norm (Andriushchenko et al. 2020, "Square Attack: a
query-efficient black-box adversarial attack via random search"), on images of whole numbers.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_epsilon, check_mode
from pixelproof.core.attacks.margin import judge
from pixelproof.core.counter_random import UInt64, below, image_keys, random_words

_STREAM = 2**40  # beyond every draw of changed pixels, so that no random number is used twice
_FIRST_SHARE = 0.8  # of the image that the first square covers; halved at these of 10,000 queries
_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True)
class _Plan:
    """All random numbers of an attack on B images, drawn before it starts.

    Attributes:
        stripes: (B, C, W) of -1 and 1, the signs of the start.
        tops: (B, queries) of the squares, by query.
        lefts: (B, queries).
        signs: (B, queries, C) of -1 and 1.
        sides: (queries,).
    """

    stripes: Tensor
    tops: Tensor
    lefts: Tensor
    signs: Tensor
    sides: list[int]


def square_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    epsilon: int,
    queries: int,
    seed: int = 0,
) -> Tensor:
    """Random search with squares of plus or minus epsilon, by the margin of the logits.

    The first query asks for the unchanged image, the second for vertical stripes; each one after
    that for a square put onto the best image so far, which is kept where the margin shrinks. An
    image that is fooled is asked for no more, one that is wrong unchanged is returned as it is.
    Where the drawn signs would change nothing the opposite ones are taken.

    Args:
        model: Takes (B, C, H, W) floats in [0, 1] and returns logits; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        image_ids: (B,) uint64; what is tried on an image depends on its id and the seed alone.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        queries: How often the model is asked at most for each image, from 2.
        seed: Of the search.

    Returns:
        (B, C, H, W) uint8, within epsilon of the images and in 0..255.

    Raises:
        ValueError: epsilon or queries is out of its range, or the model is in training mode.
    """
    check_epsilon(epsilon)
    check_mode(model)
    if queries < 2:
        raise ValueError(f"queries: expected a number from 2, got {queries}")
    plan = _plan(image_ids, images, queries, seed)
    best = images.clone()
    fooled, lead = judge(model, images, labels)
    active, margin = torch.nonzero(~fooled).squeeze(1), torch.full_like(lead, torch.inf)
    for query in range(1, queries):
        if not len(active):
            break
        origin = images[active].to(torch.int16)
        candidate = _candidate(origin, best[active], epsilon, plan, active, query)
        fooled, lead = judge(model, candidate, labels[active])
        kept = fooled | (lead < margin[active])
        best[active[kept]] = candidate[kept]
        margin[active[kept]] = lead[kept]
        active = active[~fooled]
    return best


def _candidate(
    origin: Tensor, best: Tensor, epsilon: int, plan: _Plan, rows: Tensor, query: int
) -> Tensor:
    """What a query asks for: stripes first, then the best images with a square in them."""
    if query == 1:
        tried = origin + epsilon * plan.stripes[rows][:, :, None, :]
    else:
        tried = _with_square(origin, best, epsilon, plan, rows, query)
    return tried.clamp(0, 255).to(torch.uint8)


def _with_square(
    origin: Tensor, best: Tensor, epsilon: int, plan: _Plan, rows: Tensor, query: int
) -> Tensor:
    """The best images with this query's square in them, not yet clipped to 0..255."""
    height, width = origin.shape[2:]
    side = plan.sides[query]
    down = torch.arange(height, device=origin.device) - plan.tops[rows, query][:, None]
    across = torch.arange(width, device=origin.device) - plan.lefts[rows, query][:, None]
    inside = ((down >= 0) & (down < side))[:, None, :, None]
    inside = inside & ((across >= 0) & (across < side))[:, None, None, :]
    step = epsilon * plan.signs[rows, query][:, :, None, None]
    tried = torch.where(inside, origin + step, best)
    same = (tried.clamp(0, 255) == best).flatten(1).all(dim=1)
    return torch.where(inside & same[:, None, None, None], origin - step, tried)


def _plan(image_ids: UInt64, images: Tensor, queries: int, seed: int) -> _Plan:
    """Draw the search; word 0 of a query is the row, 1 the column, 2 the signs, 3 the stripes."""
    channels, height, width = images.shape[1:]
    keys = image_keys(np.ascontiguousarray(image_ids, dtype=np.uint64), seed, _STREAM)
    sides = [_side(query, queries, height, width) for query in range(queries)]
    room = np.array(sides, dtype=np.uint64)
    tops = below(random_words(keys, queries, 0), np.uint64(height + 1) - room)
    lefts = below(random_words(keys, queries, 1), np.uint64(width + 1) - room)
    signs = _signs(random_words(keys, queries, 2), channels)
    stripes = _signs(random_words(keys, width, 3), channels).swapaxes(1, 2).copy()
    there = [torch.from_numpy(drawn).to(images.device) for drawn in (stripes, tops, lefts, signs)]
    return _Plan(there[0], there[1], there[2], there[3], sides)


def _signs(words: UInt64, channels: int) -> npt.NDArray[np.int16]:
    """A sign for each channel (…, C), from the highest bits of each word."""
    bits = words[..., None] >> (np.uint64(63) - np.arange(channels, dtype=np.uint64))
    return (2 * (bits & np.uint64(1)).astype(np.int16) - 1).astype(np.int16)


def _side(query: int, queries: int, height: int, width: int) -> int:
    """The side of a query's square: the published schedule, stretched over the queries."""
    at = 10_000 * query / queries
    share = _FIRST_SHARE * 0.5 ** sum(at > limit for limit in _HALVED_AT)
    return max(1, min(round(math.sqrt(share * height * width)), min(height, width) - 1))
