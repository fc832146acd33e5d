"""Intervals of rates and medians, by image: the draws of one image are correlated."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes half a second to import

from pixelproof.core.statistics.groups import Floats, Groups, degrees, mean_interval, mean_variance


class Interval(NamedTuple):
    """An estimate and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


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
    z = special.ndtri(0.5 + confidence / 2)
    p = successes / trials
    centre = p + z * z / (2 * trials)
    half = z * np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # At 0 and 1 a bound is the rate itself, which rounding must not pass.
    low, high = min(p, (centre - half) / scale), max(p, (centre + half) / scale)
    return float(max(0.0, low)), float(min(1.0, high))


def clopper_pearson(
    successes: float, trials: float, confidence: float = 0.95
) -> tuple[float, float]:
    """The exact interval of a proportion (Clopper and Pearson 1934).

    Args:
        successes: From 0 to `trials`; need not be an integer.
        trials: Above 0; an effective number of trials serves as well.
        confidence: Between 0 and 1.

    Returns:
        The lower and the upper bound, in [0, 1].

    >>> [round(bound, 4) for bound in clopper_pearson(10, 100)]
    [0.049, 0.1762]
    """
    tail, failures = (1 - confidence) / 2, trials - successes
    low = special.betaincinv(successes, failures + 1, tail) if successes > 0 else 0.0
    high = special.betainccinv(successes + 1, failures, tail) if failures > 0 else 1.0
    return float(low), float(high)


def effective_trials(rates: Floats, draws: int, groups: Groups = None) -> float:
    """The number of independent trials that carry as much information as these draws.

    n_eff = p (1 − p) / Var(mean of the images' rates), at most images × draws. With one draw it is
    the number of images; where no rate differs from another nothing is known of the correlation,
    so an image counts once. Groups make them fewer, never more.

    Args:
        rates: (images,) each image's share of wrong draws, 0..1.
        draws: The draws an image, from 1.
        groups: Of the images.

    Returns:
        A number from 1 to images × draws.
    """
    images = len(rates)
    p = float(np.mean(rates))
    if np.ptp(rates) == 0:  # a variance of equal rates may be rounded above zero
        return float(images)
    apart = float(images)
    if draws > 1:
        variance = float(np.var(rates, ddof=1)) / images
        apart = float(np.clip(p * (1 - p) / variance, 1.0, images * draws))
    if groups is None:
        return apart
    together = mean_variance(rates, groups)
    return apart if together == 0 else float(np.clip(p * (1 - p) / together, 1.0, apart))


def rate_interval(
    wrong: npt.NDArray[np.bool_], confidence: float = 0.95, groups: Groups = None
) -> Interval:
    """The rate of wrong predictions, with the interval of Korn and Graubard (1998).

    Clopper and Pearson's interval at the effective number of trials, which is made smaller for the
    degrees of freedom by which its variance is known: that of the images or their groups, not of
    the draws. With one draw an image, and no groups, it is Clopper and Pearson's.

    Where all images share their positions, a draw moves them together. This does not account for
    that: the interval is then too narrow.

    Args:
        wrong: (images, draws).
        confidence: Between 0 and 1.
        groups: Of the images.

    Returns:
        The rate over all images and draws, with its bounds.

    Raises:
        ValueError: There is no image or no draw.
    """
    if wrong.size == 0:
        raise ValueError(f"expected images and draws, got an array of shape {wrong.shape}")
    rates = wrong.mean(axis=1)
    trials = effective_trials(rates, wrong.shape[1], groups)
    upper = 0.5 + confidence / 2
    known, all_draws = degrees(len(rates), groups), max(1, wrong.size - 1)
    trials *= float(special.stdtrit(all_draws, upper) / special.stdtrit(known, upper)) ** 2
    rate = float(wrong.mean())
    low, high = clopper_pearson(rate * trials, trials, confidence)
    return Interval(rate, min(rate, low), max(rate, high))


def wilson_interval(
    wrong: npt.NDArray[np.bool_], confidence: float = 0.95, groups: Groups = None
) -> Interval:
    """The rate with Wilson's interval at the effective number of trials, for Newcombe's method.

    With groups the trials are fewer by the degrees of freedom, as those of `rate_interval`.

    Args:
        wrong: (images, draws), not empty.
        confidence: Between 0 and 1.
        groups: Of the images.
    """
    trials = effective_trials(wrong.mean(axis=1), wrong.shape[1], groups)
    rate, upper = float(wrong.mean()), 0.5 + confidence / 2
    if groups is not None:
        known = degrees(len(wrong), groups)
        trials *= float(special.ndtri(upper) / special.stdtrit(known, upper)) ** 2
    return Interval(rate, *wilson(rate * trials, trials, confidence))


def median_interval(values: Floats, confidence: float = 0.95, groups: Groups = None) -> Interval:
    """The median, with the interval of order statistics, which assumes no distribution.

    With groups the ranks of the bounds are those at the effective number of values (Woodruff 1952).

    Args:
        values: (N,) at least one; may be infinite.
        confidence: Between 0 and 1; below 6 values the bounds are the extremes.
        groups: Of the images.

    Returns:
        The median with its bounds.

    Raises:
        ValueError: There is no value.
    """
    if len(values) == 0:
        raise ValueError("expected one or more values, got none")
    ordered = np.sort(values)
    below = special.bdtr(np.arange(len(ordered) + 1), len(ordered), 0.5)  # binomial
    rank = max(1, int(np.searchsorted(below, (1 - confidence) / 2)))
    middle = float(np.median(ordered))
    if groups is not None:
        trials = effective_trials((values <= middle).astype(float), 1, groups)
        half = special.stdtrit(degrees(len(values), groups), 0.5 + confidence / 2) * 0.5
        spread = int(np.ceil(len(ordered) * half / trials**0.5))
        rank = max(1, min(rank, (len(ordered) + 1) // 2 - spread))
    return Interval(middle, float(ordered[rank - 1]), float(ordered[len(ordered) - rank]))


def balanced_accuracy(
    correct: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64],
    confidence: float = 0.95,
    groups: Groups = None,
) -> Interval:
    """The mean of the classes' recalls, with an interval of normal theory on Wilson's halves.

    Each class's recall has its own Wilson interval; their squared half widths add up (the
    classes are independent samples), as in the method of variance estimates recovery.

    Args:
        correct: (images,).
        labels: (images,) the true classes.
        confidence: Between 0 and 1.
        groups: Of the images.

    Returns:
        The balanced accuracy with its bounds, in [0, 1].
    """
    recalls, below, above = [], [], []
    for label in np.unique(labels):
        of_class = correct[labels == label]
        recall, low, high = wilson_interval(of_class[:, None], confidence)
        recalls.append(recall)
        below.append((recall - low) ** 2)
        above.append((high - recall) ** 2)
    count = len(recalls)
    value = float(np.mean(recalls))
    low = max(0.0, value - float(np.sqrt(np.sum(below))) / count)
    high = min(1.0, value + float(np.sqrt(np.sum(above))) / count)
    if groups is not None:  # a part has images of several classes: their recalls go together
        moved = correct.astype(float)
        for label, recall in zip(np.unique(labels), recalls, strict=True):
            chosen = labels == label
            moved[chosen] = (moved[chosen] - recall) * len(labels) / (count * int(chosen.sum()))
        least, most = mean_interval(moved, groups, confidence)
        low, high = max(0.0, min(low, value + least)), min(1.0, max(high, value + most))
    return Interval(value, low, high)
