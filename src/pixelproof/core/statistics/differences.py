"""The difference of two rates that were measured on different images."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.intervals import Difference, rate_interval

_CHUNK = 2**22  # numbers at once, which bounds the memory of the permutations


def unpaired_difference(
    wrong: npt.NDArray[Any],
    other: npt.NDArray[Any],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Difference:
    """How much more often one model is wrong than another, each on images of its own.

    The bounds are Newcombe's of the two rates' (1998, his method 10), the p-value is that of a
    permutation of the images between the two. Both go by image, as the draws are correlated.

    Args:
        wrong: (images, draws) of the model.
        other: (other images, other draws) of the other model.
        resamples: Of the permutation test.
        seed: Of the permutations.
        confidence: Between 0 and 1.

    Returns:
        The difference of the rates (this model minus the other) with its bounds and p-value.

    Raises:
        ValueError: One of them is empty.
    """
    one, two = rate_interval(wrong, confidence), rate_interval(other, confidence)
    value = one.value - two.value
    below = np.hypot(one.value - one.low, two.high - two.value)
    above = np.hypot(one.high - one.value, two.value - two.low)
    rates = np.concatenate([wrong.mean(axis=1), other.mean(axis=1)])
    p_value = _permutation_p_value(rates, len(wrong), resamples, seed)
    return Difference(value, max(-1.0, value - below), min(1.0, value + above), p_value)


def _permutation_p_value(
    rates: npt.NDArray[np.floating[Any]], size: int, resamples: int, seed: int
) -> float:
    """The share of permutations whose two means lie at least as far apart as the observed."""
    if np.ptp(rates) == 0:
        return 1.0
    random = np.random.Generator(np.random.Philox(seed))
    centred = rates - rates.mean()  # the sum over a group then tells the difference of the means
    observed = abs(centred[:size].sum()) - 1e-9 * np.abs(centred).sum()
    extreme, chunk = 0, max(1, _CHUNK // len(rates))
    for start in range(0, resamples, chunk):
        drawn = np.tile(centred, (min(chunk, resamples - start), 1))
        sums = random.permuted(drawn, axis=1)[:, :size].sum(axis=1)
        extreme += int(np.count_nonzero(np.abs(sums) >= observed))
    return (1 + extreme) / (1 + resamples)
