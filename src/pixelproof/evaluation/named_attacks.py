"""Attacks by name on a model: run, looked over, and never believed.

Whatever an attack claims, what counts is the stored uint8 image: whether it lies within the
attack's budget, and what the model answers to it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelproof.core.attacks.apgd import apgd
from pixelproof.core.attacks.carlini_wagner import carlini_wagner
from pixelproof.core.attacks.deepfool import deepfool
from pixelproof.core.attacks.distances import distances, within
from pixelproof.core.attacks.fab import fab
from pixelproof.core.attacks.fgsm import fgsm
from pixelproof.core.attacks.integer_grid import to_integers
from pixelproof.core.attacks.iterated_fgsm import iterated_fgsm
from pixelproof.core.attacks.jsma import jsma
from pixelproof.core.attacks.one_pixel import one_pixel
from pixelproof.core.attacks.pgd import pgd
from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.attacks.sparse import worst_changes
from pixelproof.core.attacks.square import square_attack
from pixelproof.core.counter_random import UInt64
from pixelproof.core.pixel_changes import apply_changes
from pixelproof.errors import PixelproofError
from pixelproof.evaluation.measurement import Measurement, first
from pixelproof.evaluation.prediction import Attack, Int64, judge_examples, without_ids
from pixelproof.evaluation.trained_attacks import trained_attack
from pixelproof.models.classifier import Classifier
from pixelproof.params.named_attacks import TRAINED, NamedAttack


def _random(attack: Callable[..., Tensor], *keys: str, **setting: Any) -> "Maker":
    """Of an attack that draws at random and takes some keys of its entry."""
    return lambda entry: partial(
        attack,
        seed=entry.seed,
        **{key: entry.number(key) for key in keys},
        **_budget(entry, setting),
    )


def _plain(attack: Callable[..., Tensor], *keys: str) -> "Maker":
    """Of an attack that draws nothing at random."""
    return lambda entry: without_ids(
        attack, **{key: entry.number(key) for key in keys}, **_budget(entry, {})
    )


def _nearest(attack: Callable[..., Tensor]) -> "Maker":
    """Of an attack that knows no budget and goes no further than it must."""
    return lambda entry: without_ids(attack, steps=entry.number("steps"))


def _budget(entry: NamedAttack, setting: dict[str, Any]) -> dict[str, Any]:
    return {"n" if entry.kind.norm == "l0" else "epsilon": entry.budget, **setting}


def _sparse(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    *,
    n: int,
    queries: int,
    seed: int,
) -> Tensor:
    """The random search of Sparse-RS, by scores alone."""
    budget = PixelBudget("full")
    search = worst_changes(
        model, images, labels, image_ids, [n], budget, queries, gradient_steps=0, seed=seed
    )
    return apply_changes(images, next(search).changes)


Maker = Callable[[NamedAttack], Attack]
ATTACKS: dict[str, Maker] = {
    "fgsm": _plain(fgsm),
    "bim": _plain(iterated_fgsm, "steps"),
    "pgd": _random(pgd, "steps", "restarts"),
    "square": _random(square_attack, "queries"),
    "sparse": _random(_sparse, "queries"),
    "deepfool": _nearest(deepfool),
    "cw": _nearest(carlini_wagner),
    "jsma": _plain(jsma),
    "one_pixel": _random(one_pixel, "queries"),
    "apgd_ce": _random(apgd, "steps", "restarts", loss="ce"),
    "apgd_dlr": _random(apgd, "steps", "restarts", loss="dlr"),
    "fab": _random(fab, "steps", "restarts"),
}


class _OutOfTimeError(Exception):
    """An attack asked the model after its time limit."""


@contextmanager
def _until(classifier: Classifier, deadline: float) -> Iterator[None]:
    """Let the model answer until then; an attack that goes on ends at its next question."""

    def check(*asked: object) -> None:
        if time.monotonic() > deadline:
            raise _OutOfTimeError

    hook = classifier.register_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()


@dataclass(frozen=True)
class _Found:
    """What an attack found for a batch of images.

    Attributes:
        examples: (B, 3, H, W) uint8; the image itself where the attack left its budget.
        as_floats: (B,) whether what it found fools within the budget before it is rounded; None
            where it was whole numbers already.
        outside: (B,) whether it left its budget, or returned what is no image.
    """

    examples: Tensor
    as_floats: Tensor | None
    outside: Tensor


def measure_named(measurement: Measurement, name: str) -> None:
    """Attack a model by an entry of `evaluate.attacks`, batch by batch.

    A batch in which the attack raises an error, or which it does not end in time, counts as not
    attacked.
    """
    entry = measurement.evaluate.named_attacks[name]
    records, size = measurement.attacks, measurement.evaluate.batch_size
    setting = {
        "epsilon": entry.epsilon,
        "steps": entry.counted,
        "n": entry.n,
    }
    measurement.classifier.requires_grad_(False)
    scope = first(np.arange(len(measurement.targets)), entry.images)
    make = cache(partial(_make, measurement, name))
    deadline = time.monotonic() + (entry.seconds or float("inf"))
    for start in range(0, len(scope), size):
        batch = scope[start : start + size]
        rows = batch[np.isin(batch, measurement.right)]
        problem = _attempt(measurement, name, make, rows, setting, deadline)
        measurement.update(named_passes(entry) * len(rows))
        if problem:
            records.problems.setdefault(name, problem)
            records.add(name, measurement.names[batch], "not attacked", setting)
        else:
            wrong = batch[~np.isin(batch, rows)]
            records.add(name, measurement.names[wrong], "wrong unchanged", setting)


def named_passes(entry: NamedAttack) -> int:
    """About how many predictions and gradients an attack takes an image."""
    if entry.attack in TRAINED:
        return 1  # of the steps of its training there are as many for one image as for all
    return (entry.counted or 1) * entry.kind.defaults.get("restarts", 1)


def _attempt(
    measurement: Measurement,
    name: str,
    make: Callable[[], Attack],
    rows: Int64,
    setting: dict[str, Any],
    deadline: float,
) -> str:
    """Attack some images and add what came of it; returns what went wrong, in words."""
    entry = measurement.evaluate.named_attacks[name]
    if not len(rows):
        return ""
    images, classifier = measurement.pixels.take(rows), measurement.classifier
    try:
        with _until(classifier, deadline):
            found = _run(measurement, entry, make(), images, rows)
    except _OutOfTimeError:
        return f"its {entry.seconds:g} seconds were over"
    except (PixelproofError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    judged = judge_examples(classifier, found.examples, measurement.targets[rows])
    measurement.add(name, rows, judged, draw=0, **setting)
    fooled = judged.predicted != measurement.targets[rows]
    outcome = np.where(found.outside.cpu().numpy(), "outside its budget", "attacked")
    measurement.attacks.add(
        name,
        measurement.names[rows],
        outcome.astype(object),
        setting,
        fooled=fooled,
        fooled_as_floats=fooled if found.as_floats is None else found.as_floats.cpu().numpy(),
        far=distances(images, found.examples),
    )
    return ""


def _make(measurement: Measurement, name: str) -> Attack:
    """The attack of an entry; one that must be trained is trained now."""
    entry = measurement.evaluate.named_attacks[name]
    if entry.attack in TRAINED:
        return trained_attack(measurement, name)
    return ATTACKS[entry.attack](entry)


def _run(
    measurement: Measurement, entry: NamedAttack, attack: Attack, images: Tensor, rows: Int64
) -> _Found:
    """Run an attack on a batch of images, and look over what it returns.

    Raises:
        ValueError: It returns something else than an example for each image.
    """
    classifier, norm, budget = measurement.classifier, entry.kind.norm, entry.budget
    labels = torch.from_numpy(measurement.targets[rows]).to(images.device)
    examples = attack(classifier, images.clone(), labels, measurement.images.ids[rows])
    if examples.shape != images.shape or not (
        examples.is_floating_point() or examples.dtype == torch.uint8
    ):
        got = f"{tuple(examples.shape)} {examples.dtype}"
        raise ValueError(f"expected {tuple(images.shape)} uint8 or floats, got {got}")
    valid = torch.ones(len(rows), dtype=torch.bool, device=images.device)
    stored, as_floats = examples, None
    if examples.is_floating_point():
        valid = ((examples >= 0) & (examples <= 1)).flatten(1).all(dim=1)  # not so for NaN
        stored, as_floats = to_integers(classifier, images, labels, examples, norm, budget)
    inside = valid & within(images, stored, norm, budget)
    kept = torch.where(inside[:, None, None, None], stored, images)
    return _Found(kept, as_floats, ~inside)
