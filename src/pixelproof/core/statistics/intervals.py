"""Intervals and tests whose unit is the image: the draws of one image are correlated."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Floats = npt.NDArray[np.floating[Any]]
_CHUNK = 2**22  # random numbers at once, which bounds the memory of a resampling


class Interval(NamedTuple):
    """An estimate and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """A paired difference, its 95 % interval and the p-value of no difference."""

    value: float
    low: float
    high: float
    p_value: float


def wilson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927).

    Args:
        successes: From 0 to `trials`; need not be an integer.
        trials: Above 0; an effective number of trials serves as well.
        confidence: Between 0 and 1.

    Returns:
        The lower and the upper bound, in [0, 1].

    >>> [round(bound, 4) for bound in wilson(10, 100)]
    [0.0552, 0.1744]
    """
    z = stats.norm.ppf(0.5 + confidence / 2)
    p = successes / trials
    centre = p + z * z / (2 * trials)
    half = z * np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # At 0 and 1 a bound is the rate itself, which rounding must not pass.
    low, high = min(p, (centre - half) / scale), max(p, (centre + half) / scale)
    return float(max(0.0, low)), float(min(1.0, high))


def effective_trials(rates: Floats, draws: int) -> float:
    """How many independent trials tell as much as these images and draws.

    n_eff = p (1 − p) / Var(mean of the images' rates), at most images × draws. Where no rate
    differs from another nothing is known of the correlation, so an image counts once.

    Args:
        rates: (images,) each image's share of wrong draws, 0..1.
        draws: The draws an image, from 1.

    Returns:
        A number from 1 to images × draws.
    """
    images = len(rates)
    p = float(np.mean(rates))
    if np.ptp(rates) == 0:  # a variance of equal rates may be rounded to more than zero
        return float(images)
    variance = float(np.var(rates, ddof=1)) / images
    return float(np.clip(p * (1 - p) / variance, 1.0, images * draws))


def rate_interval(wrong: npt.NDArray[np.bool_], confidence: float = 0.95) -> Interval:
    """The rate of wrong predictions, by Wilson at the effective number of trials.

    Where all images share their positions, a draw moves them together, which this does not know:
    the interval is then too narrow.

    Args:
        wrong: (images, draws).
        confidence: Between 0 and 1.

    Returns:
        The rate over all images and draws, with its bounds.

    Raises:
        ValueError: There is no image or no draw.
    """
    if wrong.size == 0:
        raise ValueError(f"expected images and draws, got an array of shape {wrong.shape}")
    rates = wrong.mean(axis=1)
    trials = effective_trials(rates, wrong.shape[1])
    rate = float(wrong.mean())
    return Interval(rate, *wilson(rate * trials, trials, confidence))


def median_interval(values: Floats, confidence: float = 0.95) -> Interval:
    """The median, with the interval of order statistics, which supposes no distribution.

    Args:
        values: (N,) from one on; infinite ones are welcome.
        confidence: Between 0 and 1; below 6 values the bounds are the extremes.

    Returns:
        The median with its bounds.

    Raises:
        ValueError: There is no value.
    """
    if len(values) == 0:
        raise ValueError("expected one or more values, got none")
    ordered = np.sort(values)
    rank = max(1, int(stats.binom.ppf((1 - confidence) / 2, len(ordered), 0.5)))
    middle = float(np.median(ordered))
    return Interval(middle, float(ordered[rank - 1]), float(ordered[len(ordered) - rank]))


def paired_proportions_interval(
    more: int, less: int, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Tango's score interval for the difference of two paired proportions (Tango 1998).

    It knows that few pairs prove little even where none of them differs, which a bootstrap
    does not: of pairs that all agree it makes an interval of width zero.

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
    if trials < 1 or min(more, less) < 0 or more + less > trials:
        raise ValueError(f"expected counts of {trials} pairs, got {more} and {less}")
    z = float(stats.norm.ppf(0.5 + confidence / 2))
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
    chunk = max(1, _CHUNK // len(moved))
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
        chunk = max(1, _CHUNK // images)
        sizes = [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
        means = [rates[random.integers(0, images, (size, images))].mean(axis=1) for size in sizes]
        return np.concatenate(means)
    chunk = max(1, _CHUNK // images)
    means = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size) / images
        draw_weights = random.multinomial(draws, np.full(draws, 1 / draws), size) / draws
        means.append(((weights @ values) * draw_weights).sum(axis=1))
    return np.concatenate(means)


def paired_difference(
    wrong: npt.NDArray[Any],
    other: npt.NDArray[Any],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    by_draw: bool = False,
    confidence: float = 0.95,
) -> Difference:
    """How much more often one model is wrong than another, on the same images and draws.

    Where no image differs a bootstrap knows no width; the bounds are then those of the share of
    images that might (Wilson), which no difference of rates can exceed.

    Args:
        wrong: (images, draws) of the model: true or false, or any number.
        other: (images, draws) of the other model.
        resamples: Of the bootstrap (percentiles) and of the permutation test.
        seed: Of both.
        by_draw: Resample and permute the draws too: positions are shared between the images.
        confidence: Between 0 and 1.

    Returns:
        The difference of the rates (this model minus the other) with its bounds and p-value.

    Raises:
        ValueError: The shapes differ or are empty.
    """
    if wrong.shape != other.shape or wrong.size == 0:
        raise ValueError(f"expected equal, filled shapes, got {wrong.shape} and {other.shape}")
    differences = wrong.astype(np.float64) - other
    if not differences.any():
        _, most = wilson(0, len(differences), confidence)
        return Difference(0.0, -most, most, 1.0)
    means = _resampled_means(differences, resamples, seed, by_draw)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    by_image = differences.mean(axis=1)
    p_value = sign_flip_p_value(by_image, resamples, seed)
    if by_draw:  # a shared draw moves all images together: no surer than the draws are
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
    if not all(0 <= one <= 1 for one in p_values):
        raise ValueError(f"expected p-values in 0..1, got {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def rank_intervals(
    wrong: Mapping[str, npt.NDArray[np.bool_]],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """The rank of each model by its error rate, 1 the lowest, with a bootstrap by image.

    Args:
        wrong: By model, (images, draws) on the same images.
        resamples: Of the bootstrap; a resample takes the same images from every model.
        seed: Of the resamples.
        confidence: Between 0 and 1.

    Returns:
        By model its rank, the lowest where rates are equal, and the bounds of the ranks it may
        take: any of those that a tie spans.
    """
    rates = np.stack([one.mean(axis=1) for one in wrong.values()])
    images = rates.shape[1]
    random = np.random.Generator(np.random.Philox(seed))
    chunk = max(1, _CHUNK // images)
    means = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size) / images
        means.append(weights @ rates.T)
    drawn = np.concatenate(means).round(12)
    best = stats.rankdata(drawn, method="min", axis=1)
    worst = stats.rankdata(drawn, method="max", axis=1)  # a tie leaves open who is ahead
    value = stats.rankdata(rates.mean(axis=1).round(12), method="min")
    tail = (1 - confidence) / 2
    low = np.quantile(best, tail, axis=0, method="nearest")
    high = np.quantile(worst, 1 - tail, axis=0, method="nearest")
    return {
        name: Interval(float(value[at]), float(low[at]), float(high[at]))
        for at, name in enumerate(wrong)
    }


def balanced_accuracy(
    correct: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], confidence: float = 0.95
) -> Interval:
    """The mean of the classes' recalls, with an interval of normal theory on Wilson's halves.

    Each class's recall has its own Wilson interval; their squared half widths add up (the
    classes are independent samples), as in the method of variance estimates recovery.

    Args:
        correct: (images,).
        labels: (images,) the true classes.
        confidence: Between 0 and 1.

    Returns:
        The balanced accuracy with its bounds, in [0, 1].
    """
    recalls, below, above = [], [], []
    for label in np.unique(labels):
        of_class = correct[labels == label]
        recall = float(of_class.mean())
        low, high = wilson(float(of_class.sum()), len(of_class), confidence)
        recalls.append(recall)
        below.append((recall - low) ** 2)
        above.append((high - recall) ** 2)
    count = len(recalls)
    value = float(np.mean(recalls))
    low = max(0.0, value - float(np.sqrt(np.sum(below))) / count)
    high = min(1.0, value + float(np.sqrt(np.sum(above))) / count)
    return Interval(value, low, high)
