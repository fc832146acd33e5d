"""Every experiment on one model: one ledger row a prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pixelproof.adversarial import load_adversarial_set
from pixelproof.change_sets import draws_name, load_change_set
from pixelproof.classifiers import Classifier, load_classifier
from pixelproof.devices import DeviceImages, find_device, room_for
from pixelproof.images import ImageSet, hex_id, load_images
from pixelproof.layout import ADVERSARIAL, CHANGES, IMAGES, LEDGER, MODELS
from pixelproof.ledger import LedgerWriter
from pixelproof.params import Params
from pixelproof.progress import progress
from pixelproof.sweep import Int64, Predictions, Update, fgsm_batches, predict


@dataclass
class Evaluation:
    """A model, the held-out images, and the ledger that fills."""

    params: Params
    classifier: Classifier
    images: ImageSet
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
        """Put the predictions for some held-out images into the ledger."""
        self.ledger.add(
            experiment,
            self.names[rows],
            self.labels[rows],
            judged.predicted,
            judged.margin,
            split="held_out",
            **setting,
        )

    def clean(self) -> Int64:
        """Predict the unchanged images; returns the rows of those that are right."""
        size = self.params.evaluate.batch_size
        judged = predict(self.classifier, self.pixels, self.targets, size, self.update)
        self.add("clean", np.arange(len(self.targets)), judged, n=0, draw=0)
        return np.flatnonzero(judged.predicted == self.targets)

    def changed(self, right: Int64) -> None:
        """Predict images with pixels changed at random (Tables 6 and 10).

        An image that is wrong unchanged is in no common set, so it is left out.
        """
        evaluate = self.params.evaluate
        for experiment, (values, grid) in evaluate.changes.items():
            changes = load_change_set(CHANGES / "test", draws_name(values, grid.area), self.images)
            side = self.params.select.size if grid.area is None else grid.area
            for draw in range(evaluate.draws):
                for n in grid.n:
                    judged = predict(
                        self.classifier,
                        self.pixels,
                        self.targets,
                        evaluate.batch_size,
                        self.update,
                        changes,
                        right,
                        draw,
                        n,
                    )
                    setting = {"n": n, "values": values, "area": side, "draw": draw}
                    self.add(experiment, right, judged, **setting)

    def transfer_fgsm(self, origin: str) -> None:
        """Predict the FGSM examples that fool the model's own original (Table 11)."""
        adversarial = load_adversarial_set(ADVERSARIAL / origin)
        row_of = {int(one): row for row, one in enumerate(self.images.ids)}
        rows = np.array([row_of[int(one)] for one in adversarial.ids], dtype=np.int64)
        size = self.params.evaluate.batch_size
        examples = DeviceImages(adversarial.examples, self.device)
        judged = predict(self.classifier, examples, self.targets[rows], size, lambda amount: None)
        self.add("transfer_fgsm", rows, judged, epsilon=adversarial.epsilon, steps=1, draw=0)

    def whitebox_fgsm(self, right: Int64) -> None:
        """Attack the model itself: an example that fools its original proves little."""
        evaluate = self.params.evaluate
        for epsilon in evaluate.whitebox_fgsm.epsilon if evaluate.whitebox_fgsm else ():
            batches = fgsm_batches(
                self.classifier,
                self.pixels,
                self.targets,
                epsilon,
                evaluate.batch_size,
                self.update,
                right,
            )
            for rows, _, judged in batches:
                self.add("whitebox_fgsm", rows, judged, epsilon=epsilon, steps=1, draw=0)


def _settings(params: Params) -> int:
    """In how many settings an image that is right unchanged is predicted again."""
    evaluate = params.evaluate
    settings = sum(len(grid.n) for _, grid in evaluate.changes.values()) * evaluate.draws
    return settings + (len(evaluate.whitebox_fgsm.epsilon) if evaluate.whitebox_fgsm else 0)


def run(params: Params, model: str) -> None:
    """Write `artifacts/ledger/MODEL.parquet`."""
    images = load_images(IMAGES, "held_out")
    device = find_device(params.compute.device)
    classifier = load_classifier(MODELS / model).to(device)
    ledger = LedgerWriter(classifier.names(images.classes))
    count, settings = len(images.ids), _settings(params)
    with (
        room_for("evaluate.batch_size", params.evaluate.batch_size),
        progress(count * (1 + settings), f"evaluate {model}") as update,
    ):
        evaluation = Evaluation(params, classifier, images, device, ledger, update)
        right = evaluation.clean()
        update((count - len(right)) * settings)
        evaluation.changed(right)
        evaluation.whitebox_fgsm(right)
        if params.evaluate.transfer_fgsm:
            evaluation.transfer_fgsm(params.origin(model))
    ledger.write(LEDGER / f"{model}.parquet")
