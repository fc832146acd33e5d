"""What is said of a hardened model whose gain and cost are planted."""

import dataclasses
from typing import Any

import pandas as pd
import pytest

from pixelproof.params.models import Model
from pixelproof.params.project import Params, parse_params
from pixelproof.promotion.gate import decide
from pixelproof.reporting.advice import next_steps
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.results import results
from pixelproof.reporting.rows import common_images
from pixelproof.reporting.summary import summary
from pixelproof.reporting.tradeoff import costs, margins
from pixelproof.reporting.verdict import judgements, verdict
from tests.support.planted import DRAWS, SIDE, N, ledger, params

FOOLED = {"whitebox_fgsm": 0.5, "whitebox_iterated": 0.9}


def digest(ledgers: dict[str, pd.DataFrame], settings: Params) -> dict[str, Any]:
    """What the stage compare writes of some ledgers."""
    common = common_images(ledgers)
    found = summary(ledgers, common, settings)
    counts = {"common_images": len(common), "margins": margins(settings)}
    table = results(ledgers, common, SIDE)
    comparison = Comparison(settings, ledgers, common, table, pd.DataFrame(), found)
    for model, cost in costs(comparison).items():
        found["models"][model]["cost"] = cost
    return {**found, **counts}


def planted(flips: float = 0.05, **hard: Any) -> dict[str, pd.DataFrame]:
    """An original and a control that flip at 0.3, and a model that is hardened against that."""
    images = hard.get("images", 300)
    return {
        "base": ledger(0.3, seed=1, images=images),
        "clean": ledger(0.3, seed=2, images=images),
        "hard": ledger(flips, seed=3, **hard),
    }


def test_a_gain_without_a_cost_is_to_be_taken() -> None:
    found = digest(planted(), params())
    said = verdict(found)
    assert said.startswith("Take hard: with 8 stuck pixels (3.1 %), on 300 images, it errs 0.1")
    assert "no measurable cost" in said
    assert "attacks on itself fool it no more often than its original" in said
    commands = [one.command for one in next_steps(found)]
    assert commands[0] == "pixelproof gate --promote"
    assert "artifacts/models/hard" in commands[1]


def test_a_cost_within_the_margins_is_named() -> None:
    said = verdict(digest(planted(fooled={**FOOLED, "whitebox_fgsm": 0.54}), params()))
    assert said.startswith("Take hard: ")
    assert "a single FGSM step of 1/255 on itself fools it 4.0 points more often" in said
    assert "(54.0 % against 50.0 %)" in said
    said = verdict(digest(planted(accuracy=0.99), params()))
    assert said.startswith("Take hard: ")
    assert "99.0 % right (its original 100.0 %, its control 100.0 %), a cost of 1.0 points" in said


@pytest.mark.parametrize(
    ("hard", "words", "command"),
    [
        ({"accuracy": 0.9}, "a cost of 10.0 points", "+finetune.arms.hard.mix=0.5"),
        ({"accuracy": 0.9}, "It costs more than the 3 points of accuracy", "learning_rate"),
        ({"accuracy": 0.98}, "It is not certain that it costs less than the 3 points", "mix"),
        (
            {"fooled": {**FOOLED, "whitebox_fgsm": 0.7}},
            "Attacks fool it more than 10 points more often",
            "gate.attack_margin=0.2",
        ),
        (
            {"fooled": {**FOOLED, "whitebox_fgsm": 0.7}},
            "Attacks fool it more than 10 points more often",
            "+finetune.arms.hard.adversarial={epsilon: 1}",
        ),
        (
            {"fooled": {"whitebox_fgsm": 0.5, "whitebox_iterated": 0.98}},
            "It is not certain that attacks fool it less than 10 points more often",
            "gate.attack_margin=0.2",
        ),
        ({"flips": 0.3}, "There is no certain gain", "evaluate.draws=16"),
        ({"flips": 0.5}, "There is a loss instead of a gain", "dvc add data"),
    ],
)
def test_what_is_beyond_the_margins_is_never_recommended(
    hard: dict[str, Any], words: str, command: str
) -> None:
    settings = params(attack_margin=0.1)
    ledgers = planted(**hard)
    found = digest(ledgers, settings)
    said = verdict(found)
    assert said.startswith("Do not take hard: with 8 stuck pixels")
    assert words in said
    assert any(command in one.command for one in next_steps(found))
    judged = decide(ledgers["hard"], ledgers["base"], ledgers["clean"], settings)
    assert judged.outcome == "REJECTED", "the gate says the same of the same ledgers"


def test_the_margins_are_those_of_the_gate() -> None:
    ledgers = planted(accuracy=0.9)
    assert verdict(digest(ledgers, params(accuracy_margin=0.2))).startswith("Take hard")
    assert verdict(digest(ledgers, params(accuracy_margin=0.1))).startswith("Do not take hard")


def test_too_little_evidence_is_said_to_be() -> None:
    found = digest(planted(images=60), params())
    assert verdict(found).startswith("Too little evidence to take hard: ")
    assert "60 images" in verdict(found)
    assert any("dvc add data" in one.command for one in next_steps(found))
    unattacked = planted(fooled={})
    found = digest(unattacked, params())
    assert "Attacks on the model itself were not measured (`evaluate.whitebox_fgsm`" in verdict(
        found
    )


def test_masked_gradients_stand_against_a_model() -> None:
    found = digest(planted(), params())
    found["models"]["hard"]["masked_gradients"] = ["one thing"]
    assert verdict(found).startswith("Do not take hard")
    assert "gradients look masked" in verdict(found)


def test_without_a_control_there_is_no_answer() -> None:
    settings = dataclasses.replace(
        params(), gate=None, compare=dataclasses.replace(params().compare, control=None)
    )
    arms = {**settings.finetune.arms, "hard": dataclasses.replace(_arm(settings), n=N)}
    settings = dataclasses.replace(
        settings, finetune=dataclasses.replace(settings.finetune, arms=arms)
    )
    found = digest(planted(), settings)
    said = verdict(found)
    assert said.startswith("No answer for hard: ")
    assert "times as often as its original" in said
    assert "without a control nothing says" in said.lower()
    assert any("compare.control" in one.words for one in next_steps(found))


def _arm(settings: Params) -> Any:
    return settings.finetune.arms["hard"]


def test_originals_alone_are_none_to_take() -> None:
    settings = parse_params(
        {
            "select": {"side": SIDE},
            "baselines": {"base": {"classifier": "efficientnet_lite0"}},
            "finetune": {"arms": {}},
            "models": {"base": {"origin": "base"}},
            "evaluate": {"draws": DRAWS, "stuck": {"n": [N]}},
            "compare": {"reference": {"experiment": "stuck", "n": N}, "control": None},
        }
    )
    found = digest({"base": planted()["base"]}, settings)
    assert judgements(found) == []
    assert "base errs on 29.2 [26.7, 31.9] %" in verdict(found)
    assert verdict(found).endswith("No model was hardened, so there is none to take.")
    assert len(next_steps(found)) == 1


def test_the_challenger_comes_first_and_the_others_in_short() -> None:
    content = params()
    arms = dict(content.finetune.arms)
    arms = {"clean": arms["clean"], "first": dataclasses.replace(arms["hard"], n=N), **arms}
    settings = dataclasses.replace(
        content,
        finetune=dataclasses.replace(content.finetune, arms=arms),
        models=dict.fromkeys(("base", "clean", "first", "hard"), Model("base")),
    )
    ledgers = planted(accuracy=0.9)
    ledgers["first"] = ledger(0.1, seed=4)
    found = digest(ledgers, settings)
    assert [one.model for one in judgements(found)] == ["hard", "first"]
    said = verdict(found)
    assert said.startswith("Do not take hard: ")
    assert "Beside it: first −" in said.replace("-", "−")
    assert "points of errors: take. One training seed: this is said of these models" in said
    assert any("gate.challenger=first" in one.command for one in next_steps(found))
