"""Arms that differ in their seed alone are one method, and only then is a method spoken of."""

import dataclasses
from typing import Any

import pandas as pd
import pytest

from pixelproof.params.models import Model
from pixelproof.params.project import Params
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.repetitions import method_words, methods, repeated
from pixelproof.reporting.results import results
from pixelproof.reporting.rows import common_images
from tests.support.planted import DRAWS, IMAGES, SIDE, N, ledger, params

RATES = {"base": 0.3, "clean": 0.3, "clean-2": 0.2, "hard": 0.12, "hard-2": 0.04, "alone": 0.01}


def settings(**seeds: int) -> Params:
    """Arms by name; those whose name ends in -2 repeat another with a seed of their own."""
    content = params()
    clean = content.finetune.arms["clean"]
    hard = dataclasses.replace(content.finetune.arms["hard"], n=N, values="stuck")
    arms = {
        "clean": clean,
        "clean-2": dataclasses.replace(clean, seed=seeds.get("clean", 2)),
        "hard": hard,
        "hard-2": dataclasses.replace(hard, seed=seeds.get("hard", 2)),
        "alone": dataclasses.replace(hard, n=4),
    }
    return dataclasses.replace(
        content,
        finetune=dataclasses.replace(content.finetune, arms=arms),
        models=dict.fromkeys(RATES, Model("base")),
    )


def compared(settings: Params) -> Comparison:
    ledgers = {name: ledger(rate, seed=at) for at, (name, rate) in enumerate(RATES.items())}
    ledgers["hard-2"] = ledger(RATES["hard-2"], seed=9, accuracy=0.9)
    common = common_images(ledgers)
    digest: dict[str, Any] = {"reference": {"n": N, "area": SIDE, "values": "stuck"}}
    table = results(ledgers, common, SIDE)
    return Comparison(settings, ledgers, common, table, pd.DataFrame(), digest)


def test_a_method_is_compared_with_its_control_seed_by_seed() -> None:
    comparison = compared(settings())
    found = methods(comparison)
    assert list(found) == ["hard"], "the control is no method, and one model is none"
    method = found["hard"]
    rates = {name: comparison.at_reference(name).mean() for name in RATES}
    assert method["seeds"] == [1, 2]
    assert (method["arms"], method["draws"]) == (["hard", "hard-2"], DRAWS)
    by_seed = [rates["hard"] - rates["clean"], rates["hard-2"] - rates["clean-2"]]
    assert method["differences"] == pytest.approx(by_seed)
    assert method["difference"] == pytest.approx(sum(by_seed) / 2)
    assert method["low"] < min(by_seed) < max(by_seed) < method["high"], "two seeds say little"
    ratios = [rates["hard"] / rates["clean"], rates["hard-2"] / rates["clean-2"]]
    assert method["ratios"] == pytest.approx(ratios)
    assert method["accuracy"]["difference"] == pytest.approx(-0.1 / 2)
    (words,) = method_words({**comparison.summary, "methods": found})
    assert words.startswith(
        "Over 2 training seeds, with 8 stuck pixels (3.1 %), the method of hard"
    )
    assert f"({min(ratios):.2f} to {max(ratios):.2f} by seed)" in words


def test_without_a_repeated_control_there_is_nothing_to_compare_with() -> None:
    assert methods(compared(settings(clean=3))) == {}
    assert method_words({}) == []


def test_a_seed_of_its_own_that_is_the_shared_one_repeats_nothing() -> None:
    assert list(repeated(settings(hard=1, clean=1))) == []


def test_each_image_counts_once() -> None:
    assert methods(compared(settings()))["hard"]["images"] < IMAGES
