"""The level of a look, its power, and the champion that a row of promotions began with."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pixelproof.core.statistics.exact import exact_paired_difference
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.promotion.level import LEVEL, level_at, power_at
from pixelproof.promotion.version import FROM, OUTCOME, Version, began_with


def test_all_looks_together_have_the_level() -> None:
    levels = [level_at(number) for number in range(1, 100_000)]
    assert sum(levels) == pytest.approx(LEVEL, rel=1e-4)
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("number", [3, 30])
def test_the_power_is_about_what_a_simulation_finds_and_promises_no_more(number: int) -> None:
    """Images have a difficulty that both models share, and one of their own for each."""
    random = np.random.default_rng(3)
    images, draws, rate, level = 400, 8, 0.05, level_at(number)

    def measured(wrong: float, shared: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        own = np.sqrt(0.93) * shared + np.sqrt(0.07) * random.standard_normal(images)
        drawn = random.standard_normal((images, draws))
        latent = np.sqrt(0.95) * own[:, None] + np.sqrt(0.05) * drawn
        return np.asarray(latent > stats.norm.isf(wrong))

    noticed, expected = [], []
    for _ in range(200):
        shared = random.standard_normal(images)
        champion, challenger = measured(rate, shared), measured(rate / 2, shared)
        gap = exact_paired_difference(champion, challenger, 1 - level)
        noticed.append(gap.low > 0 and gap.p_value <= level)
        expected.append(power_at(level, rate_interval(champion)._asdict()))
    assert -0.05 < np.mean(noticed) - np.mean(expected) < 0.25


def test_more_images_have_more_power_and_no_errors_have_none() -> None:
    pi = {"value": 2.0, "low": 1.2, "high": 3.0}
    assert power_at(level_at(9), pi) < power_at(level_at(9), pi, images=2.0)
    assert power_at(level_at(1), {"value": 0.0, "low": 0.0, "high": 1.0}) == 0.0


def test_few_parts_have_less_power_and_too_few_have_none() -> None:
    pi = {"value": 2.0, "low": 1.2, "high": 3.0}
    level = level_at(1)
    powers = [power_at(level, pi, parts=parts) for parts in (4, 7, 15, 1000)]
    assert powers[0] == 0.0, "the signs of four parts are never rarer than one in eight"
    assert 0 < powers[1] < powers[2] < powers[3]
    assert powers[3] == pytest.approx(power_at(level, pi), abs=0.01)
    assert power_at(level_at(30), pi, parts=15) == 0.0


def version(number: int, before: str, outcome: str, **tags: str) -> Version:
    return Version(number, str(number), {FROM: before, OUTCOME: outcome, **tags}, "", "")


def test_a_row_of_promotions_began_with_the_first_or_with_a_persons_choice() -> None:
    row = [version(1, "", "FIRST"), version(2, "1", "PASSED"), version(4, "2", "PASSED")]
    assert [began_with(each, row).number for each in row] == [1, 1, 1]
    chosen = version(2, "1", "PASSED", **{"override.by": "me"})
    assert began_with(row[2], [row[0], chosen, row[2]]).number == 2
    assert began_with(row[2], [row[2]]).number == 4, "the one before it is gone"
    loop = [version(1, "2", "PASSED"), version(2, "1", "PASSED")]
    assert began_with(loop[0], loop).number == 2, "tags that a person has set end it, too"
