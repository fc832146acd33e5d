import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.core.pixel_index import pixel_index, value_range


def test_the_example_of_the_paper() -> None:
    exact = pixel_index(1000 / 10000, 64, 224, "full", area=200)
    assert exact == pytest.approx(98.34496, abs=5e-6)
    p, a = 0.001276, 0.7972  # as Equations 9 and 11 print them
    assert 98.30 <= 0.10 / (p * 1.0 * a) < 98.31


@pytest.mark.parametrize(
    ("wrong", "printed"), [(352, 27.58), (416, 32.60), (587, 46.00), (798, 62.53), (1395, 109.32)]
)
def test_table_5_from_the_counts_of_table_6(wrong: int, printed: float) -> None:
    found = pixel_index(wrong / 10_000, 64, 224)
    assert math.floor(100 * wrong / 10_000 / 0.001276) / 100 == printed, "p rounded, result cut"
    assert found == pytest.approx(printed, rel=1e-3)


@given(
    rate=st.floats(0, 1),
    n=st.integers(1, 100),
    d=st.integers(1, 255),
    area=st.integers(10, 32),
)
def test_it_is_equation_7(rate: float, n: int, d: int, area: int) -> None:
    p, r, a = n / 32**2, 2 * d / 255, area**2 / 32**2
    assert pixel_index(rate, n, 32, f"offset:{d}", area) == pytest.approx(rate / (p * r * a))


def test_the_range_of_values() -> None:
    assert value_range("stuck") == value_range("full") == 1
    assert value_range("offset:127") == pytest.approx(254 / 255)


@pytest.mark.parametrize(
    ("n", "area", "values"),
    [(0, None, "full"), (65, None, "full"), (1, 9, "full"), (10, 3, "full"), (1, 3, "x")],
)
def test_what_has_no_meaning_is_refused(n: int, area: int | None, values: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        pixel_index(0.1, n, 8, values, area)
