"""Every experiment on one model: one ledger row a prediction."""

import numpy as np
import torch

from pixelproof.data.images import load_images
from pixelproof.evaluation.experiments import Evaluation, count_passes
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.models.classifier import Classifier, load_classifier
from pixelproof.models.devices import describe_computation, find_device, room_for
from pixelproof.params.project import Params
from pixelproof.paths import CHANGES, IMAGES, LEDGER, MODELS
from pixelproof.system.progress import progress


def run(params: Params, model: str) -> None:
    """Write `artifacts/ledger/MODEL.parquet`."""
    images = load_images(IMAGES, "held_out", params.select)
    device = find_device(params.compute.device)
    classifier = load_classifier(MODELS / model).to(device)
    ledger = LedgerWriter(classifier.names(images.classes))
    grids = [grid for grid in params.grids if grid.models is None or model in grid.models]
    every = np.arange(len(images.ids))
    total = len(every) + count_passes(params.evaluate, grids, every)
    with room_for("evaluate.batch_size", params.evaluate.batch_size):
        with progress(total, f"evaluate {model}") as update:
            evaluation = Evaluation(
                params.evaluate,
                params.select.side,
                classifier,
                images,
                "held_out",
                device,
                ledger,
                update,
            )
            evaluation.measure(CHANGES / "test", grids)
            evaluation.update = lambda amount: None  # how many fool is not known beforehand
            if params.evaluate.transfer_fgsm:
                evaluation.transfer_fgsm(params.origin(model))
            if model in params.baselines and params.evaluate.adversarial_pixels:
                evaluation.adversarial_pixels(model)
        if params.paper_grids:
            _paper(params, model, classifier, device, ledger)
    ledger.write(LEDGER / f"{model}.parquet", describe_computation(device))


def _paper(
    params: Params, model: str, classifier: Classifier, device: torch.device, ledger: LedgerWriter
) -> None:
    """The protocol `paper`: other changes of the very images that were trained on (Table 10)."""
    images = load_images(IMAGES, "train", params.select)
    settings = sum(len(grid.n) for grid in params.paper_grids) * params.evaluate.draws
    total = (1 + settings) * len(images.ids)
    with progress(total, f"evaluate {model}, protocol paper") as update:
        evaluation = Evaluation(
            params.evaluate, params.select.side, classifier, images, "train", device, ledger, update
        )
        _, right = evaluation.clean()
        update((len(images.ids) - len(right)) * settings)
        evaluation.changed(CHANGES / "test" / "paper", params.paper_grids, right)
