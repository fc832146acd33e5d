import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.metrics import balanced_accuracy_score

from pixelproof.core.statistics.differences import (
    holm,
    paired_difference,
    paired_proportions_interval,
    sign_flip_p_value,
)
from pixelproof.core.statistics.intervals import (
    balanced_accuracy,
    clopper_pearson,
    effective_trials,
    median_interval,
    rate_interval,
    wilson,
)
from pixelproof.core.statistics.ranks import rank_intervals

Array = np.ndarray[Any, Any]


def clustered(random: np.random.Generator, images: int, draws: int, rate: float) -> Array:
    """Draws whose rate differs from image to image: correlation 0.3 within one."""
    correlation = 0.3
    a = rate * (1 - correlation) / correlation
    b = (1 - rate) * (1 - correlation) / correlation
    return random.random((images, draws)) < random.beta(a, b, (images, 1))


@given(trials=st.integers(1, 3000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95]))
def test_wilson_is_that_of_scipy(trials: int, share: float, confidence: float) -> None:
    successes = round(share * trials)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials, confidence) == pytest.approx(tuple(expected), abs=1e-12)


@given(trials=st.floats(1, 1e6))
def test_wilson_holds_the_rate_at_both_ends(trials: float) -> None:
    assert wilson(0, trials)[0] == 0
    assert wilson(trials, trials)[1] == 1


def test_independent_draws_count_as_trials_and_equal_ones_do_not() -> None:
    random = np.random.default_rng(0)
    independent = random.random((3000, 8)) < 0.1
    assert effective_trials(independent.mean(axis=1), 8) == pytest.approx(24_000, rel=0.1)
    equal = np.repeat(random.random((3000, 1)) < 0.1, 8, axis=1)
    assert effective_trials(equal.mean(axis=1), 8) == pytest.approx(3000, rel=0.01)
    correlated = clustered(random, 20_000, 8, 0.1)
    expected = 160_000 / (1 + 7 * 0.3)  # the design effect of clusters of 8
    assert effective_trials(correlated.mean(axis=1), 8) == pytest.approx(expected, rel=0.05)


@given(
    counts=st.lists(st.integers(0, 8), min_size=2, max_size=30).filter(lambda c: len(set(c)) > 1)
)
def test_effective_trials_are_the_formula(counts: list[int]) -> None:
    rates = [count / 8 for count in counts]  # eighths, so that sums are exact
    p = sum(rates) / len(rates)
    spread = sum((rate - p) ** 2 for rate in rates) / (len(rates) - 1)
    expected = min(8.0 * len(rates), max(1.0, p * (1 - p) * len(rates) / spread))
    assert effective_trials(np.array(rates), 8) == pytest.approx(expected)
    wrong = np.arange(8) < np.array(counts)[:, None]
    value, low, high = rate_interval(wrong)
    assert 0 <= low <= value <= high <= 1
    assert value == pytest.approx(p)


@pytest.mark.parametrize("draws", [3, 4, 5, 7, 10])
@pytest.mark.parametrize("images", [49, 50, 120])
def test_equal_images_count_once_whatever_their_rate(images: int, draws: int) -> None:
    wrong = np.tile(np.arange(draws) == 0, (images, 1))
    assert effective_trials(wrong.mean(axis=1), draws) == images


def test_a_single_image_counts_once() -> None:
    assert effective_trials(np.array([0.25]), 4) == 1


def test_the_confidence_is_the_one_asked_for() -> None:
    random = np.random.default_rng(7)
    one, two = clustered(random, 400, 4, 0.1), clustered(random, 400, 4, 0.1)
    labels = np.repeat([0, 1], 200)
    for wide, narrow in (
        (rate_interval(one, 0.99), rate_interval(one, 0.9)),
        (balanced_accuracy(one[:, 0], labels, 0.99), balanced_accuracy(one[:, 0], labels, 0.9)),
    ):
        # Normal quantiles 2.576 and 1.645.
        assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(1.57, abs=0.05)
    differences = one.mean(axis=1) - two.mean(axis=1)
    half = 1.645 * differences.std() / np.sqrt(400)
    found = paired_difference(one, two, confidence=0.9)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_where_no_image_differs_an_image_counts_once(rate: float) -> None:
    wrong = np.full((50, 4), bool(rate))
    assert effective_trials(wrong.mean(axis=1), 4) == 50
    value, low, high = rate_interval(wrong)
    assert value == rate
    shrunk = 50 * (stats.t.ppf(0.975, 199) / stats.t.ppf(0.975, 49)) ** 2
    assert (low, high) == pytest.approx(clopper_pearson(shrunk * rate, shrunk))
    plain = stats.binomtest(round(50 * rate), 50).proportion_ci(method="exact")
    assert low <= plain.low
    assert high >= plain.high


@given(images=st.integers(1, 400), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95]))
def test_a_draw_an_image_gives_the_exact_interval(
    images: int, share: float, confidence: float
) -> None:
    wrong = np.arange(images)[:, None] < round(share * images)
    exact = stats.binomtest(int(wrong.sum()), images).proportion_ci(confidence, method="exact")
    found = rate_interval(wrong, confidence)
    assert (found.low, found.high) == pytest.approx(tuple(exact), abs=1e-12)
    mirrored = rate_interval(~wrong, confidence)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx(tuple(exact), abs=1e-12)


def test_the_interval_is_that_of_korn_and_graubard() -> None:
    # Their formulas, written out: n* = n_eff (t_{n-1} / t_{m-1})^2 and the quantiles of F.
    random = np.random.default_rng(4)
    wrong = clustered(random, 40, 8, 0.1)
    rates = wrong.mean(axis=1)
    p = rates.mean()
    n_eff = p * (1 - p) / (rates.var(ddof=1) / 40)
    n = n_eff * (stats.t.ppf(0.975, 319) / stats.t.ppf(0.975, 39)) ** 2
    x = n * p
    v1, v2, v3, v4 = 2 * x, 2 * (n - x + 1), 2 * (x + 1), 2 * (n - x)
    low = v1 * stats.f.ppf(0.025, v1, v2) / (v2 + v1 * stats.f.ppf(0.025, v1, v2))
    high = v3 * stats.f.ppf(0.975, v3, v4) / (v4 + v3 * stats.f.ppf(0.975, v3, v4))
    assert rate_interval(wrong)[1:] == pytest.approx((low, high))


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_intervals_cover_where_draws_are_correlated(rate: float) -> None:
    random = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(400):
        wrong = clustered(random, 1000, 8, rate)
        found = rate_interval(wrong)
        covered += found.low <= rate <= found.high
        low, high = wilson(wrong.sum(), wrong.size)
        naive += low <= rate <= high
    assert covered >= 0.93 * 400
    assert naive < 0.85 * 400, "as if all draws were independent"


@pytest.mark.parametrize("rate", [0.002, 0.01, 0.1])
def test_intervals_cover_2000_images_of_rare_and_frequent_errors(rate: float) -> None:
    # Images that are wrong in k of 8 draws are beta-binomial; their order tells nothing.
    a, b = rate * 7 / 3, (1 - rate) * 7 / 3  # 1 / (a + b + 1) = 0.3, the correlation
    shares = stats.betabinom.pmf(np.arange(9), 8, a, b)
    random = np.random.default_rng(10)
    covered = 0
    for images in random.multinomial(2000, shares / shares.sum(), 2000):
        wrong = np.arange(8) < np.repeat(np.arange(9), images)[:, None]
        found = rate_interval(wrong)
        covered += found.low <= rate <= found.high
    assert covered >= 0.93 * 2000


def test_permutations_agree_with_all_sign_patterns() -> None:
    differences = np.array([0.5, 0.25, -0.25, 1.0, 0.75, 0.0, 0.25, -0.5])
    observed = abs(differences.sum())
    patterns = itertools.product([-1, 1], repeat=len(differences))
    exact = np.mean([abs((np.array(p) * differences).sum()) >= observed for p in patterns])
    assert sign_flip_p_value(differences, 50_000, seed=0) == pytest.approx(exact, abs=0.01)
    by_scipy = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert exact == pytest.approx(by_scipy.pvalue)
    assert sign_flip_p_value(np.zeros(5), 100, seed=0) == 1.0


@given(thirds=st.lists(st.integers(-3, 3), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_ties_and_images_that_do_not_differ_change_no_p_value(thirds: list[int], seed: int) -> None:
    exact = np.array(thirds, float)
    expected = sign_flip_p_value(exact, 200, seed)
    assert sign_flip_p_value(exact / 3, 200, seed) == expected, "as rounded sums would"
    assert sign_flip_p_value(np.append(exact, [0.0, 0.0]), 200, seed) == expected


def test_a_p_value_is_never_zero() -> None:
    assert sign_flip_p_value(np.ones(100), 999, seed=0) == 0.001
    assert sign_flip_p_value(np.array([0.1]), 999, seed=0) == 1.0, "a lone image proves nothing"


def test_permutations_in_chunks_are_all_counted() -> None:
    differences = np.random.default_rng(8).normal(0.0, 1.0, 60_000)
    z = differences.sum() / np.sqrt((differences**2).sum())
    expected = 2 * stats.norm.sf(abs(z))
    assert sign_flip_p_value(differences, 1000, seed=0) == pytest.approx(expected, abs=0.05)


def test_the_paired_test_rejects_seldom_where_nothing_differs() -> None:
    random = np.random.default_rng(2)
    rejected = 0
    for _ in range(400):
        rates = random.beta(0.05, 0.5, (300, 1))
        one, two = (random.random((300, 4)) < rates for _ in range(2))
        difference = (one.mean(axis=1) - two.mean(axis=1)).astype(np.float64)
        rejected += sign_flip_p_value(difference, 400, seed=3) < 0.05
    assert rejected <= 0.08 * 400


@pytest.mark.parametrize("shared", [False, True])
def test_the_p_value_of_equal_models_keeps_its_level(shared: bool) -> None:
    random = np.random.default_rng(11)
    chances = random.beta(7 / 30, 21 / 10, (2, 2000, 200, 1))  # rate 0.1, correlation 0.3
    if shared:
        chances[1] = chances[0]
    rejected = 0
    for seed in range(2000):
        one, two = (random.random((200, 8)) < model[seed] for model in chances)
        # By 99 patterns the smallest p-values are hundredths, so 0.05 is one of them.
        rejected += paired_difference(one, two, resamples=99, seed=seed).p_value <= 0.05
    assert 0.03 * 2000 <= rejected <= 0.06 * 2000


def test_a_difference_is_paired_and_turns_its_sign() -> None:
    random = np.random.default_rng(3)
    one, two = clustered(random, 500, 4, 0.05), clustered(random, 500, 4, 0.15)
    found, turned = paired_difference(one, two), paired_difference(two, one)
    assert found.value == pytest.approx(one.mean() - two.mean())
    assert found.low < found.value < found.high < 0
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-found.value, -found.high, -found.low), abs=1e-3
    )
    assert found.p_value < 0.001
    same = paired_difference(one, one)
    most = wilson(0, 500)[1]
    assert same == (0, -most, most, 1), "no difference was seen, which is not none"


def test_differences_cover_and_draws_widen_where_they_are_shared() -> None:
    random = np.random.default_rng(4)
    shared = random.random((1, 4)) < 0.5  # a draw that is bad is bad for every image
    one = (random.random((400, 4)) < 0.2) | (shared & (random.random((400, 4)) < 0.5))
    two = random.random((400, 4)) < 0.2
    by_image = paired_difference(one, two)
    both = paired_difference(one, two, by_draw=True)
    assert both.value == by_image.value
    assert both.high - both.low > 2 * (by_image.high - by_image.low)


def test_shared_draws_are_not_taken_for_a_difference() -> None:
    random = np.random.default_rng(9)
    rejected = 0
    for seed in range(100):
        # Some draws are bad for one model, some for the other; neither is the better one.
        rates = 0.05 * np.exp(random.normal(0.0, 0.5, (2, 1, 8)))
        one, two = (random.random((300, 8)) < rate for rate in rates)
        found = paired_difference(one, two, resamples=300, seed=seed, by_draw=True)
        rejected += found.p_value <= 0.05
    assert rejected <= 12


def test_the_seed_is_all_the_chance_there_is() -> None:
    random = np.random.default_rng(5)
    one, two = clustered(random, 300, 4, 0.05), clustered(random, 300, 4, 0.06)
    assert paired_difference(one, two, seed=1) == paired_difference(one, two, seed=1)
    assert paired_difference(one, two, seed=1) != paired_difference(one, two, seed=2)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(6)
    labels = random.choice(3, 400, p=[0.7, 0.2, 0.1])
    predicted = np.where(random.random(400) < 0.8, labels, (labels + 1) % 3)
    found = balanced_accuracy(predicted == labels, labels)
    assert found.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert 0 <= found.low < found.value < found.high <= 1
    halves = [wilson(sum(own), len(own)) for own in np.split(np.arange(200) % 10 > 0, 2)]
    equal = balanced_accuracy(np.arange(200) % 10 > 0, np.repeat([0, 1], 100))
    low = math.hypot(*(0.9 - half[0] for half in halves)) / 2
    high = math.hypot(*(half[1] - 0.9 for half in halves)) / 2
    assert equal == pytest.approx((0.9, 0.9 - low, 0.9 + high))
    perfect = balanced_accuracy(labels == labels, labels)
    assert perfect.value == perfect.high == 1
    assert perfect.low < 1


def test_empty_and_unequal_input_is_refused() -> None:
    with pytest.raises(ValueError, match="expected images and draws"):
        rate_interval(np.zeros((0, 4), bool))
    with pytest.raises(ValueError, match="expected equal, filled shapes"):
        paired_difference(np.zeros((3, 4), bool), np.zeros((3, 2), bool))


P_VALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.02, 0.05, 1.0]), max_size=7)


@given(p_values=P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    # The definition that takes no order: the worst of all groups of tests that hold this one.
    places = range(len(p_values))
    groups = [group for size in places for group in itertools.combinations(places, size + 1)]
    expected = [
        max(min(1.0, len(g) * min(p_values[k] for k in g)) for g in groups if at in g)
        for at in places
    ]
    assert holm(p_values) == expected


@given(p_values=P_VALUES, level=st.sampled_from([0.01, 0.05, 0.1]))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], level: float) -> None:
    rejected: set[float] = set()
    for rank, p_value in enumerate(sorted(p_values)):
        if (len(p_values) - rank) * p_value > level:
            break
        rejected.add(p_value)
    found = {p for p, adjusted in zip(p_values, holm(p_values), strict=True) if adjusted <= level}
    assert found == rejected


@given(p_values=P_VALUES, data=st.data())
def test_holm_keeps_order_and_bounds(p_values: list[float], data: st.DataObject) -> None:
    found = holm(p_values)
    for one, adjusted in zip(p_values, found, strict=True):
        assert one <= adjusted <= min(1.0, len(p_values) * one)
    pairs = list(zip(p_values, found, strict=True))
    assert all(a <= b for (p, a), (q, b) in itertools.product(pairs, pairs) if p <= q)
    turned = data.draw(st.permutations(range(len(p_values))))
    assert holm([p_values[at] for at in turned]) == [found[at] for at in turned]


def test_holm_is_that_of_r() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") and one with ties and a cap.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.6, 0.02, 0.02, 0.5]) == pytest.approx([1.0, 0.08, 0.08, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize("p_value", [-0.01, 1.01, math.nan])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    with pytest.raises(ValueError, match=r"expected p-values in 0\.\.1"):
        holm([0.5, p_value])


class TestPairedProportions:
    """Tango's interval, against a plain maximisation of the likelihood and by simulation."""

    @staticmethod
    def oracle(more: int, less: int, trials: int) -> tuple[float, float]:
        both = trials - more - less
        z = stats.norm.ppf(0.975)

        def score(difference: float) -> float:
            def unlikely(less_rate: float) -> float:
                rates = (less_rate + difference, less_rate, 1 - 2 * less_rate - difference)
                return -sum(
                    count * math.log(max(rate, 1e-300))
                    for count, rate in zip((more, less, both), rates, strict=True)
                )

            bounds = (max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12)
            found = optimize.minimize_scalar(
                unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}
            ).x
            variance = trials * (2 * found + difference - difference**2)
            return float((more - less - trials * difference) / math.sqrt(variance))

        value = (more - less) / trials
        low = optimize.brentq(lambda one: score(one) - z, -0.99, value - 1e-6)
        high = optimize.brentq(lambda one: score(one) + z, value + 1e-6, 0.99)
        return low, high

    @pytest.mark.parametrize("counts", [(1, 0, 44), (12, 2, 57), (9, 0, 54), (3, 1, 14)])
    def test_against_an_oracle(self, counts: tuple[int, int, int]) -> None:
        expected = pytest.approx(self.oracle(*counts), abs=1e-5)
        assert paired_proportions_interval(*counts) == expected
        more, less, trials = counts
        low, high = paired_proportions_interval(more, less, trials)
        assert paired_proportions_interval(less, more, trials) == pytest.approx((-high, -low))

    @pytest.mark.parametrize("trials", [1, 20, 133, 5000])
    def test_pairs_that_all_agree_prove_as_much_as_there_are(self, trials: int) -> None:
        z = stats.norm.ppf(0.95)
        bound = z * z / (trials + z * z)
        found = paired_proportions_interval(0, 0, trials, 0.9)
        assert found == pytest.approx((-bound, bound), abs=1e-7)

    @pytest.mark.parametrize("counts", [(100, 0, 100), (0, 100, 100), (50, 50, 100)])
    def test_edges_hold_the_value(self, counts: tuple[int, int, int]) -> None:
        low, high = paired_proportions_interval(*counts)
        assert -1 <= low <= (counts[0] - counts[1]) / counts[2] <= high <= 1

    @pytest.mark.parametrize("rates", [(0.01, 0.02), (0.05, 0.05), (0.0, 0.01)])
    def test_it_covers(self, rates: tuple[float, float]) -> None:
        random = np.random.default_rng(0)
        drawn = random.multinomial(200, [*rates, 1 - sum(rates)], 1500)
        truth = rates[0] - rates[1]
        bounds = [paired_proportions_interval(int(a), int(b), 200, 0.9) for a, b, _ in drawn]
        assert np.mean([low <= truth <= high for low, high in bounds]) > 0.85
        assert np.mean([low <= truth for low, _ in bounds]) > 0.93

    @pytest.mark.parametrize("counts", [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
    def test_counts_that_are_no_pairs(self, counts: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="expected counts of"):
            paired_proportions_interval(*counts)


def test_a_tie_leaves_the_rank_open() -> None:
    wrong = np.zeros((40, 3), bool)
    nested = {"one": wrong.copy(), "two": wrong.copy(), "three": wrong.copy()}
    nested["two"][0, 0] = nested["three"][0, 0] = True  # in a third of the resamples none is drawn
    nested["three"][5:25] = True
    ranks = rank_intervals(nested, resamples=2000)
    assert [one.value for one in ranks.values()] == [1, 2, 3]
    assert ranks["one"][1:] == (1, 2), "that it is ahead of the second is not certain"
    assert ranks["two"][1:] == (1, 2)
    assert ranks["three"][1:] == (3, 3)


@pytest.mark.parametrize("count", [1, 5, 6, 40, 1000])
def test_the_median_s_bounds_are_the_order_statistics_of_the_binomial(count: int) -> None:
    rank = max(1, int(stats.binom.ppf(0.025, count, 0.5)))
    assert median_interval(np.arange(count) + 1.0)[1:] == (rank, count + 1 - rank)
