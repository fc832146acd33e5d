"""Which of several planted tries the rule chooses, and what it does not compare."""

import copy
from typing import Any

import pytest

from pixelproof.errors import DataError
from pixelproof.reporting.choice import Try, choose, in_short, rows

ALLOWED = {"accuracy": 0.03, "attack": 0.1, "images": 100}


def planted(name: str, rate: float, gain: float, attack: float = -0.2, **more: Any) -> Try:
    """A try on a control that errs on 6 % and an original that is right on 90 %."""
    cost = {
        "accuracy": {"versus_baseline": {"difference": gain}},
        "attacks": {
            "mild": {"experiment": "whitebox_fgsm", "difference": -0.5},
            "strong": {"experiment": "whitebox_iterated", "difference": attack},
        },
    }
    figures = {
        "error_rate": {"value": rate},
        "clean_accuracy": {"value": 0.9 + gain},
        "cost": cost,
        "masked_gradients": False,
    }
    summary = {
        "models": {"clean": {"error_rate": {"value": 0.06}}, "hard": {**figures, **more}},
        "control": "clean",
        "validation": 0.3,
        "reference": {"n": 256},
        "margins": ALLOWED,
        "common_images": 300,
        "made_from": {"data": {"content": "a"}},
    }
    return Try(name, "hard", {"n": 256, "adversarial": {"share": 0.1}}, summary)


def test_the_most_accurate_of_those_that_nothing_rules_out() -> None:
    tries = [
        planted("weak", 0.021, 0.02),
        planted("costly", 0.001, -0.03),
        planted("fooled", 0.001, 0.03, attack=0.1),
        planted("masked", 0.001, 0.03, masked_gradients=True),
        planted("good", 0.015, -0.01),
        planted("better", 0.018, 0.0),
        planted("equal", 0.017, 0.0),
    ]
    chosen = choose(tries)
    assert chosen is tries[-1], "as accurate as another, with fewer errors"
    said = {line[0]: line[-1] for line in rows(tries, chosen)[1:]}
    assert said == {
        "weak": "errs more than a third as often as the control",
        "costly": "costs 3 points of accuracy or more",
        "fooled": "an attack fools it 10 points or more above its original",
        "masked": "its gradients look masked",
        "good": "",
        "better": "",
        "equal": "chosen",
    }
    assert choose(tries[:4]) is None
    assert rows(tries, None)[1][1] == "{n: 256, adversarial: {share: 0.1}}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"validation": None}, "got one on the held-out images; set select.validation"),
        ({"validation": 0.2}, "expected the validation of first"),
        ({"reference": {"n": 64}}, "expected the reference of first"),
        ({"made_from": {"data": {"content": "b"}}}, "expected the images of first, got others"),
        ({"common_images": 99}, "expected at least 100 images .* got 99; raise select.validation"),
        ({"control": None}, "expected a control"),
        ({"models": {}}, "expected figures of the arm hard"),
    ],
)
def test_what_is_not_of_one_search_is_refused(change: dict[str, Any], words: str) -> None:
    first, other = planted("first", 0.01, 0.0), planted("other", 0.01, 0.0)
    summary = {**copy.deepcopy(dict(other.summary)), **change}
    with pytest.raises(DataError, match=f"other: .*{words}"):
        choose([first, Try("other", "hard", {}, summary)])


def test_what_was_not_attacked_is_not_chosen() -> None:
    one = planted("one", 0.01, 0.0)
    summary = copy.deepcopy(dict(one.summary))
    del summary["models"]["hard"]["cost"]["attacks"]["strong"]
    with pytest.raises(DataError, match=r"one: expected evaluate\.whitebox_iterated"):
        choose([Try("one", "hard", {}, summary)])
    assert in_short({"area": None, "n": 4}) == "{area: null, n: 4}"


def test_a_third_exactly_is_no_more_than_a_third() -> None:
    one = planted("one", 19 / 1540, 0.0)
    summary = copy.deepcopy(dict(one.summary))
    summary["models"]["clean"]["error_rate"]["value"] = 57 / 1540
    third = Try("one", "hard", {}, summary)
    assert choose([third]) is third


def test_a_control_without_errors_leaves_nothing_to_choose_by() -> None:
    one = planted("one", 0.0, 0.0)
    summary = copy.deepcopy(dict(one.summary))
    summary["models"]["clean"]["error_rate"]["value"] = 0.0
    assert choose([Try("one", "hard", {}, summary)]) is None
