"""A method in several models: the interval over images and seeds."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pixelproof.core.statistics.repetitions import repeated_difference

Draws = npt.NDArray[np.bool_]


def drawn(spread: float, seeds: int = 5, images: int = 200) -> tuple[Draws, Draws]:
    """Two methods, whose models differ by their seeds; the second errs half as often."""
    random = np.random.default_rng(7)
    hard = random.beta(0.2, 2, images)

    def method(rate: float) -> Draws:
        factor = rate * np.exp(random.normal(0, spread, (seeds, 1)))
        chance = np.clip(hard * factor, 0, 1)[..., None]
        return np.asarray(random.random((seeds, images, 4)) < chance)

    return method(1.0), method(0.5)


def test_images_without_a_variance_leave_the_seeds_alone() -> None:
    first = np.zeros((4, 6, 2), bool)
    for seed, share in enumerate((0.0, 0.5, 0.5, 1.0)):
        first[seed] = np.array([share > 0, share > 0.5])
    found = repeated_difference(first, np.zeros_like(first))
    means = first.mean(axis=(1, 2))
    plain = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert (found.low, found.high) == pytest.approx((max(-1, plain[0]), min(1, plain[1])))
    assert found.p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_equal_seeds_leave_the_images_alone() -> None:
    first, second = (method[:1].repeat(4, axis=0) for method in drawn(0.0))
    found = repeated_difference(first, second)
    gaps = (first[0].mean(axis=1)) - second[0].mean(axis=1)
    plain = stats.t.interval(0.95, len(gaps) - 1, gaps.mean(), stats.sem(gaps))
    assert (found.low, found.high) == pytest.approx(plain, rel=1e-6)


def test_seeds_that_differ_widen_the_interval() -> None:
    narrow, wide = (repeated_difference(*drawn(spread)) for spread in (0.0, 0.8))
    assert narrow.low > 0
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_no_difference_is_no_certainty() -> None:
    nothing = np.zeros((3, 50, 4), bool)
    found = repeated_difference(nothing, nothing)
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert found.low < 0 < found.high


@pytest.mark.parametrize("shape", [(1, 9, 2), (3, 1, 2), (3, 9)])
def test_one_model_says_nothing_of_a_method(shape: tuple[int, ...]) -> None:
    nothing = np.zeros(shape, bool)
    with pytest.raises(ValueError, match="at least two seeds"):
        repeated_difference(nothing, nothing)


def test_one_part_says_nothing_of_others_and_equal_gaps_little() -> None:
    first, second = drawn(0.0)
    found = repeated_difference(first, second, groups=np.zeros(first.shape[1], np.int64))
    assert (found.low, found.high, found.p_value) == (-1.0, 1.0, 1.0)
    wrong, right = np.ones((3, 20, 2), bool), np.zeros((3, 20, 2), bool)
    wrong[..., 1] = False  # each model errs by as much more on each image
    found = repeated_difference(wrong, right)
    assert found.low < found.value == 0.5 < found.high


def test_parts_of_unequal_size_are_no_error() -> None:
    """A gap that is the same in each part has no variance, however large the parts are."""
    random = np.random.default_rng(0)
    parts = np.repeat(np.arange(8), [5, 40, 10, 60, 20, 30, 7, 28])
    first = random.random((4, 200, 4)) < 0.5
    second = np.zeros_like(first)
    even = repeated_difference(first, second, groups=np.arange(200) % 8)
    uneven = repeated_difference(first, second, groups=parts)
    assert uneven.high - uneven.low < 2 * (even.high - even.low)
