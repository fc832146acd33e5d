"""A model under measurement: each prediction becomes a row of its ledger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelproof.core.attacks.distances import distances
from pixelproof.core.pixel_changes import apply_in_place
from pixelproof.data.drawn_changes import ChangeSet
from pixelproof.data.image_set import ImageSet, UInt8, hex_id
from pixelproof.evaluation.attack_records import AttackRecords
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.evaluation.prediction import (
    Attack,
    Int64,
    Predictions,
    Update,
    attack_batches,
    predict,
)
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.models.engines import CHECKED, use_engine
from pixelproof.params.evaluate import Evaluate, Grid
from pixelproof.paths import NETWORKS


@dataclass(frozen=True)
class Strength:
    """An attack at one strength.

    Attributes:
        examples: Makes the examples.
        setting: What the ledger holds of it: epsilon, steps, n, values, area, as they apply.
        passes: How many predictions and gradients it takes an image.
        images: At most so many of the held-out images; None is all.
        lent: Makes examples that other models are shown; None where `examples` does.
    """

    examples: Attack
    setting: dict[str, Any]
    passes: int = 1
    images: int | None = None
    lent: Attack | None = None


@dataclass(frozen=True)
class Examples:
    """Adversarial examples that were made from a model.

    Attributes:
        setting: What the ledger holds of the attack.
        rows: (N,) of their images.
        pixels: (N, 3, H, W) uint8.
    """

    setting: Mapping[str, Any]
    rows: Int64
    pixels: UInt8


@dataclass
class Measurement:
    """A model, the images of a split, and the ledger that is filled.

    Attributes:
        evaluate: The section of the parameters.
        model: The model's name.
        classifier: In eval mode.
        device: Where the classifier is.
        ledger: Takes the rows.
        images: Of one split.
        split: Its name.
        draws: The folder of the stored draws for these images.
        grids: Which of the draws are applied.
        original: The original whose FGSM examples it is measured on; None where there are none.
        update: Called with the number of predictions and gradients done.
        attacks: Takes what attacks on the model itself did to each image.
        trained_on: Opens the training images, for an attack that is trained first; None where there
            are none.
        networks: The folder where such an attack is stored.
        keep: Of which attacks the examples are kept, and of how many of the first images.
        kept: Those examples, by attack.
    """

    evaluate: Evaluate
    model: str
    classifier: Classifier
    device: torch.device
    ledger: LedgerWriter
    images: ImageSet
    split: str
    draws: Path
    grids: list[Grid]
    original: str | None = None
    update: Update = field(default=lambda amount: None)
    attacks: AttackRecords = field(default_factory=AttackRecords)
    trained_on: Callable[[], ImageSet] | None = None
    networks: Path = NETWORKS
    keep: Mapping[str, int] = field(default_factory=dict)
    kept: dict[str, list[Examples]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring the images to the device, name them and find the index of each true class."""
        self._answered: dict[tuple[str, int, int], Predictions] = {}
        self.pixels = DeviceImages(self.images.pixels, self.device)
        some = self.pixels.take(np.arange(len(self.pixels))[:CHECKED])
        use_engine(self.evaluate.engine, self.classifier, some)
        self.side = int(self.images.pixels.shape[-1])
        self.targets: Int64 = self.classifier.targets(self.images.classes).numpy()[
            self.images.labels
        ]
        self.names = np.array([hex_id(int(image)) for image in self.images.ids], dtype=object)
        of = self.images.groups
        self.groups = None if of is None else np.array(of, dtype=object)
        self.labels = np.array(self.images.classes, dtype=object)[self.images.labels]

    @cached_property
    def unchanged(self) -> Predictions:
        """The predictions for the unchanged images."""
        return self.predict(self.pixels, self.targets)

    @cached_property
    def right(self) -> Int64:
        """The rows of the images that are classified right unchanged.

        An image that is wrong unchanged is in no common set, so the experiments leave it out.
        """
        return np.flatnonzero(self.unchanged.predicted == self.targets)

    def changed(self, name: str, changes: ChangeSet, draw: int, n: int) -> Predictions:
        """The predictions for the images that are right, with the first n pixels of a draw changed.

        Two experiments may hold the same images, as an area that is the whole one: the model is
        asked once.

        Args:
            name: Of the stored draws.
            changes: They themselves.
            draw: Which of them.
            n: How many pixels change.
        """
        key = (name, draw, n)
        if key in self._answered:
            self.update(len(self.right))
        else:
            self._answered[key] = self.predict(
                self.pixels, self.targets, changes, self.right, draw, n
            )
        return self._answered[key]

    def add(self, experiment: str, rows: Int64, judged: Predictions, **setting: Any) -> None:
        """Put the predictions for some images into the ledger."""
        self.ledger.add(
            experiment,
            self.names[rows],
            self.labels[rows],
            judged.predicted,
            judged.margin,
            split=self.split,
            group=None if self.groups is None else self.groups[rows],
            **setting,
        )

    def predict(
        self,
        images: DeviceImages,
        targets: Int64,
        changes: ChangeSet | None = None,
        rows: Int64 | None = None,
        draw: int = 0,
        n: int = 0,
    ) -> Predictions:
        """Predict images, unchanged or with the first n pixels of a draw changed."""

        def change(batch: Tensor, part: Int64) -> None:
            if changes is not None:
                apply_in_place(batch, changes.take(part, draw, n).to(images.device))

        size = self.evaluate.batch_size
        return predict(self.classifier, images, targets, size, self.update, change, rows)

    def attack(self, experiment: str, strength: Strength) -> None:
        """Attack the model on the images that it classifies right, and add what it answers."""
        keep = self.keep.get(experiment, 0)
        attack = strength.lent if keep and strength.lent else strength.examples

        def update(images: int) -> None:
            self.update(images * strength.passes)

        for rows, examples, judged in attack_batches(
            self.classifier,
            self.pixels,
            self.targets,
            self.images.ids,
            attack,
            self.evaluate.batch_size,
            update,
            first(self.right, strength.images),
        ):
            self.add(experiment, rows, judged, draw=0, **strength.setting)
            self.record(experiment, rows, torch.from_numpy(examples), judged, strength.setting)
            if kept := len(first(rows, keep)):  # rows ascend
                part = Examples(strength.setting, rows[:kept], examples[:kept].copy())
                self.kept.setdefault(experiment, []).append(part)
        self.record_wrong(experiment, strength.images, strength.setting)

    def record(
        self,
        experiment: str,
        rows: Int64,
        examples: Tensor,
        judged: Predictions,
        setting: Mapping[str, Any],
    ) -> None:
        """Note what an attack did to some images, given its uint8 examples."""
        fooled = judged.predicted != self.targets[rows]
        images = torch.from_numpy(self.images.pixels[rows]).to(examples.device)
        self.attacks.add(
            experiment,
            self.names[rows],
            "attacked",
            setting,
            fooled=fooled,
            fooled_as_floats=fooled,
            far=distances(images, examples),
        )

    def record_wrong(self, experiment: str, images: int | None, setting: Mapping[str, Any]) -> None:
        """Note that an attack on the first images leaves out those that are wrong unchanged."""
        every = first(np.arange(len(self.targets)), images)
        wrong = every[~np.isin(every, self.right)]
        self.attacks.add(experiment, self.names[wrong], "wrong unchanged", setting)


def first(rows: Int64, images: int | None) -> Int64:
    """Those of the rows that are among the first images, which every model shares.

    Images are in the order of their ids, hashes of their content: the first are a random choice.
    """
    return rows if images is None else rows[rows < images]
