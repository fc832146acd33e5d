"""Random changes of images: each image gets the same number of draws at each n."""

from dataclasses import dataclass, field

import numpy as np

from pixelproof.core.pixel_changes import apply_in_place, draw_changes
from pixelproof.core.statistics.groups import Groups
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.scoring.answers import Int64
from pixelproof.scoring.plan import Meter, Plan
from pixelproof.scoring.result import Flip, Row, pi_of
from pixelproof.scoring.subjects import Batch, Subjects
from pixelproof.system.progress import say

SHOWN_FLIPS = 6
OFFERED = SHOWN_FLIPS  # of a batch in one draw: more would not all be shown


@dataclass
class Flips:
    """The flips of the fewest pixels, at most one an image."""

    kept: list[Flip] = field(default_factory=list)

    def offer(self, flip: Flip) -> None:
        """Keep it if it is among the best."""
        others = [one for one in self.kept if one.row != flip.row]
        same = [one for one in self.kept if one.row == flip.row and one.n <= flip.n]
        if not same:
            ordered = sorted([*others, flip], key=lambda one: (one.n, one.row))
            self.kept = ordered[:SHOWN_FLIPS]


@dataclass
class Drawn:
    """What came of the draws.

    Attributes:
        rows: (M,) the images that the model gets right, by their numbers.
        wrong: (M, len(n)) how many of their draws were wrong.
        draws: An image.
    """

    rows: Int64
    wrong: Int64
    draws: int


def measure_draws(subjects: Subjects, plan: Plan, flips: Flips) -> tuple[Drawn, list[Batch]]:
    """Read the images, a batch at a time, and change those that the model gets right.

    Args:
        subjects: Not read yet.
        plan: What to try.
        flips: Gets what flips.

    Returns:
        What came of it, and the batches without their pixels.

    Raises:
        DataError: No image can be read, or the model's answers are not what they must be.
    """
    done: list[Batch] = []
    rows, wrong, draws = [], [], plan.draws
    for batch in subjects.batches():
        counted, complete = _change(subjects, batch, plan, flips, first=not done)
        if complete < plan.draws and done:
            break  # its images would have fewer draws than the others
        draws = complete
        done.append(without_pixels(batch))
        rows.append(batch.rows[batch.right])
        wrong.append(counted)
        if complete < plan.draws:
            break
    return Drawn(np.concatenate(rows), np.concatenate(wrong), draws), done


def without_pixels(batch: Batch) -> Batch:
    """What is kept of a batch: a few bytes an image."""
    none = np.empty((0,), np.uint8)
    return Batch(batch.rows, batch.ids, none, batch.codes, batch.truth, batch.margins)


def _change(
    subjects: Subjects, batch: Batch, plan: Plan, flips: Flips, first: bool
) -> tuple[Int64, int]:
    """The wrong draws (B, len(n)) of the images that are right, and how many draws there were."""
    target, right = subjects.target, batch.right
    truth, ids, rows = batch.truth[right], batch.ids[right], batch.rows[right]
    counted = np.zeros((len(right), len(plan.n)), np.int64)
    if not len(right):
        return counted, plan.draws
    placed = target.place(batch.arrays[right])
    side = subjects.pictures.side
    for draw in range(plan.draws):
        if draw and subjects.meter.limit and (not first or "seconds" in subjects.meter.limit):
            return counted, draw
        drawn = draw_changes(
            ids, plan.n[-1], (side, side), seed=plan.seed, draw=draw, values=plan.values,
            area=plan.area,
        )  # fmt: skip
        changes = drawn if target.device is None else drawn.to(target.device)
        for at, n in enumerate(plan.n):
            before = apply_in_place(placed, changes.first(n))
            codes = subjects.codes(placed)
            apply_in_place(placed, before)
            counted[:, at] += codes != truth
            for image in np.flatnonzero(codes != truth)[:OFFERED]:
                flips.offer(subjects.flip(int(rows[image]), n, draw, truth[image], codes[image]))
        if first and not draw:
            _say_first(counted, plan, subjects.meter)
    return counted, plan.draws


def _say_first(counted: Int64, plan: Plan, meter: Meter) -> None:
    shares = zip(plan.n, counted.mean(axis=0), strict=True)
    words = ", ".join(f"{100 * share:.1f} % at {n}" for n, share in shares)
    say(f"first draw of {len(counted)} images, {meter.seconds:.0f} s: wrong in {words} pixels")


def rows_of(drawn: Drawn, plan: Plan, side: int, groups: Groups = None) -> list[Row]:
    """A row for each n, with intervals by image or by part.

    Args:
        drawn: What came of the draws.
        plan: What was tried.
        side: Of the images.
        groups: Of the images.
    """
    images, result = len(drawn.rows), []
    for at, n in enumerate(plan.n):
        counts = drawn.wrong[:, at]
        error = rate_interval(np.arange(drawn.draws) < counts[:, None], groups=groups)
        pi = pi_of(error, n, side, plan.values, plan.area)
        wrong, flipped = int(counts.sum()), int((counts > 0).sum())
        queries = images * drawn.draws
        result.append(Row(n, images, queries, wrong, error, "images like these", flipped, pi))
    return result
