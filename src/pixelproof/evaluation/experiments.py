"""The experiments on a model: each prediction is a row of its ledger."""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelproof.core.attacks.fgsm import fgsm, iterated_fgsm
from pixelproof.core.attacks.square import square_attack
from pixelproof.data.adversarial_sets import load_adversarial_set
from pixelproof.data.drawn_changes import ChangeSet, draws_name, load_change_set
from pixelproof.data.image_set import ImageSet, hex_id
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.evaluation.prediction import (
    Attack,
    Int64,
    Predictions,
    Update,
    attack_batches,
    boundary_distances,
    predict,
)
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.params.evaluate import Evaluate, Grid
from pixelproof.paths import ADVERSARIAL, CHANGES


@dataclass
class Evaluation:
    """A model, the images of a split and their side, and the ledger that fills."""

    evaluate: Evaluate
    side: int
    classifier: Classifier
    images: ImageSet
    split: str
    device: torch.device
    ledger: LedgerWriter
    update: Update

    def __post_init__(self) -> None:
        """Bring the images to the classifier, name them and find the index of each true class."""
        self.pixels = DeviceImages(self.images.pixels, self.device)
        self.targets: Int64 = self.classifier.targets(self.images.classes).numpy()[
            self.images.labels
        ]
        self.names = np.array([hex_id(int(one)) for one in self.images.ids], dtype=object)
        self.labels = np.array(self.images.classes, dtype=object)[self.images.labels]

    def add(self, experiment: str, rows: Int64, judged: Predictions, **setting: Any) -> None:
        """Put the predictions for some images into the ledger."""
        self.ledger.add(
            experiment,
            self.names[rows],
            self.labels[rows],
            judged.predicted,
            judged.margin,
            split=self.split,
            **setting,
        )

    def measure(self, folder: Path, grids: list[Grid]) -> None:
        """Run what every model is measured by: unchanged, changed at random, attacked itself.

        Args:
            folder: The stored draws for the images.
            grids: Which of them.
        """
        every = np.arange(len(self.targets))
        planned = count_passes(self.evaluate, grids, every)
        clean, right = self.clean()
        self.update(planned - count_passes(self.evaluate, grids, right))
        self.changed(folder, grids, right)
        self.whitebox(right)
        self.gradient_free(right)
        self.boundary(clean, right)

    def clean(self) -> tuple[Predictions, Int64]:
        """Predict the unchanged images; returns also the rows of those that are right."""
        judged = self._predict(self.pixels, self.targets)
        self.add("clean", np.arange(len(self.targets)), judged, n=0, draw=0)
        return judged, np.flatnonzero(judged.predicted == self.targets)

    def changed(self, folder: Path, grids: list[Grid], right: Int64) -> None:
        """Predict images with pixels changed at random (Tables 6, 7, 8 and 10).

        An image that is wrong unchanged is in no common set, so it is left out.
        """
        for grid in grids:
            changes = load_change_set(folder, draws_name(grid.values, grid.area), self.images)
            side = self.side if grid.area is None else grid.area
            setting = {"values": grid.values, "area": side}
            for draw in range(self.evaluate.draws):
                for n in grid.n:
                    judged = self._predict(self.pixels, self.targets, changes, right, draw, n)
                    self.add(grid.experiment, right, judged, n=n, draw=draw, **setting)

    def _predict(
        self,
        images: DeviceImages,
        targets: Int64,
        changes: ChangeSet | None = None,
        rows: Int64 | None = None,
        draw: int = 0,
        n: int = 0,
    ) -> Predictions:
        size = self.evaluate.batch_size
        return predict(self.classifier, images, targets, size, self.update, changes, rows, draw, n)

    def _adversarial(self, origin: str) -> tuple[int, Int64, DeviceImages]:
        """The examples that fool an original: epsilon, rows of their images, and themselves."""
        stored = load_adversarial_set(ADVERSARIAL / origin)
        row_of = {int(one): row for row, one in enumerate(self.images.ids)}
        rows = np.array([row_of[int(one)] for one in stored.ids], dtype=np.int64)
        return stored.epsilon, rows, DeviceImages(stored.examples, self.device)

    def transfer_fgsm(self, origin: str) -> None:
        """Predict the FGSM examples that fool the model's own original (Table 11)."""
        epsilon, rows, examples = self._adversarial(origin)
        judged = self._predict(examples, self.targets[rows])
        self.add("transfer_fgsm", rows, judged, epsilon=epsilon, steps=1, draw=0)

    def adversarial_pixels(self, origin: str) -> None:
        """Change pixels of the examples that fool an original, and ask it again (Table 9)."""
        epsilon, rows, examples = self._adversarial(origin)
        stored = load_change_set(CHANGES / "test", draws_name("full", None), self.images)
        changes = ChangeSet(stored.ids[rows], stored.records[rows], stored.sha256)
        setting = {"epsilon": epsilon, "values": "full", "area": self.side}
        asked = self.evaluate.adversarial_pixels
        for draw in range(self.evaluate.draws):
            for n in asked.n if asked else ():
                judged = self._predict(examples, self.targets[rows], changes, draw=draw, n=n)
                self.add("adversarial_pixels", rows, judged, n=n, steps=1, draw=draw, **setting)

    def whitebox(self, right: Int64) -> None:
        """Attack the model itself: an example that fools its original proves little."""
        evaluate = self.evaluate
        if evaluate.whitebox_fgsm:
            for epsilon in evaluate.whitebox_fgsm.epsilon:
                self._attack("whitebox_fgsm", partial(fgsm, epsilon=epsilon), right, epsilon, 1)
        iterated = evaluate.whitebox_iterated
        if iterated:
            rows = _first(right, iterated.images)
            for epsilon, steps in product(iterated.epsilon, iterated.steps):
                attack = partial(iterated_fgsm, epsilon=epsilon, steps=steps)
                self._attack("whitebox_iterated", attack, rows, epsilon, steps)

    def gradient_free(self, right: Int64) -> None:
        """Attack the model by its answers alone: a gradient that is hidden protects no model."""
        chosen, size = self.evaluate.gradient_free, self.evaluate.batch_size
        if chosen:
            rows, queries = _first(right, chosen.images), chosen.queries
            for epsilon in chosen.epsilon:
                for start in range(0, len(rows), size):
                    part = rows[start : start + size]
                    attack = partial(
                        square_attack,
                        image_ids=self.images.ids[part],
                        epsilon=epsilon,
                        queries=queries,
                        seed=chosen.seed,
                    )
                    self._attack("gradient_free", attack, part, epsilon, queries)

    def _attack(self, name: str, attack: Attack, rows: Int64, epsilon: int, steps: int) -> None:
        size = self.evaluate.batch_size
        update = self.update
        for part, _, judged in attack_batches(
            self.classifier,
            self.pixels,
            self.targets,
            attack,
            size,
            lambda amount: update(amount * steps),
            rows,
        ):
            self.add(name, part, judged, epsilon=epsilon, steps=steps, draw=0)

    def boundary(self, clean: Predictions, right: Int64) -> None:
        """Measure how far images lie from the decision boundary (Equations 3 to 6).

        The distance stands in the ledger's column `margin`.
        """
        boundary, size = self.evaluate.boundary, self.evaluate.batch_size
        if boundary:
            rows = _first(right, boundary.images)
            distances = boundary_distances(
                self.classifier, self.pixels, self.targets, size, self.update, rows
            )
            judged = Predictions(clean.predicted[rows], distances)
            self.add("boundary", rows, judged, n=0, draw=0)


def _first(rows: Int64, images: int | None) -> Int64:
    """Those of the rows that are among the first images, which every model shares.

    Images stand in the order of their ids, hashes of their content: the first are a random choice.
    """
    return rows if images is None else rows[rows < images]


def count_passes(evaluate: Evaluate, grids: list[Grid], rows: Int64) -> int:
    """How many predictions and gradients the experiments on these images take."""
    count = sum(len(grid.n) for grid in grids) * evaluate.draws * len(rows)
    if evaluate.whitebox_fgsm:
        count += len(evaluate.whitebox_fgsm.epsilon) * len(rows)
    iterated = evaluate.whitebox_iterated
    if iterated:
        attacked = len(_first(rows, iterated.images))
        count += len(iterated.epsilon) * sum(iterated.steps) * attacked
    free = evaluate.gradient_free
    if free:
        count += len(free.epsilon) * free.queries * len(_first(rows, free.images))
    if evaluate.boundary:
        count += len(_first(rows, evaluate.boundary.images))
    return count
