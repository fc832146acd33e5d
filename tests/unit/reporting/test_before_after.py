"""Two results against each other: what is paired, what is not, and why."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pixelproof.errors import DataError, ParameterError
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.reporting.before_after import Against, Side, compare_sides

CLASSES = ["bad", "good"]
PARAMS: dict[str, Any] = {
    "generate": {"test_seed": 5},
    "compare": {"reference": {"experiment": "stuck", "n": 64}, "resamples": 500},
}


def ledger(rate: float, images: range, draws: int = 3, seed: int = 0) -> pd.DataFrame:
    """A model that is right unchanged; `seed` is that of its errors."""
    writer = LedgerWriter(CLASSES)
    names = np.array([f"{at:016x}" for at in images], dtype=object)
    truth = np.array(images) % 2
    labels = np.array(CLASSES, dtype=object)[truth]
    flat = np.zeros(len(names), np.float32)
    writer.add("clean", names, labels, truth, flat, split="held_out", n=0, draw=0)
    writer.add("clean", names, labels, 1 - truth, flat, split="train", n=0, draw=0)
    for n in (8, 64):
        for draw in range(draws):
            random = np.random.default_rng([seed, draw, n])
            wrong = random.random(400)[np.array(images)] < rate
            place = {"n": n, "values": "stuck", "area": 16, "draw": draw, "split": "held_out"}
            writer.add("stuck", names, labels, truth ^ wrong, flat, **place)
    return pd.concat(writer._parts, ignore_index=True)


def side(name: str, one: pd.DataFrame, model: str = "base", **params: Any) -> Side:
    return Side(name, {model: one}, {**PARAMS, **params})


def at_reference(first: Side, second: Side) -> Against:
    found = compare_sides(first, second)
    assert [one.setting for one in found] == ["clean", "stuck n 64 (25 %)"]
    assert found[0].rates == (0, 0), "of the held-out images"
    return found[1]


def test_same_images_and_draws_are_paired() -> None:
    one, two = ledger(0.1, range(200)), ledger(0.4, range(200))
    found = at_reference(side("A", one), side("B", two))
    assert found.paired
    assert found.why == "same images, same draws"
    assert found.difference.value == pytest.approx(found.rates[1] - found.rates[0])
    assert found.difference.low > 0
    assert (found.images, found.draws) == ((200, 200), (3, 3))
    back = at_reference(side("B", two), side("A", one))
    assert back.difference.value == pytest.approx(-found.difference.value)


def test_shared_images_and_the_first_draws_of_more() -> None:
    one, two = ledger(0.2, range(150)), ledger(0.2, range(50, 200), draws=5)
    found = at_reference(side("A", one), side("B", two))
    assert found.paired
    assert found.why == "100 shared of 150 and 150 images, same draws"
    assert (found.images, found.draws) == ((100, 100), (3, 3))
    assert found.difference.value == 0, "the same flips in the same draws"


def test_other_draws_are_paired_by_image_alone() -> None:
    one, two = ledger(0.2, range(150)), ledger(0.2, range(150), draws=5, seed=1)
    found = at_reference(side("A", one), side("B", two, generate={"test_seed": 6}))
    assert found.paired
    assert found.why == "same images, other draws (test_seed): by image alone"
    assert found.draws == (3, 5)
    assert found.difference.low < 0 < found.difference.high
    assert (
        "(positions)"
        in at_reference(
            side("A", one), side("B", two, generate={"test_seed": 5, "positions": "shared"})
        ).why
    )


def test_other_images_are_not_paired_and_it_says_so() -> None:
    one, two = ledger(0.1, range(150)), ledger(0.4, range(140, 340))
    found = at_reference(side("A", one), side("B", two))
    assert not found.paired
    assert found.why == "other images: 10 shared of 150 and 200 images"
    assert found.images == (150, 200)
    assert found.difference.low > 0


def test_which_models_are_compared() -> None:
    one = ledger(0.1, range(50))
    with pytest.raises(ParameterError, match="A and B: expected models of the same name"):
        compare_sides(side("A", one), side("B", one, "other"))
    single = [Side(name, {name: one}, PARAMS, one_model=True) for name in ("clean", "hard")]
    assert {found.model for found in compare_sides(*single)} == {"clean, hard"}
    whole = Side("A", {"clean": one, "base": one}, {})
    assert {found.model for found in compare_sides(whole, single[0])} == {"clean"}


def test_nothing_in_common_is_an_error() -> None:
    one = ledger(0.1, range(50))
    clean, stuck = one[one["experiment"] == "clean"], one[one["experiment"] == "stuck"]
    with pytest.raises(DataError, match="no experiment that both have run"):
        compare_sides(side("A", clean), side("B", stuck))
