"""The sweep over changed images, beside bare forward passes.

    python -m benchmarks.sweep           a minute

EfficientNet-Lite0 at 224 px, 64 pixels changed in each image, batches of 32. One thread, processor
time. A figure is a function that returns its entries, and stands in `FIGURES`.
"""

from pixelproof.system.tuning import keep_memory

keep_memory()  # as each stage does

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.rounds import Entry, record, require_same, take_turns, times_as_fast
from pixelproof.core.pixel_changes import apply_changes, apply_in_place, draw_changes
from pixelproof.evaluation.prediction import Int64, predict
from pixelproof.models.baseline import open_classifier
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.params.baselines import Baseline

COUNT, SIDE, N, BATCH, ROUNDS = 64, 224, 64, 32, 9
CPU = torch.device("cpu")


def make_classifier() -> Classifier:
    """Random weights: what they are changes no time."""
    torch.set_num_threads(1)
    baseline = Baseline("efficientnet_lite0", weights="none", epochs=1)
    return open_classifier(baseline, ("a", "b"), "baseline").eval()


def against_forward() -> dict[str, Entry]:
    """Images taken, changed, predicted and judged, beside the passes through the network alone."""
    classifier = make_classifier()
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    ids, targets = np.arange(COUNT, dtype=np.uint64), np.arange(COUNT) % 2
    changes = draw_changes(ids, N, (SIDE, SIDE), seed=1)
    images = DeviceImages(pixels, CPU)
    changed = torch.from_numpy(apply_changes(pixels, changes))
    resident = [changed[start : start + BATCH] for start in range(0, COUNT, BATCH)]

    def change(batch: Tensor, rows: Int64) -> None:
        some = draw_changes(ids[rows], N, (SIDE, SIDE), seed=1)
        apply_in_place(batch, some.to(CPU))

    def sweep() -> Int64:
        judged = predict(classifier, images, targets, BATCH, lambda amount: None, change)
        return judged.predicted

    def forward() -> list[Tensor]:
        with torch.inference_mode():
            return [classifier(batch) for batch in resident]

    require_same("predictions", sweep(), torch.cat(forward()).argmax(dim=1))
    seconds = take_turns({"sweep": sweep, "forward": forward}, ROUNDS)
    against = "bare forward passes over changed images that lie ready"
    return {"sweep_vs_forward": times_as_fast(seconds, "sweep", "forward", against)}


FIGURES: list[Callable[[], dict[str, Entry]]] = [against_forward]


def main() -> None:
    for figure in FIGURES:
        record(figure())


if __name__ == "__main__":
    main()
