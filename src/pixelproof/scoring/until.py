"""Random changes until the interval is as narrow as asked for, at as few queries as possible."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pixelproof.core.counter_random import UInt64
from pixelproof.core.pixel_changes import Changes, apply_in_place, draw_changes
from pixelproof.core.statistics import margin_sampling as sampling
from pixelproof.scoring.answers import Int64
from pixelproof.scoring.draws import Flips
from pixelproof.scoring.plan import FIRST_ROUND, End, Plan
from pixelproof.scoring.result import Row, pi_of
from pixelproof.scoring.subjects import Batch, Subjects
from pixelproof.scoring.target import UInt8
from pixelproof.system.progress import say

MEMORY = 2**28  # bytes of images that are kept to be asked for again


@dataclass(frozen=True)
class Right:
    """The images that the model gets right unchanged: numbers, ids, classes and margins, (M,)."""

    rows: Int64
    ids: UInt64
    truth: Int64
    margins: sampling.Floats | None


def right_of(batches: list[Batch]) -> Right:
    """The images of batches that the model gets right."""
    margins = None
    if all(batch.margins is not None for batch in batches):
        margins = np.concatenate([batch.margins[batch.right] for batch in batches])  # type: ignore[index]
    return Right(
        np.concatenate([batch.rows[batch.right] for batch in batches]),
        np.concatenate([batch.ids[batch.right] for batch in batches]),
        np.concatenate([batch.truth[batch.right] for batch in batches]),
        margins,
    )


def measure_until(subjects: Subjects, plan: Plan, right: Right, flips: Flips) -> list[Row]:
    """Ask, for each n, until the interval has the relative half-width asked for.

    Each n may take an equal share of what is left: one that nothing flips takes no more.

    Args:
        subjects: Read.
        plan: With `until`.
        right: The images.
        flips: Gets what flips.

    Returns:
        A row for each n; those that the budget does not reach are missing.
    """
    side = subjects.pictures.side
    cached = lru_cache(max(plan.batch_size, MEMORY // (3 * side**2)))(subjects.pictures.read)
    rows = []
    for at, n in enumerate(plan.n):
        share = subjects.meter.share(len(plan.n) - at)
        answered = _rounds(subjects, plan, right, n, share, cached, flips)
        if not answered.asked.sum():
            break
        error = sampling.flip_rate(answered)
        pi = pi_of(error, n, side, plan.values, plan.area)
        asked, wrong = int(answered.asked.sum()), int(answered.flipped.sum())
        flipped = int((answered.flipped > 0).sum())
        rows.append(Row(n, len(right.rows), asked, wrong, error, "these images", flipped, pi))
    return rows


def _rounds(
    subjects: Subjects,
    plan: Plan,
    right: Right,
    n: int,
    share: End,
    read: Callable[[int], UInt8],
    flips: Flips,
) -> sampling.Answered:
    """Rounds of queries with n pixels, as many as a share of the budget allows."""
    assert plan.until is not None
    answered = sampling.nothing_answered(right.margins, len(right.rows))
    random = np.random.default_rng([plan.seed, n])
    wanted = FIRST_ROUND
    while queries := subjects.meter.affordable(wanted, share):
        counts = sampling.choose(answered, queries, random)
        flipped = _ask(subjects, plan, right, n, answered.asked, counts, read, flips)
        answered = sampling.add_round(answered, counts, flipped)
        rate = sampling.flip_rate(answered)
        reached, asked = sampling.relative_width(rate), int(answered.asked.sum())
        say(f"n = {n}: {rate.value:.2%} ± {reached:.0%} of it, after {asked:,} queries")
        if answered.rounds > 1 and reached <= plan.until:
            break
        wanted = sampling.queries_missing(answered, plan.until)
    return answered


def _ask(
    subjects: Subjects,
    plan: Plan,
    right: Right,
    n: int,
    before: Int64,
    counts: Int64,
    read: Callable[[int], UInt8],
    flips: Flips,
) -> Int64:
    """How many of a round's queries flip each image: each gets its next draws."""
    images = np.repeat(np.arange(len(counts)), counts)
    # The draws of an image follow those of the rounds before.
    starts = np.repeat(np.cumsum(counts) - counts - before, counts)
    draws = np.arange(len(images)) - starts
    flipped = np.zeros(len(counts), np.int64)
    for start in range(0, len(images), plan.batch_size):
        part = slice(start, start + plan.batch_size)
        chosen = images[part]
        arrays = np.stack([read(int(right.rows[image])) for image in chosen])
        apply_in_place(arrays, _changes(right.ids[chosen], draws[part], n, plan, arrays.shape[2]))
        codes = subjects.codes(subjects.target.place(arrays))
        wrong = codes != right.truth[chosen]
        np.add.at(flipped, chosen[wrong], 1)
        for at in np.flatnonzero(wrong):
            row, draw = int(right.rows[chosen[at]]), int(draws[part][at])
            flips.offer(subjects.flip(row, n, draw, right.truth[chosen[at]], codes[at]))
    return flipped


def _changes(ids: UInt64, draws: Int64, n: int, plan: Plan, side: int) -> Changes:
    """The changes of images, each with a draw of its own."""
    parts = {}
    for draw in np.unique(draws):
        at = np.flatnonzero(draws == draw)
        parts[int(draw)] = at, draw_changes(
            ids[at], n, (side, side), seed=plan.seed, draw=int(draw), values=plan.values,
            area=plan.area,
        )  # fmt: skip
    _, one = next(iter(parts.values()))
    positions = np.empty((len(ids), n), one.positions.dtype)
    values = np.empty((len(ids), *one.values.shape[1:]), one.values.dtype)
    for at, changes in parts.values():
        positions[at], values[at] = changes.positions, changes.values
    return Changes(positions, values)
