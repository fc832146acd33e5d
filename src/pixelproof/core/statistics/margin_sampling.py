"""How often images flip, from few queries: images that may flip are asked more often.

Nearly all flips come from a few images: those with the smallest clean margins, and of them those
that have flipped before. So queries go out in rounds. A first one asks images with small margins
more often. Before each later round the chance of a flip is expected of each image: that of images
with such a margin, as far as it is known, corrected by the image's own answers. The round asks an
image as often as the spread of its answers makes worth (Neyman 1934), and a share of its queries
goes to all images alike (a defensive mixture), so that no image is forgotten.

The estimate is what was expected of all images, corrected by the answers: each counts by how much
it differs from what was expected, over the chance with which it was asked for (the difference
estimator; Horvitz and Thompson 1952; Särndal, Swensson and Wretman 1992). Expectations and chances
are settled before the round, so each round estimates the rate without bias, whatever the margins
are worth. Rounds are weighted by the precision that was expected of them, before they began, too.

The rate is that of these images: how it would vary with other images is another question, which
`intervals.rate_interval` answers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from pixelproof.core.statistics.intervals import Interval, clopper_pearson

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DEFENSIVE = 0.3  # the share of the queries that goes to all images alike
ALIKE = (0.02, 0.3)  # how much two answers of an image correlate, within those of its margin
PRIOR = 0.5  # flips that images of about one margin are taken to have shown beside their own
GROWTH = 0.5  # a round asks at most this many times what was asked before it


@dataclass(frozen=True)
class Answered:
    """What was asked of N images, and what came of it.

    Attributes:
        ranks: (N,) of the clean margins, from 0, the smallest; all 0 where none is known.
        asked: (N,) queries.
        flipped: (N,) how many of them flipped.
        rounds: How many rounds there were.
        weighted_queries: The sum over the rounds of their queries by their weights.
        weighted_total: The same of their estimates.
        spread: (N,) what an answer's variance is to be multiplied by in the variance of
            `weighted_total`.
        squares: That variance, as far as it was seen: from the differences of the answers.
    """

    ranks: Int64
    asked: Int64
    flipped: Int64
    rounds: int
    weighted_queries: float
    weighted_total: float
    spread: Floats
    squares: float


def nothing_answered(margins: npt.NDArray[np.floating] | None, images: int) -> Answered:
    """The start.

    Args:
        margins: (N,) by how much the answer leads in the unchanged image; None where models give
            labels alone.
        images: N.
    """
    ranks = np.zeros(images, np.int64)
    if margins is not None and images:
        ranks[np.argsort(margins, kind="stable")] = np.arange(images)
    none = np.zeros(images, np.int64)
    nothing = np.zeros(images)
    return Answered(ranks, none, none, 0, 0.0, 0.0, nothing, 0.0)


def expected_rates(answered: Answered) -> Floats:
    """The chance (N,) of a flip that is expected of each image; between 0 and 1, neither of them.

    For the choice of queries and the width; no estimate is made of these.
    """
    by_margin = _rates_by_margin(answered)
    weight = _weight_of_margin(answered, by_margin)
    return (answered.flipped + weight * by_margin) / (answered.asked + weight)


def _weight_of_margin(answered: Answered, by_margin: Floats) -> float:
    """How many queries of an image tell as much of it as its margin does.

    It is (1 − r) / r, where r is the correlation of two answers of an image within those of its
    margin, by the pairs of flips.
    """
    pairs = answered.asked * (answered.asked - 1.0)
    spread = float(pairs @ (by_margin * (1 - by_margin)))
    flips = float((answered.flipped * (answered.flipped - 1.0)).sum())
    alike = (flips - float(pairs @ by_margin**2)) / spread if spread else ALIKE[1]
    return 1 / float(np.clip(alike, *ALIKE)) - 1


def _rates_by_margin(answered: Answered) -> Floats:
    """The rate (N,) of the images with about the same margin: it does not rise with the margin."""
    rows = np.flatnonzero(answered.asked)
    rows = rows[np.argsort(answered.ranks[rows], kind="stable")]
    if not len(rows):
        return np.full(len(answered.asked), PRIOR)
    asked, flipped = answered.asked[rows].astype(float), answered.flipped[rows]
    edges = np.array([0, len(rows)])
    if answered.ranks.any():
        edges = isotonic_regression(flipped / asked, weights=asked, increasing=False).blocks
    sums = [np.add.reduceat(each, edges[:-1]) for each in (flipped, asked)]
    rates = (sums[0] + PRIOR) / (sums[1] + 2 * PRIOR)
    # An image that was not asked goes with the next smaller margin that was.
    first = answered.ranks[rows[edges[:-1]]]
    block = np.searchsorted(first, answered.ranks, side="right") - 1
    return np.asarray(rates[np.maximum(block, 0)], dtype=np.float64)


def chances(answered: Answered) -> Floats:
    """The chance (N,) with which the next round asks each image; they add up to 1."""
    count = len(answered.asked)
    if not answered.rounds:
        wish = 1 / np.sqrt(answered.ranks + 1.0)
    else:
        rates = expected_rates(answered)
        wish = np.sqrt(rates * (1 - rates))
    mixed: Floats = DEFENSIVE / count + (1 - DEFENSIVE) * wish / wish.sum()
    return mixed


def choose(answered: Answered, queries: int, random: np.random.Generator) -> Int64:
    """How often the next round asks each image, (N,): on average `queries` by its chance.

    Systematic sampling along the margins: an image is asked as often as its chance says, but for
    less than one query.
    """
    order = np.argsort(answered.ranks, kind="stable")
    ends = np.floor(np.cumsum(queries * chances(answered)[order]) - random.random())
    counts = np.empty(len(order), np.int64)
    counts[order] = np.diff(ends, prepend=-1).astype(np.int64)
    return counts


def add_round(answered: Answered, asked: Int64, flipped: Int64) -> Answered:
    """What is known after a round that `choose` has chosen.

    Args:
        answered: Before the round.
        asked: (N,) as chosen.
        flipped: (N,) how many of them flipped.
    """
    count, queries = len(asked), int(asked.sum())
    chance, rates = chances(answered), expected_rates(answered)
    spread = queries / (count**2 * chance)
    weight = queries / float(rates * (1 - rates) @ spread)
    surplus = (flipped - asked * rates) / chance
    squares = (flipped * (1 - rates) ** 2 + (asked - flipped) * rates**2) / (count * chance) ** 2
    return Answered(
        answered.ranks,
        answered.asked + asked,
        answered.flipped + flipped,
        answered.rounds + 1,
        answered.weighted_queries + weight * queries,
        answered.weighted_total
        + weight * (queries * float(rates.mean()) + float(surplus.sum()) / count),
        answered.spread + weight**2 * spread,
        answered.squares + weight**2 * float(squares.sum()),
    )


def flip_rate(answered: Answered, confidence: float = 0.95) -> Interval:
    """The rate of flips over all images, with its interval for these images.

    Clopper and Pearson's interval at the number of independent queries that would tell as much.

    Args:
        answered: After a round or more.
        confidence: Between 0 and 1.

    Returns:
        The rate and its bounds, in [0, 1].
    """
    if not answered.weighted_queries:
        return Interval(float("nan"), 0.0, 1.0)
    rates = expected_rates(answered)
    rate = float(np.clip(answered.weighted_total / answered.weighted_queries, 0.0, 1.0))
    mean = float(rates.mean())
    # What is expected, or what was seen where that is more.
    squares = max(float(rates * (1 - rates) @ answered.spread), answered.squares)
    variance = squares / answered.weighted_queries**2
    trials = mean * (1 - mean) / variance
    low, high = clopper_pearson(rate * trials, trials, confidence)
    return Interval(rate, min(rate, low), max(rate, high))


def relative_width(interval: Interval) -> float:
    """Half the width of an interval by its estimate; infinite where that is 0 or unknown."""
    value, low, high = interval
    return (high - low) / (2 * value) if value > 0 else float("inf")


def queries_missing(answered: Answered, width: float, confidence: float = 0.95) -> int:
    """About how many queries more an interval of this relative half-width takes, from 1.

    At most half as many as were asked so far: what is seen by then tells better.
    """
    asked, reached = int(answered.asked.sum()), relative_width(flip_rate(answered, confidence))
    most = max(1, round(GROWTH * asked))
    if not np.isfinite(reached):
        return most
    needed = answered.asked.sum() * ((reached / width) ** 2 - 1)
    return int(np.clip(np.ceil(1.05 * needed), 1, most))  # a little more, and one round does
