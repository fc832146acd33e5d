"""Images in groups, such as the cells of a module: the group is the unit."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pixelproof.core.statistics.differences import paired_difference, unpaired_difference
from pixelproof.core.statistics.exact import exact_paired_difference
from pixelproof.core.statistics.groups import as_groups, mean_interval
from pixelproof.core.statistics.intervals import (
    balanced_accuracy,
    effective_trials,
    median_interval,
    rate_interval,
)
from pixelproof.core.statistics.ranks import rank_intervals
from pixelproof.core.statistics.repetitions import repeated_difference

Bools = npt.NDArray[np.bool_]
GROUPS, SIZE, DRAWS = 20, 15, 4
TOTAL = 1 / 0.3 - 1  # two draws of the same chance correlate by 0.3
CODES = np.repeat(np.arange(GROUPS), SIZE)


def drawn(alike: bool, seed: int, rate: float = 0.1) -> Bools:
    """(images, draws), with chances that are those of the group or of each image."""
    random = np.random.default_rng(seed)
    count = GROUPS if alike else GROUPS * SIZE
    chances = random.beta(TOTAL * rate, TOTAL * (1 - rate), count)
    chances = np.repeat(chances, SIZE) if alike else chances
    return np.asarray(random.random((len(chances), DRAWS)) < chances[:, None])


def test_names_become_codes() -> None:
    assert list(as_groups(np.array(["b", "a", "b"]))) == [1, 0, 1]


def test_the_mean_of_equal_groups_has_the_t_interval_of_their_means() -> None:
    values = np.random.default_rng(0).normal(size=GROUPS * SIZE)
    means = values.reshape(GROUPS, SIZE).mean(axis=1)
    plain = stats.t.interval(0.95, GROUPS - 1, means.mean(), stats.sem(means))
    assert mean_interval(values, CODES, 0.95) == pytest.approx(plain)
    assert mean_interval(values, np.zeros(len(values), int), 0.95)[1] == np.inf


def test_alike_images_tell_less_and_groups_never_tell_more() -> None:
    for alike, seed in itertools.product((True, False), range(5)):
        wrong = drawn(alike, seed)
        apart, grouped = rate_interval(wrong), rate_interval(wrong, groups=CODES)
        assert grouped.value == apart.value
        assert grouped.low <= apart.low
        assert grouped.high >= apart.high
        assert effective_trials(wrong.mean(axis=1), DRAWS, CODES) <= effective_trials(
            wrong.mean(axis=1), DRAWS
        )
        if alike:
            assert grouped.high - grouped.low > 1.5 * (apart.high - apart.low)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_the_interval_of_a_rate_holds_it_where_groups_are_alike(rate: float) -> None:
    held = {"grouped": 0, "apart": 0}
    for seed in range(400):
        wrong = drawn(True, 1000 + seed, rate)
        for name, groups in (("grouped", CODES), ("apart", None)):
            found = rate_interval(wrong, groups=groups)
            held[name] += found.low <= rate <= found.high
    assert held["grouped"] >= 0.87 * 400  # few skewed groups: somewhat below 95 %
    assert held["apart"] < 0.75 * 400


def test_no_difference_is_rejected_as_often_as_it_should_be() -> None:
    rejected = {"grouped": 0, "apart": 0}
    for seed in range(200):
        first, second = drawn(True, 2 * seed, 0.2), drawn(True, 2 * seed + 1, 0.2)
        for name, groups in (("grouped", CODES), ("apart", None)):
            found = exact_paired_difference(first, second, groups=groups)
            rejected[name] += found.p_value <= 0.05
    assert rejected["grouped"] <= 0.09 * 200
    assert rejected["apart"] > 0.3 * 200


def test_the_exact_test_of_groups_is_that_of_their_sums() -> None:
    first, second = drawn(True, 1), drawn(False, 2)
    found = exact_paired_difference(first, second, groups=CODES)
    sums = (first.sum(axis=1) - second.sum(axis=1)).reshape(GROUPS, SIZE).sum(axis=1)
    signs = np.array(list(itertools.product((-1, 1), repeat=12)))
    few = sums[:12]  # the rest by its own signs would be too many: compare the first twelve
    exact = exact_paired_difference(
        first[: 12 * SIZE], second[: 12 * SIZE], groups=CODES[: 12 * SIZE]
    )
    assert exact.p_value == pytest.approx((np.abs(signs @ few) >= abs(few.sum())).mean())
    resampled = paired_difference(first, second, groups=CODES, resamples=4000)
    assert (found.value, found.low, found.high) == pytest.approx(resampled[:3])
    assert found.p_value == pytest.approx(resampled.p_value, abs=0.03)


def test_each_image_its_own_group_is_nearly_no_group() -> None:
    first, second = drawn(False, 3), drawn(False, 4)
    alone = np.arange(len(first))
    plain, grouped = (
        exact_paired_difference(first, second, groups=groups) for groups in (None, alone)
    )
    assert grouped.p_value == pytest.approx(plain.p_value)
    assert grouped[:3] == pytest.approx(plain[:3], abs=0.006)


def test_other_figures_go_by_group_too() -> None:
    wrong, other = drawn(True, 5), drawn(True, 6)
    values = np.repeat(np.random.default_rng(1).normal(size=GROUPS), SIZE)
    apart, grouped = median_interval(values), median_interval(values, groups=CODES)
    assert grouped.low <= apart.low <= apart.high <= grouped.high
    assert grouped.high - grouped.low > apart.high - apart.low
    labels = np.arange(len(wrong)) % 2
    apart, grouped = (
        balanced_accuracy(~wrong[:, 0], labels, groups=groups) for groups in (None, CODES)
    )
    assert grouped.high - grouped.low > apart.high - apart.low
    ranks = [rank_intervals({"a": wrong, "b": other}, groups=groups) for groups in (None, CODES)]
    assert ranks[0]["a"].value == ranks[1]["a"].value
    gaps = [unpaired_difference(wrong, other, groups=(one, one)) for one in (None, CODES)]
    assert gaps[1].high - gaps[1].low > gaps[0].high - gaps[0].low
    assert gaps[1].p_value > gaps[0].p_value
    repeated = [
        repeated_difference(np.stack([wrong] * 3), np.stack([other] * 3), groups=one)
        for one in (None, CODES)
    ]
    assert repeated[0].value == pytest.approx(repeated[1].value)
    assert repeated[1].high - repeated[1].low > repeated[0].high - repeated[0].low
