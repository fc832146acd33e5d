"""The exact bootstrap and sign-flip test, against enumeration and against drawn resamples."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from pixelproof.core.statistics.differences import paired_difference
from pixelproof.core.statistics.exact import (
    exact_bootstrap,
    exact_paired_difference,
    exact_sign_flip,
)


@pytest.mark.parametrize("seed", range(5))
def test_the_sign_flips_are_those_of_all_patterns(seed: int) -> None:
    gaps = np.random.default_rng(seed).integers(-3, 5, 10)
    signs = np.array(list(product((-1, 1), repeat=10)))
    expected = np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()))
    assert exact_sign_flip(gaps) == pytest.approx(expected)


def test_where_all_images_agree_the_test_is_that_of_signs() -> None:
    assert exact_sign_flip(np.ones(40, np.int64)) == pytest.approx(2 * 0.5**40, rel=0.1)
    assert exact_sign_flip(np.zeros(4, np.int64)) == 1.0


def test_the_bootstrap_of_zeros_and_ones_is_binomial() -> None:
    gaps = np.repeat(np.array([0, 1]), [70, 30])
    expected = stats.binom.ppf([0.0005, 0.9995], 100, 0.3) / 100
    assert exact_bootstrap(gaps, 0.999) == pytest.approx(expected)


def test_both_agree_with_drawn_resamples() -> None:
    random = np.random.default_rng(4)
    one, other = random.random((400, 8)) < 0.06, random.random((400, 8)) < 0.04
    drawn = paired_difference(one, other, resamples=40_000)
    found = exact_paired_difference(one, other)
    assert found.value == pytest.approx(drawn.value)
    assert found.low == pytest.approx(drawn.low, abs=5e-4)
    assert found.high == pytest.approx(drawn.high, abs=5e-4)
    assert found.p_value == pytest.approx(drawn.p_value, abs=3e-3)
    wide = exact_paired_difference(one, other, 1 - 1e-7)
    assert wide.low < found.low
    assert found.high < wide.high


def test_where_nothing_differs_the_bounds_are_wilsons() -> None:
    none = np.zeros((50, 4), bool)
    assert exact_paired_difference(none, none) == paired_difference(none, none)
    with pytest.raises(ValueError, match="equal, filled shapes"):
        exact_paired_difference(none, none[:, :2])
