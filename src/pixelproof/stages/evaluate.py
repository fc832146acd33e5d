"""Every experiment on one model: one ledger row a prediction."""

from collections.abc import Mapping
from functools import partial

from pixelproof.data.image_set import load_images
from pixelproof.evaluation.experiments import all_passes, asked, measure
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.evaluation.measurement import Measurement
from pixelproof.models.devices import describe_computation, find_device, room_for
from pixelproof.models.loading import load_classifier
from pixelproof.params.compute import Compute
from pixelproof.params.evaluate import Evaluate
from pixelproof.params.models import Model
from pixelproof.params.select import Select
from pixelproof.paths import ATTACKS, CHANGES, IMAGES, LEDGER, MODELS, NETWORKS
from pixelproof.system import files
from pixelproof.system.progress import progress


def run(
    *,
    select: Select,
    evaluate: Evaluate,
    models: Mapping[str, Model],
    compute: Compute,
    name: str,
) -> None:
    """Write `artifacts/ledger/MODEL.parquet` and `artifacts/attacks/MODEL.parquet`.

    Attacks that were trained are stored in `artifacts/networks/MODEL/`, which may be empty.
    """
    images = load_images(IMAGES, "held_out", select)
    device = find_device(compute.device)
    classifier = load_classifier(MODELS / name).to(device)
    ledger = LedgerWriter(classifier.names(images.classes))
    start = partial(Measurement, evaluate, name, classifier, device, ledger)
    grids = evaluate.grids(select.side)
    grids = [grid for grid in grids if grid.models is None or name in grid.models]
    with room_for("evaluate.batch_size", evaluate.batch_size):
        measurement = start(images, "held_out", CHANGES / "test", grids, models[name].origin)
        if select.split != "none":
            measurement.trained_on = partial(load_images, IMAGES, "train", select)
        names = asked(measurement)
        with files.atomic(NETWORKS / name) as folder:
            folder.mkdir()
            measurement.networks = folder
            with progress(all_passes(measurement, names), f"evaluate {name}") as update:
                measure(measurement, names, update)
        if evaluate.paper_grids(select.side):
            _paper(start, evaluate, select, f"evaluate {name}, protocol paper")
    ledger.write(LEDGER / f"{name}.parquet", describe_computation(device))
    measurement.attacks.write(ATTACKS / f"{name}.parquet")


def _paper(start: "partial[Measurement]", evaluate: Evaluate, select: Select, label: str) -> None:
    """The protocol `paper`: other changes of the very images that were trained on (Table 10)."""
    images = load_images(IMAGES, "train", select)
    grids = evaluate.paper_grids(select.side)
    measurement = start(images, "train", CHANGES / "test" / "paper", grids)
    names = ["clean", *dict.fromkeys(grid.experiment for grid in grids)]
    with progress(all_passes(measurement, names), label) as update:
        measure(measurement, names, update)
