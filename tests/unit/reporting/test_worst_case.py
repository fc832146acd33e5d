"""Random changes against the worst, on the same images."""

from typing import Any

import pandas as pd
import pytest

from pixelproof.core.statistics.intervals import clopper_pearson
from pixelproof.reporting.worst_case import pi_worst, worst_cases, worst_words

COMMON = ["a", "b", "c", "d"]


def rows(experiment: str, n: int, wrong: str, images: str, **more: Any) -> list[dict[str, Any]]:
    """A row an image, in one draw; of the images in `wrong` the answer is another."""
    return [
        {
            "image": image,
            "label": "good",
            "prediction": "bad" if image in wrong else "good",
            "experiment": experiment,
            "epsilon": None,
            "steps": None,
            "n": n,
            "values": "stuck",
            "area": 16,
            "draw": 0,
            "group": None,
            **more,
        }
        for image in images
    ]


@pytest.fixture
def ledger() -> pd.DataFrame:
    return pd.DataFrame(
        [
            *rows("stuck", 8, "a", "abcd"),
            *rows("stuck", 8, "ab", "abcd", draw=1),
            *rows("worst_stuck", 4, "a", "abx", steps=30),
            *rows("worst_stuck", 8, "ab", "abx", steps=30),
        ]
    ).astype({"steps": "Int64"})


def test_both_rates_are_of_the_common_images_that_were_searched(ledger: pd.DataFrame) -> None:
    few, many = worst_cases(ledger, COMMON, 16)
    assert (few["n"], few["random"]) == (4, None)
    assert (many["n"], many["images"], many["queries"]) == (8, 2, 30)
    assert many["random"]["value"] == 0.75
    assert many["worst"] == dict(
        zip(("value", "low", "high"), (1.0, *clopper_pearson(2, 2)), strict=True)
    )
    assert many["pi"]["value"] == 1 / (8 / 256)


def test_pi_of_the_worst_case_is_that_of_the_largest_n(ledger: pd.DataFrame) -> None:
    cases = worst_cases(ledger, COMMON, 16)
    found = pi_worst(cases, "stuck", 16)
    assert found is not None
    assert (found["n"], found["value"]) == (8, 32.0)
    assert pi_worst(cases, "full", 16) is None
    assert pi_worst(cases, "stuck", 8) is None


def test_a_search_near_the_old_values_stands_beside_draws_of_the_same_offset() -> None:
    near = {"values": "offset:10"}
    ledger = pd.DataFrame(
        [
            *rows("pixels", 8, "abcd", "abcd", values="full"),
            *rows("magnitude", 8, "abc", "abcd", values="offset:40"),
            *rows("magnitude", 8, "b", "abcd", **near),
            *rows("worst_pixels", 8, "ab", "abcd", steps=30, **near),
        ]
    ).astype({"steps": "Int64"})
    (case,) = worst_cases(ledger, COMMON, 16)
    assert (case["random"]["value"], case["worst"]["value"]) == (0.25, 0.5)


def test_a_line_says_what_random_and_worst_pixels_change(ledger: pd.DataFrame) -> None:
    cases = worst_cases(ledger, COMMON, 16)
    summary = {
        "models": {
            "baseline": {"worst_cases": cases},
            "clean": {"worst_cases": cases},
            "without": {},
        }
    }
    assert worst_words(summary) == [
        "At random, 8 stuck pixels (3.1 %) change 75.0 % of the answers of baseline, the worst 8 "
        "that a search finds 100.0 %; of clean 75.0 % and 100.0 % (2 images, 30 queries for each "
        "n)."
    ]
    assert worst_words({"models": {"baseline": {"worst_cases": cases[:1]}}}) == []
