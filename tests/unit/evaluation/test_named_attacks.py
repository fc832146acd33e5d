"""Attacks that do what they must not: what counts is the stored image, and what was reached."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from pixelproof.data.image_set import ImageSet
from pixelproof.errors import NumericalError
from pixelproof.evaluation import named_attacks
from pixelproof.evaluation.attack_records import read_attacks
from pixelproof.evaluation.experiments import all_passes, asked, measure
from pixelproof.evaluation.ledger import LedgerWriter, read_ledger
from pixelproof.evaluation.measurement import Measurement
from pixelproof.evaluation.prediction import Attack
from pixelproof.models.classifier import Classifier
from pixelproof.params.evaluate import Evaluate
from pixelproof.params.named_attacks import KINDS, TRAINED, KindName, NamedAttack
from tests.support.waiting import busy

SIDE, COUNT, WRONG = 4, 10, 3  # of the images, the fourth is wrong unchanged
ENTRY = NamedAttack(attack="fgsm", epsilon=3)
Run = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]


class Bright(nn.Module):
    """Says 1 where the first value is above the middle; a steep slope, so that few units fool."""

    def forward(self, images: Tensor) -> Tensor:
        lead = images[:, 0, 0, 0] + 1e-3 * images.flatten(1).mean(dim=1)
        return torch.stack([-lead, lead], dim=1)


def measurement(entry: NamedAttack = ENTRY, networks: Path = Path()) -> Measurement:
    """Images just below the threshold of a model, which one step up fools."""
    classifier = Classifier(Bright(), "bright", ("a", "b"), (0.5,) * 3, (1.0,) * 3, {}).eval()
    pixels = np.full((COUNT, 3, SIDE, SIDE), 126, np.uint8)
    pixels[WRONG, 0, 0, 0] = 200
    labels, ids = np.zeros(COUNT, np.int64), np.arange(COUNT, dtype=np.uint64)
    names = tuple(f"a/{at}" for at in range(COUNT))
    images = ImageSet(ids, labels, pixels, ("a", "b"), names, "held_out")
    evaluate = Evaluate(attacks={"it": entry}, batch_size=4, transfer_fgsm=False)
    ledger = LedgerWriter(("a", "b"))
    device = torch.device("cpu")
    return Measurement(
        evaluate,
        "model",
        classifier,
        device,
        ledger,
        images,
        "held_out",
        Path(),
        [],
        trained_on=lambda: images,
        networks=networks,
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Measure a model by a planted attack; returns the ledger's rows of it, and the records."""

    def measured(attack: Attack, entry: NamedAttack = ENTRY) -> tuple[pd.DataFrame, pd.DataFrame]:
        monkeypatch.setitem(named_attacks.ATTACKS, "fgsm", lambda entry: attack)
        model, done = measurement(entry), [0]
        names = asked(model)
        assert names == ["clean", "fgsm:it"]
        measure(model, names, lambda count: done.append(done[-1] + count))
        assert done[-1] == all_passes(model, names)
        model.ledger.write(tmp_path / "ledger", {})
        model.attacks.write(tmp_path / "attacks")
        ledger = read_ledger(tmp_path / "ledger")
        return ledger[ledger["experiment"] == "fgsm:it"], read_attacks(tmp_path / "attacks")

    yield measured


def up(model: Classifier, images: Tensor, labels: Tensor, ids: Any, by: int = 3) -> Tensor:
    return (images.int() + by).to(torch.uint8)


def test_each_kind_has_its_two_parts() -> None:
    assert set(KINDS) == {*named_attacks.ATTACKS, *TRAINED} == set(get_args(KindName))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_runs_by_its_name_and_keeps_its_budget(kind: Any, tmp_path: Path) -> None:
    budget = {"n": 2} if KINDS[kind].norm == "l0" else {"epsilon": 60}
    few = {"queries": 40} if "queries" in KINDS[kind].defaults else {}
    model = measurement(NamedAttack(attack=kind, images=6, **budget, **few), tmp_path)
    measure(model, asked(model), lambda count: None)
    (whole,) = [pd.concat(model.attacks._parts)]
    assert list(whole["outcome"].value_counts()[["attacked", "wrong unchanged"]]) == [5, 1]
    assert whole["fooled"].sum() == whole["fooled_as_floats"].sum()
    assert whole["fooled"].sum() >= 4, "all images are near the boundary"
    assert [path.name for path in tmp_path.iterdir()] == ["it.safetensors"] * (kind in TRAINED)


def test_one_that_is_trained_needs_training_images(tmp_path: Path) -> None:
    model = measurement(NamedAttack(attack="atn", epsilon=60), tmp_path)
    model.trained_on = None
    measure(model, asked(model), lambda count: None)
    assert "expected training images" in model.attacks.problems["atn:it"]
    assert set(pd.concat(model.attacks._parts)["outcome"]) == {"not attacked"}


def test_what_fools_within_the_budget_counts(run: Run) -> None:
    ledger, records = run(up)
    assert list(ledger["prediction"]) == ["b"] * (COUNT - 1)
    assert records["outcome"].value_counts().to_dict() == {"attacked": 9, "wrong unchanged": 1}
    fooled = records[records["outcome"] == "attacked"]
    assert fooled["fooled"].all()
    assert set(fooled["l0"]) == {SIDE**2}
    assert set(fooled["l2"]) == {3 * (3 * SIDE**2) ** 0.5}
    assert set(fooled["linf"]) == {3}
    assert records.attrs["problems"] == {}


def test_an_example_outside_the_budget_is_a_failure(run: Run) -> None:
    ledger, records = run(partial(up, by=4))
    assert list(ledger["prediction"]) == ["a"] * (COUNT - 1)
    assert records["outcome"].value_counts()["outside its budget"] == COUNT - 1
    assert not records["fooled"].fillna(False).any()
    assert not records["fooled_as_floats"].fillna(False).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.01, -0.01])
def test_an_example_that_is_no_image_is_a_failure(run: Run, value: float) -> None:
    def broken(model: Classifier, images: Tensor, labels: Tensor, ids: Any) -> Tensor:
        examples = (images + 3) / 255
        examples[:, 2, 1, 1] = value
        return examples

    ledger, records = run(broken)
    assert list(ledger["prediction"]) == ["a"] * (COUNT - 1)
    assert records["outcome"].value_counts()["outside its budget"] == COUNT - 1


class Between(nn.Module):
    """Says 1 where the first value is near 126.5, which no whole number is."""

    def forward(self, images: Tensor) -> Tensor:
        lead = 0.2 - ((images[:, 0, 0, 0] + 0.5) * 255 - 126.5).abs()
        return torch.stack([-lead, lead], dim=1)


def test_floats_that_fool_are_told_from_images_that_do() -> None:
    def half(model: Classifier, images: Tensor, labels: Tensor, ids: Any) -> Tensor:
        examples = images / 255
        examples[:, 0, 0, 0] += 0.5 / 255
        return examples

    model = measurement()
    model.classifier.network = Between().eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(named_attacks.ATTACKS, "fgsm", lambda entry: half)
        measure(model, asked(model), lambda count: None)
    records = pd.concat(model.attacks._parts)
    assert records["fooled_as_floats"].sum() == COUNT - 1, "but for the bright image, which stays"
    assert records["fooled"].sum() == 0


@pytest.mark.parametrize("wrong", [lambda images: images[:1], lambda images: images.int()])
def test_something_else_than_examples_is_a_problem(
    run: Run, wrong: Callable[[Tensor], Tensor]
) -> None:
    ledger, records = run(lambda model, images, labels, ids: wrong(images))
    assert ledger.empty
    assert set(records["outcome"]) == {"not attacked"}
    assert (
        "ValueError: expected (3, 3, 4, 4) uint8 or floats" in records.attrs["problems"]["fgsm:it"]
    )


def test_an_attack_that_raises_costs_its_batch(run: Run) -> None:
    def raises(model: Classifier, images: Tensor, labels: Tensor, ids: Any) -> Tensor:
        if 0 in ids:
            raise RuntimeError("of its\nown")
        return up(model, images, labels, ids)

    ledger, records = run(raises)
    assert len(ledger) == COUNT - 4
    outcomes = records["outcome"].value_counts().to_dict()
    assert outcomes == {"attacked": COUNT - 4, "not attacked": 4}, "the wrong one was among them"
    assert records.attrs["problems"] == {"fgsm:it": "RuntimeError: of its own"}


def test_our_own_errors_pass(run: Run) -> None:
    def raises(*given: object) -> Tensor:
        raise NumericalError("logits")

    with pytest.raises(NumericalError):
        run(raises)


def test_an_attack_that_never_ends_is_stopped(run: Run) -> None:
    def endless(model: Classifier, images: Tensor, labels: Tensor, ids: Any) -> Tensor:
        while 0 not in ids:
            model(images)
        return up(model, images, labels, ids)

    began = time.monotonic()
    ledger, records = run(endless, NamedAttack(attack="fgsm", epsilon=3, seconds=0.5))
    assert 0.4 < time.monotonic() - began < 20 * busy()
    assert len(ledger) == 3
    outcomes = records["outcome"].value_counts().to_dict()
    assert outcomes == {"attacked": 3, "wrong unchanged": 1, "not attacked": COUNT - 4}
    assert records.attrs["problems"] == {"fgsm:it": "its 0.5 seconds were over"}
