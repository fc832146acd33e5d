"""Every experiment on one model: one ledger row a prediction."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from pixelproof.data.image_set import load_images
from pixelproof.evaluation.experiments import Evaluation, count_passes
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.models.devices import describe_computation, find_device, room_for
from pixelproof.models.loading import load_classifier
from pixelproof.params.compute import Compute
from pixelproof.params.evaluate import Evaluate
from pixelproof.params.models import Model
from pixelproof.params.select import Select
from pixelproof.paths import CHANGES, IMAGES, LEDGER, MODELS
from pixelproof.system.progress import progress


def run(
    *,
    select: Select,
    evaluate: Evaluate,
    models: Mapping[str, Model],
    compute: Compute,
    name: str,
) -> None:
    """Write `artifacts/ledger/MODEL.parquet`."""
    images = load_images(IMAGES, "held_out", select)
    device = find_device(compute.device)
    classifier = load_classifier(MODELS / name).to(device)
    ledger = LedgerWriter(classifier.names(images.classes))
    start = partial(Evaluation, evaluate, select.side, classifier, device=device, ledger=ledger)
    all_grids = evaluate.grids(select.side)
    grids = [grid for grid in all_grids if grid.models is None or name in grid.models]
    every = np.arange(len(images.ids))
    total = len(every) + count_passes(evaluate, grids, every)
    origin = models[name].origin
    with room_for("evaluate.batch_size", evaluate.batch_size):
        with progress(total, f"evaluate {name}") as update:
            evaluation = start(images, "held_out", update=update)
            evaluation.measure(CHANGES / "test", grids)
            evaluation.update = lambda amount: None  # how many fool is not known beforehand
            if evaluate.transfer_fgsm:
                evaluation.transfer_fgsm(origin)
            if evaluate.adversarial_pixels and name == origin:
                evaluation.adversarial_pixels(origin)
        if evaluate.paper_grids(select.side):
            _paper(start, evaluate, select, f"evaluate {name}, protocol paper")
    ledger.write(LEDGER / f"{name}.parquet", describe_computation(device))


def _paper(start: "partial[Evaluation]", evaluate: Evaluate, select: Select, label: str) -> None:
    """The protocol `paper`: other changes of the very images that were trained on (Table 10)."""
    images = load_images(IMAGES, "train", select)
    grids = evaluate.paper_grids(select.side)
    settings = sum(len(grid.n) for grid in grids) * evaluate.draws
    with progress((1 + settings) * len(images.ids), label) as update:
        evaluation = start(images, "train", update=update)
        _, right = evaluation.clean()
        update((len(images.ids) - len(right)) * settings)
        evaluation.changed(CHANGES / "test" / "paper", grids, right)
