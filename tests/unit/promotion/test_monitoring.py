"""The watch over the champion, and hardening's words."""

import pytest

from pixelproof.promotion.gate import decide
from pixelproof.promotion.monitoring import compare_with_promotion
from pixelproof.promotion.outcome import sentence
from pixelproof.promotion.version import Version
from tests.support.planted import ledger, params

POINT = "8 pixels, stuck, in 16 of 16 px"
TAGS = {"pi": "2", "pi_low": "1.5", "pi_high": "2.5", "pi.reference": POINT}


def champion(**tags: str) -> Version:
    return Version(3, "abc", TAGS | tags, "run", "model")


def found(value: float) -> dict[str, object]:
    return {"pi": {"value": value, "low": value - 0.4, "high": value + 0.4}, "images": 300}


@pytest.mark.parametrize(
    ("value", "outcome"), [(1.0, "STEADY"), (2.64, "STEADY"), (2.65, "WORSE"), (9.0, "WORSE")]
)
def test_worse_is_a_rise_beyond_what_both_figures_leave_open(value: float, outcome: str) -> None:
    told, words = compare_with_promotion(champion(), found(value), POINT)
    assert told == outcome
    assert f"version 3: Pi is {value:.2f} [{value - 0.4:.2f}, {value + 0.4:.2f}]" in words
    assert "and was 2.00 [1.50, 2.50] when it was promoted: " in words
    least = value - 2 - (0.4**2 + 0.5**2) ** 0.5  # Newcombe's squares
    assert f"[{least:+.2f}, " in words


def test_another_point_compares_with_nothing() -> None:
    told, words = compare_with_promotion(champion(), found(9.0), "64 pixels, full, in 16 of 16 px")
    assert told == "NOT COMPARABLE"
    assert words.endswith(f"; it was promoted at {POINT}, so that nothing compares")
    unmeasured = Version(3, "abc", {}, "run", "model")
    told, words = compare_with_promotion(unmeasured, found(9.0), POINT)
    assert (told, "promoted without a figure" in words) == ("NOT COMPARABLE", True)


def test_a_verdict_in_a_sentence() -> None:
    fragile = ledger(0.2, seed=1)
    passed = decide(ledger(0.02), fragile, ledger(0.2, seed=2), params())
    words = sentence(passed, "hard", champion())
    assert words.startswith("PASSED: hard against version 3: Pi below the champion's: by ")
    rejected = decide(fragile, fragile, fragile, params())
    words = sentence(rejected, "hard", None)
    assert words.startswith("REJECTED: hard against its original: it lacks Pi below the champion's")
