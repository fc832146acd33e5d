"""Differences of two rates, paired by image or measured on different images, with their tests.

The unit is the image: the draws of one image are correlated.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from pixelproof.core.statistics.groups import (
    Floats,
    Groups,
    degrees,
    mean_interval,
    mean_variance,
    totals,
)
from pixelproof.core.statistics.intervals import wilson, wilson_interval

CHUNK = 2**22  # random numbers at once, which bounds the memory of a resampling


class Difference(NamedTuple):
    """A difference, its 95 % interval and the p-value of no difference."""

    value: float
    low: float
    high: float
    p_value: float


def paired_proportions_interval(
    more: int, less: int, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Tango's score interval for the difference of two paired proportions (Tango 1998).

    Few pairs prove little even where none of them differs. This interval is wide then, while a
    bootstrap of pairs that all agree has an interval of width zero.

    Args:
        more: Pairs in which the first alone is positive.
        less: Pairs in which the second alone is.
        trials: All pairs, from 1.
        confidence: Between 0 and 1.

    Returns:
        The bounds of the first proportion minus the second, in [-1, 1].

    Raises:
        ValueError: The counts are not those of pairs.

    >>> [round(bound, 4) for bound in paired_proportions_interval(0, 0, 100)]
    [-0.037, 0.037]
    """
    from scipy import optimize  # slow to import

    if trials < 1 or min(more, less) < 0 or more + less > trials:
        raise ValueError(f"expected counts of {trials} pairs, got {more} and {less}")
    z = float(special.ndtri(0.5 + confidence / 2))
    value = (more - less) / trials

    def excess(difference: float, sign: float) -> float:
        """How far the observed gap is from this difference, beyond z standard deviations."""
        # The probability of a pair (-, +), as likely as can be under this difference.
        linear = (2 * trials - more + less) * difference - more - less
        constant = -less * difference * (1 - difference)
        root = np.sqrt(max(0.0, linear * linear - 8 * trials * constant))
        likely = (root - linear) / (4 * trials)
        variance = max(0.0, trials * (2 * likely + difference * (1 - difference)))
        return float(more - less - trials * difference - sign * z * np.sqrt(variance))

    low, high, beside = -1.0, 1.0, 1e-9  # where all pairs agree the value itself is a root
    if excess(-1.0, 1) > 0 > excess(value - beside, 1):
        low = optimize.brentq(excess, -1.0, value - beside, args=(1,))
    if excess(1.0, -1) < 0 < excess(value + beside, -1):
        high = optimize.brentq(excess, value + beside, 1.0, args=(-1,))
    return float(low), float(high)


def sign_flip_p_value(differences: Floats, resamples: int, seed: int) -> float:
    """Two-sided permutation test that paired differences centre on zero.

    Where nothing differs between the two models, each image's difference is as likely to have
    the other sign. Images without a difference say nothing and are left out.

    Args:
        differences: (images,) one an image.
        resamples: How many random sign patterns are drawn.
        seed: Of the patterns.

    Returns:
        In (0, 1]: the share of patterns at least as extreme, the observed one counted.
    """
    moved = differences[differences != 0]
    if len(moved) == 0:
        return 1.0
    random = np.random.Generator(np.random.Philox(seed))
    observed = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()
    extreme = 0
    chunk = max(1, CHUNK // len(moved))
    for start in range(0, resamples, chunk):
        size = (min(chunk, resamples - start), len(moved))
        signs = random.integers(0, 2, size, dtype=np.int8) * 2.0 - 1.0
        extreme += int(np.count_nonzero(np.abs(signs @ moved) >= observed))
    return (1 + extreme) / (1 + resamples)


def _resampled_means(values: Floats, resamples: int, seed: int, by_draw: bool) -> Floats:
    """Bootstrap means (resamples,) of values (images, draws), by image and, if asked, by draw."""
    images, draws = values.shape
    random = np.random.Generator(np.random.Philox(seed))
    if not by_draw:
        rates = values.mean(axis=1)
        chunk = max(1, CHUNK // images)
        sizes = [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
        means = [rates[random.integers(0, images, (size, images))].mean(axis=1) for size in sizes]
        return np.concatenate(means)
    chunk = max(1, CHUNK // images)
    means = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size) / images
        draw_weights = random.multinomial(draws, np.full(draws, 1 / draws), size) / draws
        means.append(((weights @ values) * draw_weights).sum(axis=1))
    return np.concatenate(means)


def check_pair(wrong: npt.NDArray[Any], other: npt.NDArray[Any]) -> None:
    """Refuse what cannot be paired.

    Raises:
        ValueError: The shapes differ or are empty.
    """
    if wrong.shape != other.shape or wrong.size == 0:
        raise ValueError(f"expected equal, filled shapes, got {wrong.shape} and {other.shape}")


def none_differs(images: int, confidence: float) -> Difference:
    """The difference where no image differs, which a bootstrap would give no width."""
    _, most = wilson(0, images, confidence)
    return Difference(0.0, -most, most, 1.0)


def paired_difference(
    wrong: npt.NDArray[Any],
    other: npt.NDArray[Any],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    by_draw: bool = False,
    confidence: float = 0.95,
    groups: Groups = None,
) -> Difference:
    """How much more often one model is wrong than another, on the same images and draws.

    Where no image differs, a bootstrap has no width; the bounds are then those of the share of
    images that might differ (Wilson), which no difference of rates can exceed.

    Args:
        wrong: (images, draws) of the model: true or false, or any number.
        other: (images, draws) of the other model.
        resamples: Of the bootstrap (percentiles) and of the permutation test.
        seed: Of both.
        by_draw: Resample and permute the draws too: positions are shared between the images.
        confidence: Between 0 and 1.
        groups: Of the images: then Student's interval over groups where that is wider, and signs
            of whole groups.

    Returns:
        The difference of the rates (this model minus the other) with its bounds and p-value.

    Raises:
        ValueError: The shapes differ or are empty.
    """
    check_pair(wrong, other)
    differences = wrong.astype(np.float64) - other
    if not differences.any():
        return none_differs(len(differences), confidence)
    means = _resampled_means(differences, resamples, seed, by_draw)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    by_image = differences.mean(axis=1)
    if groups is not None:
        bounds = mean_interval(by_image, groups, confidence)
        low, high = max(-1.0, min(low, bounds[0])), min(1.0, max(high, bounds[1]))
    units = by_image if groups is None else totals(by_image, groups)
    p_value = sign_flip_p_value(units, resamples, seed)
    if by_draw:  # a shared draw moves all images together: no more certain than the draws are
        p_value = max(p_value, sign_flip_p_value(differences.mean(axis=0), resamples, seed))
    return Difference(float(by_image.mean()), float(low), float(high), p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by the step-down method (Holm 1979).

    Args:
        p_values: Each in 0..1.

    Returns:
        The adjusted ones, in the same order.

    Raises:
        ValueError: One is not in 0..1.
    """
    if not all(0 <= p_value <= 1 for p_value in p_values):
        raise ValueError(f"expected p-values in 0..1, got {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def unpaired_difference(
    wrong: npt.NDArray[Any],
    other: npt.NDArray[Any],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
    groups: tuple[Groups, Groups] = (None, None),
) -> Difference:
    """How much more often one model is wrong than another, each on images of its own.

    The bounds are Newcombe's of the two rates' (1998, his method 10), the p-value is that of a
    permutation of the images between the two. Both go by image, as the draws are correlated. With
    groups of either the p-value is Welch's.

    Args:
        wrong: (images, draws) of the model.
        other: (other images, other draws) of the other model.
        resamples: Of the permutation test.
        seed: Of the permutations.
        confidence: Between 0 and 1.
        groups: Of the images of the model, and of those of the other.

    Returns:
        The difference of the rates (this model minus the other) with its bounds and p-value.

    Raises:
        ValueError: One of them is empty.
    """
    if not (wrong.size and other.size):
        raise ValueError(f"expected images and draws, got {wrong.shape} and {other.shape}")
    first = wilson_interval(wrong, confidence, groups[0])
    second = wilson_interval(other, confidence, groups[1])
    value = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    if any(of is not None for of in groups):
        p_value = _welch_p_value(value, (wrong.mean(axis=1), other.mean(axis=1)), groups)
        return Difference(value, max(-1.0, value - below), min(1.0, value + above), p_value)
    rates = np.concatenate([wrong.mean(axis=1), other.mean(axis=1)])
    p_value = _permutation_p_value(rates, len(wrong), resamples, seed)
    return Difference(value, max(-1.0, value - below), min(1.0, value + above), p_value)


def _welch_p_value(
    value: float, rates: tuple[Floats, Floats], groups: tuple[Groups, Groups]
) -> float:
    """Welch's test that two means of grouped values are equal, in (0, 1]."""
    variances, freedoms = [], []
    for part, of in zip(rates, groups, strict=True):
        own = np.arange(len(part)) if of is None else of
        variances.append(mean_variance(part, own))
        freedoms.append(degrees(len(part), own))
    total = sum(variances)
    if not 0 < total < np.inf:
        return 1.0
    freedom = total**2 / sum(one**2 / known for one, known in zip(variances, freedoms, strict=True))
    return 2 * float(special.stdtr(freedom, -abs(value) / total**0.5))


def _permutation_p_value(
    rates: npt.NDArray[np.floating[Any]], size: int, resamples: int, seed: int
) -> float:
    """The share of permutations whose two means lie at least as far apart as the observed."""
    if np.ptp(rates) == 0:
        return 1.0
    random = np.random.Generator(np.random.Philox(seed))
    centred = rates - rates.mean()  # so that the sum over a group gives the difference of the means
    observed = abs(centred[:size].sum()) - 1e-9 * np.abs(centred).sum()
    extreme, chunk = 0, max(1, CHUNK // len(rates))
    for start in range(0, resamples, chunk):
        drawn = np.tile(centred, (min(chunk, resamples - start), 1))
        sums = random.permuted(drawn, axis=1)[:, :size].sum(axis=1)
        extreme += int(np.count_nonzero(np.abs(sums) >= observed))
    return (1 + extreme) / (1 + resamples)
