import numpy as np
import pytest
from scipy import stats

from pixelproof.core.statistics.differences import unpaired_difference


def test_the_example_of_newcombe() -> None:
    wrong, other = np.arange(70)[:, None] < 56, np.arange(80)[:, None] < 48
    found = unpaired_difference(wrong, other, resamples=100)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=0.003)
    assert found.high == pytest.approx(0.3339, abs=0.003)


def test_the_p_value_is_that_of_a_permutation_of_the_images() -> None:
    random = np.random.default_rng(1)
    wrong, other = random.random((40, 3)) < 0.5, random.random((55, 5)) < 0.35
    found = unpaired_difference(wrong, other, resamples=20_000)
    oracle = stats.permutation_test(
        (wrong.mean(axis=1), other.mean(axis=1)),
        lambda one, two, axis: one.mean(axis=axis) - two.mean(axis=axis),
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    )
    assert found.value == pytest.approx(wrong.mean() - other.mean())
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.01)


def test_where_nothing_is_wrong_the_bounds_are_open() -> None:
    found = unpaired_difference(np.zeros((30, 4), bool), np.zeros((50, 4), bool))
    assert (found.value, found.p_value) == (0, 1)
    assert -0.12 < found.low < 0 < found.high < 0.12


def test_it_rejects_rarely_where_nothing_differs() -> None:
    random = np.random.default_rng(3)
    rejected = covered = 0
    for _ in range(400):
        rates = random.beta(0.2, 0.8, 130)[:, None]  # draws of one image are alike
        wrong = random.random((130, 4)) < rates
        found = unpaired_difference(wrong[:60], wrong[60:], resamples=400)
        rejected += found.p_value < 0.05
        covered += found.low <= 0 <= found.high
    assert rejected / 400 < 0.08
    assert covered / 400 > 0.92
