"""The worst n pixels: a search over positions and values at once, in the threat model of Pi.

Sparse-RS for the L0 norm (Croce, Andriushchenko, Singh, Flammarion and Hein 2022, "Sparse-RS: a
versatile framework for query-efficient sparse black-box adversarial attacks"), on images of whole
numbers. Two things are added. The search for n pixels starts from the best of what is at hand:
the stored random draws, what was found for fewer pixels, and a greedy choice by the gradient where
the model gives one. And each random number is a function of (seed, image, n, query).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pixelproof.core.area import cells_at, place_cells
from pixelproof.core.attacks.checks import check_mode
from pixelproof.core.attacks.margin import judge, lead_of
from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.counter_random import UInt64, below, image_keys, random_words
from pixelproof.core.pixel_changes import Changes, apply_changes, draw_changes

Int64 = npt.NDArray[np.int64]

_STREAM = 2**41  # beyond the draws of changed pixels and the numbers of the Square Attack
_RANK, _SLOT, _VALUE, _KEY = range(4)  # what the words of a random step are for
_FIRST_SHARE = 0.3  # of the pixels that a query replaces; divided by these …
_DIVISORS = (1, 2, 4, 5, 6, 8, 10, 12, 15, 20)
_DIVIDED_AT = (0, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # … after these of 10,000 queries


@dataclass(frozen=True)
class WorstChanges:
    """The changes of at most n pixels with the smallest margin that were found.

    Attributes:
        n: The largest number of pixels.
        changes: Of each image, (B, n) positions and (B, n, C) uint8 values. Where fewer pixels
            did, the first of them is repeated; an unchanged image has a pixel of its own value.
        queries: (B,) how often the model was asked for each image, from the smallest n to this.
    """

    n: int
    changes: Changes
    queries: Int64


def worst_changes(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    counts: Sequence[int],
    budget: PixelBudget,
    queries: int,
    *,
    draws: Sequence[Changes] = (),
    gradient_steps: int = 10,
    seed: int = 0,
) -> Iterator[WorstChanges]:
    """Search the worst n pixels of each image, for growing n.

    For each n the model is first asked for the stored draws, then for what fewer pixels did,
    filled up at random, then for the same filled up by the gradient. The best of them starts the
    search: each query replaces some of the pixels by others with new values, and is kept where
    the margin shrinks. An image that is fooled is asked no more. So the share of the fooled
    cannot fall with n, nor below that of the draws. What is tried on an image depends on its id,
    its draws, the budget and the seed alone.

    Args:
        model: Takes (B, C, H, W) floats in [0, 1] and returns logits; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        image_ids: (B,) uint64.
        counts: The numbers of pixels n, from 1, growing.
        budget: Which changes are allowed.
        queries: How often the model is asked for each image at each n, from 1. What starts the
            search is asked for in any case; a gradient counts as two queries.
        draws: Draws for the images within the budget, of at least max(counts) pixels each.
        gradient_steps: Of the greedy choice; 0 asks for no gradient.
        seed: Of the search.

    Yields:
        What was found at each of the counts. An image that is wrong unchanged stays unchanged.

    Raises:
        ValueError: An argument is out of its range, or the model is in training mode.
    """
    check_mode(model)
    _check(counts, budget.room(images), queries, gradient_steps)
    search = _Search(model, images, labels, image_ids, budget, counts[-1], seed)
    for n in counts:
        search.grow(n, queries, draws, gradient_steps)
        yield WorstChanges(n, search.worst.first(n), search.asked.copy())


def _check(counts: Sequence[int], room: int, queries: int, gradient_steps: int) -> None:
    growing = bool(counts) and counts[0] >= 1 and all(a < b for a, b in pairwise(counts))
    if not growing or counts[-1] > room:
        raise ValueError(f"counts: expected growing numbers from 1 to {room}, got {list(counts)}")
    if queries < 1 or gradient_steps < 0:
        raise ValueError(f"expected queries from 1, steps from 0: {queries}, {gradient_steps}")


@dataclass
class _Record:
    """The best changes of each image so far, and the lead of the true class under them."""

    positions: Tensor  # (B, n) int64
    values: Tensor  # (B, n, C) uint8
    lead: Tensor  # (B,)

    def first(self, n: int) -> Changes:
        """A copy of the first n."""
        return Changes(self.positions[:, :n].clone(), self.values[:, :n].clone())

    def keep(self, rows: Tensor, positions: Tensor, values: Tensor, lead: Tensor) -> None:
        """Take over the changes of some images; a repeated pixel fills what is longer."""
        fill = torch.arange(self.positions.shape[1], device=rows.device)
        fill = torch.where(fill < positions.shape[1], fill, 0)
        self.positions[rows] = positions[:, fill]
        self.values[rows] = values[:, fill]
        self.lead[rows] = lead


class _Search:
    """The search on a batch of images: `worst` is its result, `asked` the queries it took."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        image_ids: UInt64,
        budget: PixelBudget,
        most: int,
        seed: int,
    ) -> None:
        self.model, self.images, self.labels = model, images, labels
        self.ids = np.ascontiguousarray(image_ids, dtype=np.uint64)
        self.budget, self.seed = budget, seed
        self.shape = (images.shape[2], images.shape[3])
        self.device = images.device
        self.fooled, self.lead = (one.clone() for one in judge(model, images, labels))
        self.asked = np.ones(len(images), np.int64)
        self.worst, self.current = self._blank(most), self._blank(0)
        self.worst.values = budget.old(images, self.worst.positions).to(torch.uint8)
        self.worst.lead = self.lead

    def _blank(self, n: int) -> _Record:
        count = len(self.images)
        channels = 1 if self.budget.channels == "first" else self.images.shape[1]
        return _Record(
            torch.zeros((count, n), dtype=torch.int64, device=self.device),
            torch.zeros((count, n, channels), dtype=torch.uint8, device=self.device),
            torch.full_like(self.lead, torch.inf),
        )

    def grow(self, n: int, queries: int, draws: Sequence[Changes], gradient_steps: int) -> None:
        """Search n pixels for every image that fewer did not fool."""
        fewer, self.current = self.current, self._blank(n)
        keys = image_keys(self.ids, self.seed, _STREAM + n)
        rows, used = torch.nonzero(~self.fooled).squeeze(1), len(draws) + 1
        for draw in draws:
            rows = self._ask(rows, *self._stored(rows, draw, n))
        rows = self._ask(rows, *self._by_chance(rows, fewer, keys, n))
        if gradient_steps:
            parts = _parts(n - fewer.positions.shape[1], gradient_steps)
            rows = self._ask(rows, *self._by_gradient(rows, fewer, parts))
            used += 1 + 2 * len(parts)
        left = max(0, queries - used)
        by_query = random_words(keys, left + 1, _KEY)
        for query in range(1, left + 1):
            count = _replaced(query, left, n)
            rows = self._ask(rows, *self._moved(rows, by_query[:, query], count))

    def _ask(self, rows: Tensor, positions: Tensor, values: Tensor) -> Tensor:
        """Ask for changes of some images, keep what is better; returns those not fooled yet."""
        if not len(rows):
            return rows
        changed = apply_changes(self.images[rows], Changes(positions, values))
        fooled, lead = judge(self.model, changed, self.labels[rows])
        self.asked[rows.cpu().numpy()] += 1
        for record in (self.current, self.worst):
            better = fooled | (lead < record.lead[rows])
            record.keep(rows[better], positions[better], values[better], lead[better])
        self.fooled[rows[fooled]] = True
        return rows[~fooled]

    def _stored(self, rows: Tensor, draw: Changes, n: int) -> tuple[Tensor, Tensor]:
        """The first n pixels of a stored draw of some images."""
        at = rows.cpu().numpy()
        part = Changes(draw.positions[at, :n], draw.values[at, :n])
        return self.budget.absolute(self.images[rows], part)

    def _by_chance(
        self, rows: Tensor, fewer: _Record, keys: UInt64, n: int
    ) -> tuple[Tensor, Tensor]:
        """What fewer pixels did, filled up with others at random."""
        at = rows.cpu().numpy()
        area, draw = self.budget.area, _STREAM + n
        drawn = draw_changes(self.ids[at], n, self.shape, seed=self.seed, draw=draw, area=area)
        positions = torch.from_numpy(np.array(drawn.positions)).to(self.device)
        held = fewer.positions[rows]
        taken = (positions[:, :, None] == held[:, None, :]).any(dim=2)
        free = taken.to(torch.uint8).argsort(dim=1, stable=True)[:, : n - held.shape[1]]
        added = positions.gather(1, free)
        words = random_words(keys[at], added.shape[1], _VALUE)
        values = self.budget.chosen(self.images[rows], added, words)
        return torch.cat([held, added], dim=1), torch.cat([fewer.values[rows], values], dim=1)

    def _by_gradient(self, rows: Tensor, fewer: _Record, parts: list[int]) -> tuple[Tensor, Tensor]:
        """What fewer pixels did, filled up in steps with those that shrink the lead fastest."""
        positions, values = fewer.positions[rows], fewer.values[rows]
        if not len(rows):
            return positions, values
        for part in parts:
            changed = apply_changes(self.images[rows], Changes(positions, values))
            slope = _slope(self.model, changed, self.labels[rows])
            self.asked[rows.cpu().numpy()] += 2
            ends, gain = self.budget.steepest(self.images[rows], slope)
            gain.scatter_(1, positions, -torch.inf)
            added = gain.topk(part, dim=1).indices
            chosen = ends.gather(1, added[:, :, None].expand(-1, -1, ends.shape[2]))
            positions = torch.cat([positions, added], dim=1)
            values = torch.cat([values, chosen], dim=1)
        return positions, values

    def _moved(self, rows: Tensor, keys: UInt64, count: int) -> tuple[Tensor, Tensor]:
        """The best so far with some pixels back as they were, and as many others changed.

        Where the area has no others, the same pixels get new values.
        """
        at, area = rows.cpu().numpy(), self.budget.area
        positions, values = self.current.positions[rows].clone(), self.current.values[rows].clone()
        n = positions.shape[1]
        free = self.budget.room(self.images) - n
        count = min(count, free) if free else count
        slots = np.argsort(random_words(keys[at], n, _SLOT), axis=1, kind="stable")[:, :count]
        slot = torch.from_numpy(slots).to(self.device)
        if free:
            held = np.sort(cells_at(positions.cpu().numpy(), self.shape, area), axis=1)
            cells = _free_cells(held, _distinct(random_words(keys[at], count, _RANK), free))
            placed = torch.from_numpy(place_cells(cells, self.shape, area)).to(self.device)
            positions.scatter_(1, slot, placed)
        changed = positions.gather(1, slot)
        new = self.budget.chosen(self.images[rows], changed, random_words(keys[at], count, _VALUE))
        return positions, values.scatter_(1, slot[:, :, None].expand_as(new), new)


def _parts(missing: int, steps: int) -> list[int]:
    """How many pixels each step along the gradient adds: about as many, and no step adds none."""
    parts = np.diff(np.linspace(0, missing, steps + 1).round().astype(int))
    return [int(part) for part in parts if part]


def _slope(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the true class's lead by the image, (B, C, H, W)."""
    leaf = (images.float() / 255).requires_grad_(True)
    with torch.enable_grad():
        lead = lead_of(model(leaf), labels)
    (gradient,) = torch.autograd.grad(lead.sum(), leaf)
    return gradient


def _replaced(query: int, queries: int, n: int) -> int:
    """How many of n pixels a query replaces: the published schedule, stretched over the queries."""
    at = 10_000 * query / queries
    divisor = _DIVISORS[sum(at > limit for limit in _DIVIDED_AT)]
    return max(1, int(_FIRST_SHARE / divisor * n))


def _distinct(words: UInt64, bound: int) -> Int64:
    """Distinct numbers (B, k) of 0..bound-1, each set as likely as another (Floyd 1987)."""
    count = words.shape[1]
    chosen = np.empty(words.shape, np.int64)
    for step in range(count):
        top = bound - count + step
        drawn = below(words[:, step], np.uint64(top + 1))
        again = (chosen[:, :step] == drawn[:, None]).any(axis=1)
        chosen[:, step] = np.where(again, top, drawn)
    return chosen


def _free_cells(held: Int64, ranks: Int64) -> Int64:
    """The cells with these ranks among those that `held` (B, n), in order, does not hold."""
    before = held - np.arange(held.shape[1])  # how many free cells come before each held one
    skipped: Int64 = (before[:, None, :] <= ranks[:, :, None]).sum(axis=2)
    return ranks + skipped
