"""The experiments on a model: an entry an experiment, in the order in which they are measured.

An experiment's other two parts are its parameters (a key of the section `evaluate`, of the same
name) and what its readers know of it (`reporting.experiments`).
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.attacks.sparse import worst_changes
from pixelproof.core.pixel_changes import Channels, apply_changes
from pixelproof.data.adversarial_sets import load_adversarial_set
from pixelproof.data.drawn_changes import ChangeSet, draws_name, load_change_set
from pixelproof.evaluation.attacks import ATTACKS
from pixelproof.evaluation.boundary import boundary_distances
from pixelproof.evaluation.measurement import Measurement, Strength, first
from pixelproof.evaluation.named_attacks import measure_named, named_passes
from pixelproof.evaluation.prediction import (
    Int64,
    Predictions,
    Update,
    batches,
    judge_examples,
)
from pixelproof.models.devices import DeviceImages
from pixelproof.models.side_by_side import side_by_side
from pixelproof.params.evaluate import Grid, Worst
from pixelproof.params.named_attacks import NamedAttack
from pixelproof.paths import ADVERSARIAL


@dataclass(frozen=True)
class Experiment:
    """How an experiment is measured.

    Attributes:
        measure: Adds its rows to the ledger, under the name that it is given.
        passes: How many predictions and gradients it takes on images of these rows; None where
            that is not known before, so that no progress is shown.
        of_original: Whether it takes adversarial examples of the model's original. Such an
            experiment is left out where a model is measured alone, as at the gate.
    """

    measure: Callable[[Measurement, str], None]
    passes: Callable[[Measurement, str, Int64], int] | None = None
    of_original: bool = False


def clean(measurement: Measurement, name: str) -> None:
    """The unchanged images, right or wrong."""
    every = np.arange(len(measurement.targets))
    measurement.add(name, every, measurement.unchanged, n=0, draw=0)


def changed(measurement: Measurement, name: str) -> None:
    """Images with pixels changed at random (Tables 6, 7, 8 and 10)."""
    rows = measurement.right
    for grid in _grids(measurement, name):
        stored = draws_name(grid.values, grid.area)
        changes = load_change_set(measurement.draws, stored, measurement.images)
        side = measurement.side if grid.area is None else grid.area
        setting = {"values": grid.values, "area": side}
        for draw in range(measurement.evaluate.draws):
            for n in grid.n:
                judged = measurement.changed(stored, changes, draw, n)
                measurement.add(name, rows, judged, n=n, draw=draw, **setting)


def _grids(measurement: Measurement, name: str) -> list[Grid]:
    return [grid for grid in measurement.grids if grid.experiment == name]


def _changed_passes(measurement: Measurement, name: str, rows: Int64) -> int:
    counts = sum(len(grid.n) for grid in _grids(measurement, name))
    return counts * measurement.evaluate.draws * len(rows)


def _examples(measurement: Measurement) -> tuple[int, Int64, DeviceImages]:
    """The examples that fool the original: epsilon, rows of their images, and themselves."""
    stored = load_adversarial_set(ADVERSARIAL / str(measurement.original))
    row_of = {int(image): row for row, image in enumerate(measurement.images.ids)}
    rows = np.array([row_of[int(image)] for image in stored.ids], dtype=np.int64)
    return stored.epsilon, rows, DeviceImages(stored.examples, measurement.device)


def transfer_fgsm(measurement: Measurement, name: str) -> None:
    """The FGSM examples that fool the model's own original (Table 11)."""
    epsilon, rows, examples = _examples(measurement)
    judged = measurement.predict(examples, measurement.targets[rows])
    measurement.add(name, rows, judged, epsilon=epsilon, steps=1, draw=0)


def adversarial_pixels(measurement: Measurement, name: str) -> None:
    """An original's FGSM examples with pixels changed, given to that original (Table 9)."""
    if measurement.model != measurement.original:
        return
    evaluate, targets = measurement.evaluate, measurement.targets
    epsilon, rows, examples = _examples(measurement)
    stored = load_change_set(measurement.draws, draws_name("full", None), measurement.images)
    changes = ChangeSet(stored.ids[rows], stored.records[rows], stored.sha256)
    setting = {"epsilon": epsilon, "values": "full", "area": measurement.side}
    for draw in range(evaluate.draws):
        for n in evaluate.adversarial_pixels.n if evaluate.adversarial_pixels else ():
            judged = measurement.predict(examples, targets[rows], changes, draw=draw, n=n)
            measurement.add(name, rows, judged, n=n, steps=1, draw=draw, **setting)


def worst(measurement: Measurement, name: str) -> None:
    """The worst n pixels of an image, found by a search that starts from the stored draws.

    The row of an image holds what the model answers under the changes that were found, of at most
    n pixels.
    """
    section: Worst = getattr(measurement.evaluate, name)
    rows, size = first(measurement.right, section.images), measurement.evaluate.batch_size
    measurement.classifier.requires_grad_(False)
    for grid in _grids(measurement, name):
        stored = load_change_set(
            measurement.draws, draws_name(grid.values, grid.area), measurement.images
        )
        search = partial(_search, measurement, section, grid, stored)
        setting = _worst_setting(measurement, section, grid)
        for searched in side_by_side(search, batches(rows, size), measurement.device):
            for n, part, examples, judged in searched:
                measurement.update(section.queries * len(part))
                measurement.add(name, part, judged, n=n, draw=0, **setting)
                measurement.record(name, part, examples, judged, {**setting, "n": n})
        for n in grid.n:
            measurement.record_wrong(name, section.images, {**setting, "n": n})


def _worst_setting(measurement: Measurement, section: Worst, grid: Grid) -> dict[str, Any]:
    """What the ledger holds of a search, but for n."""
    area = grid.area or measurement.side
    return {"steps": section.queries, "values": grid.values, "area": area}


def _search(
    measurement: Measurement, section: Worst, grid: Grid, stored: ChangeSet, part: Int64
) -> list[tuple[int, Int64, Tensor, Predictions]]:
    """Search the worst pixels of a batch of images; n, rows, examples and answers by n."""
    images, targets = measurement.pixels.take(part), measurement.targets[part]
    counts = sorted(grid.n)
    channels: Channels = "first" if stored.channels == 1 else "all"
    searched = []
    for found in worst_changes(
        measurement.classifier,
        images,
        torch.from_numpy(targets).to(images.device),
        measurement.images.ids[part],
        counts,
        PixelBudget(grid.values, grid.area, channels),
        section.queries,
        draws=[stored.take(part, draw, counts[-1]) for draw in range(stored.draws)],
        gradient_steps=section.gradient_steps,
        seed=section.seed,
    ):
        examples = apply_changes(images, found.changes)
        judged = judge_examples(measurement.classifier, examples, targets)
        searched.append((found.n, part, examples, judged))
    return searched


def _worst_passes(measurement: Measurement, name: str, rows: Int64) -> int:
    section: Worst = getattr(measurement.evaluate, name)
    return len(section.n) * section.queries * len(first(rows, section.images))


def boundary(measurement: Measurement, name: str) -> None:
    """How far images lie from the decision boundary (Equations 3 to 6).

    The distance is in the ledger's column `margin`.
    """
    rows = _boundary_rows(measurement, name, measurement.right)
    distances = boundary_distances(
        measurement.classifier,
        measurement.pixels,
        measurement.targets,
        measurement.evaluate.batch_size,
        measurement.update,
        rows,
    )
    judged = Predictions(measurement.unchanged.predicted[rows], distances)
    measurement.add(name, rows, judged, n=0, draw=0)


def _boundary_rows(measurement: Measurement, name: str, rows: Int64) -> Int64:
    return first(rows, getattr(measurement.evaluate, name).images)


def attack(strengths: Callable[[Any], Iterator[Strength]]) -> Experiment:
    """The experiment of an attack on the model itself.

    Args:
        strengths: From the attack's section of the parameters; see `evaluation.attacks`.
    """

    def measure(measurement: Measurement, name: str) -> None:
        for strength in strengths(getattr(measurement.evaluate, name)):
            measurement.attack(name, strength)

    def passes(measurement: Measurement, name: str, rows: Int64) -> int:
        asked = strengths(getattr(measurement.evaluate, name))
        return sum(strength.passes * len(first(rows, strength.images)) for strength in asked)

    return Experiment(measure, passes)


EXPERIMENTS: dict[str, Experiment] = {
    "clean": Experiment(clean, lambda measurement, name, rows: len(measurement.targets)),
    **dict.fromkeys(("pixels", "stuck", "magnitude", "area"), Experiment(changed, _changed_passes)),
    **{name: attack(strengths) for name, strengths in ATTACKS.items()},
    **dict.fromkeys(("worst_pixels", "worst_stuck"), Experiment(worst, _worst_passes)),
    "boundary": Experiment(
        boundary,
        lambda measurement, name, rows: len(_boundary_rows(measurement, name, rows)),
    ),
    "transfer_fgsm": Experiment(transfer_fgsm, of_original=True),
    "adversarial_pixels": Experiment(adversarial_pixels, of_original=True),
}
NAMED = Experiment(  # of an entry of `evaluate.attacks`
    measure_named,
    lambda measurement, name, rows: _named_passes(measurement.evaluate.named_attacks[name], rows),
)


def _named_passes(entry: NamedAttack, rows: Int64) -> int:
    return named_passes(entry) * len(first(rows, entry.images))


def experiment(name: str) -> Experiment:
    """How an experiment is measured: one of the table, else an attack by name."""
    return EXPERIMENTS.get(name, NAMED)


def asked(measurement: Measurement) -> list[str]:
    """The experiments that the parameters ask for, as far as this model can be measured so."""
    names = [
        name
        for name, entry in EXPERIMENTS.items()
        if getattr(measurement.evaluate, name, True)  # `clean` has no key: it is always measured
        and not (entry.of_original and measurement.original is None)
    ]
    return [*names, *measurement.evaluate.named_attacks]


def count_passes(measurement: Measurement, names: Collection[str], rows: Int64) -> int:
    """How many predictions and gradients some experiments take on images of these rows."""
    known = [(name, experiment(name).passes) for name in names]
    return sum(passes(measurement, name, rows) for name, passes in known if passes is not None)


def all_passes(measurement: Measurement, names: Collection[str]) -> int:
    """How many they take where every image is right unchanged: the most that there can be."""
    return count_passes(measurement, names, np.arange(len(measurement.targets)))


def measure(measurement: Measurement, names: Collection[str], update: Update) -> None:
    """Run experiments.

    Args:
        measurement: Of the model; its ledger takes the rows.
        names: Of the experiments, in the order in which they are run.
        update: Called with the number of predictions and gradients done, of `all_passes`.
    """
    measurement.update = update
    wrong = all_passes(measurement, names) - count_passes(measurement, names, measurement.right)
    update(wrong)  # what the images that are wrong unchanged would have taken
    for name in names:
        shown = experiment(name).passes is not None
        measurement.update = update if shown else lambda amount: None
        experiment(name).measure(measurement, name)
