"""Sampling by clean margin: unbiased, its interval holds with the stopping rule, queries saved."""

import numpy as np
import pytest
from scipy import special

from pixelproof.core.statistics import margin_sampling as sampling

WIDTH, FIRST, RUNS = 0.2, 300, 300


def population(random: np.random.Generator, rate: float = 0.02) -> tuple[sampling.Floats, ...]:
    """Margins and chances of 200 images: the smaller the margin, the more flips, about."""
    margins = random.gamma(2.0, 1.0, 200)
    strength = np.log(margins) + random.normal(0, 0.5, 200)
    places = np.linspace(-8, 3, 200)
    means = [special.expit(4 * (place - strength)).mean() for place in places]
    place = np.interp(rate, means, places)
    return margins, special.expit(4 * (place - strength))


def stopped(
    random: np.random.Generator, margins: sampling.Floats | None, chances: sampling.Floats
) -> sampling.Answered:
    answered, queries = sampling.nothing_answered(margins, len(chances)), FIRST
    while True:
        asked = sampling.choose(answered, queries, random)
        answered = sampling.add_round(answered, asked, random.binomial(asked, chances))
        if answered.rounds > 1 and sampling.relative_width(sampling.flip_rate(answered)) <= WIDTH:
            return answered
        queries = sampling.queries_missing(answered, WIDTH)


@pytest.mark.parametrize("known", [True, False])
def test_intervals_hold_with_the_stopping_rule(known: bool) -> None:
    held, ratio, taken, plain = 0, [], [], []
    for run in range(RUNS):
        random = np.random.default_rng(run)
        margins, chances = population(random)
        answered, truth = stopped(random, margins if known else None, chances), chances.mean()
        interval = sampling.flip_rate(answered)
        held += interval.low <= truth <= interval.high
        ratio.append(interval.value / truth)
        taken.append(answered.asked.sum())
        plain.append(1.96**2 * (1 - truth) / (truth * WIDTH**2))
    assert held / RUNS > 0.91  # 0.93, less what 300 runs may miss by chance
    assert abs(np.mean(ratio) - 1) < 0.02
    assert np.mean(plain) / np.mean(taken) > (2 if known else 1)


def test_a_round_is_unbiased_whatever_the_margins_are_worth() -> None:
    random = np.random.default_rng(0)
    margins, chances = population(random)
    start = sampling.nothing_answered(-margins, len(chances))  # the wrong way round
    for _ in range(2):
        asked = sampling.choose(start, 300, random)
        start = sampling.add_round(start, asked, random.binomial(asked, chances))
    estimates = []
    for _ in range(2000):
        asked = sampling.choose(start, 300, random)
        after = sampling.add_round(start, asked, random.binomial(asked, chances))
        total = after.weighted_total - start.weighted_total
        estimates.append(total / (after.weighted_queries - start.weighted_queries))
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - chances.mean()) < 4 * error


def test_a_round_asks_by_its_chances() -> None:
    random = np.random.default_rng(0)
    margins, _ = population(random)
    start = sampling.nothing_answered(margins, len(margins))
    rounds = np.stack([sampling.choose(start, 1000, random) for _ in range(400)])
    expected = 1000 * sampling.chances(start)
    assert sampling.chances(start).sum() == pytest.approx(1)
    assert (np.abs(rounds.sum(axis=1) - 1000) <= 1).all()
    assert (np.abs(rounds - expected) < 1).all()
    assert rounds.mean(axis=0) == pytest.approx(expected, abs=0.1)
    assert (np.diff(expected[np.argsort(margins)]) <= 0).all(), "smaller margins more often"


def test_each_image_is_asked_now_and_then() -> None:
    random = np.random.default_rng(0)
    margins, chances = population(random)
    answered = stopped(random, margins, chances)
    assert sampling.chances(answered).min() >= sampling.DEFENSIVE / len(margins)


def test_without_a_flip_the_rate_is_below_a_bound() -> None:
    answered = sampling.nothing_answered(None, 50)
    for _ in range(4):
        asked = sampling.choose(answered, 250, np.random.default_rng(0))
        answered = sampling.add_round(answered, asked, np.zeros(50, np.int64))
    rate, low, high = sampling.flip_rate(answered)
    assert (rate, low) == (0.0, 0.0)
    assert 0.002 < high < 0.02  # three of a thousand, by the rule of three
    assert sampling.relative_width(sampling.flip_rate(answered)) == float("inf")


def test_nothing_asked_tells_nothing() -> None:
    rate, low, high = sampling.flip_rate(sampling.nothing_answered(np.arange(3.0), 3))
    assert np.isnan(rate)
    assert (low, high) == (0.0, 1.0)
