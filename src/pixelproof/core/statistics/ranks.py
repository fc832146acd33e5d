"""Ranks of models by their error rates, with a bootstrap by image."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.differences import CHUNK
from pixelproof.core.statistics.groups import Floats, Groups, totals
from pixelproof.core.statistics.intervals import Interval

Ranks = npt.NDArray[np.int64]


def rank_intervals(
    wrong: Mapping[str, npt.NDArray[np.bool_]],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
    groups: Groups = None,
) -> dict[str, Interval]:
    """The rank of each model by its error rate, 1 the lowest, with a bootstrap by image.

    Args:
        wrong: By model, (images, draws) on the same images.
        resamples: Of the bootstrap; a resample takes the same images from every model.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        groups: Of the images: then whole groups are resampled.

    Returns:
        By model its rank, the lowest where rates are equal, and the bounds of the ranks it may
        take: any of those that a tie spans.
    """
    rates = np.stack([model.mean(axis=1) for model in wrong.values()])
    sums: Floats = rates
    sizes: Floats = np.ones(rates.shape[1])
    if groups is not None:
        sums = np.stack([totals(model, groups) for model in rates])
        sizes = totals(sizes, groups)
    images = len(sizes)  # or groups
    random = np.random.Generator(np.random.Philox(seed))
    chunk = max(1, CHUNK // images)
    means = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size) / images
        means.append((weights @ sums.T) / (weights @ sizes)[:, None])
    if images == 1:  # one image, or part, says nothing of others
        return {
            name: Interval(float(rank), 1.0, float(len(wrong)))
            for name, rank in zip(wrong, _ranks(rates.mean(axis=1)[None])[0][0], strict=True)
        }
    drawn = np.concatenate(means).round(12)
    best, worst = _ranks(drawn)
    (value,), _ = _ranks(rates.mean(axis=1).round(12)[None])
    tail = (1 - confidence) / 2
    low = np.quantile(best, tail, axis=0, method="nearest")
    high = np.quantile(worst, 1 - tail, axis=0, method="nearest")
    return {
        name: Interval(float(value[at]), float(low[at]), float(high[at]))
        for at, name in enumerate(wrong)
    }


def _ranks(rates: npt.NDArray[np.float64]) -> tuple[Ranks, Ranks]:
    """The first and the last rank that each model may take, (resamples, models) as the rates.

    They differ where rates are equal: a tie leaves open who is ahead.
    """
    own, others = rates[:, :, None], rates[:, None, :]
    return 1 + (others < own).sum(axis=2), (others <= own).sum(axis=2)
