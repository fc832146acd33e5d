"""Images a second and peak memory of ResNet101 at 224 pixels, by this package's own code paths.

    python benchmarks/gpu.py                 on a GPU; writes benchmarks/gpu.json
    python benchmarks/gpu.py --images 8 --batch 4 --device cpu     a trial without one

Random weights and random images: what they are changes no time.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch

from pixelproof.core.attacks.fgsm import fgsm
from pixelproof.core.pixel_changes import apply_in_place
from pixelproof.data.drawn_changes import Wanted, load_change_set, write_change_set
from pixelproof.data.image_set import ImageSet
from pixelproof.evaluation.prediction import Int64, attack_batches, predict, without_ids
from pixelproof.models.baseline import open_classifier
from pixelproof.models.devices import DeviceImages, describe_device, find_device
from pixelproof.models.recipe import Recipe
from pixelproof.models.training import fine_tune
from pixelproof.params.baselines import Baseline
from pixelproof.params.generate import Generate

RESULTS = Path(__file__).with_name("gpu.json")
SIDE, N, RUNS = 224, 64, 5


def ignore(amount: int) -> None:
    """Take no notice of progress."""


def make_images(count: int) -> ImageSet:
    """Random images of two classes."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
    ids = np.arange(count, dtype=np.uint64)
    labels = np.arange(count, dtype=np.int64) % 2
    return ImageSet(ids, labels, pixels, ("a", "b"), ("",) * count, "train")


def rate(work: Callable[[], object], images: int, device: torch.device) -> dict[str, float]:
    """Images a second: the median, least and most of several runs after one that is not timed."""
    found = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(images / (time.perf_counter() - start))
    timed = found[1:]
    bounds = {"low": round(min(timed), 1), "high": round(max(timed), 1), "runs": RUNS}
    return {"value": round(statistics.median(timed), 1), **bounds}


def main() -> None:
    """Measure training, evaluation under changes and FGSM, and record them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    images = make_images(arguments.images)
    folder = Path("artifacts/benchmark")
    wanted = {"full": Wanted("full", None, N, 1)}
    write_change_set(folder, wanted, images, Generate(), seed=1)
    changes = load_change_set(folder, "full", images)
    baseline = Baseline("torchvision:resnet101", "none", epochs=1)
    classifier = open_classifier(baseline, images.classes, "benchmark")
    recipe = Recipe(1, 0.001, arguments.batch, 1, n=N)

    def train() -> None:
        fine_tune(classifier, images, changes, recipe, "train", device=device)

    results = {"train": rate(train, arguments.images, device)}
    classifier.eval().to(device)
    pixels = DeviceImages(images.pixels, device)
    targets, rows = images.labels, np.arange(arguments.images)

    def change(batch: torch.Tensor, part: Int64) -> None:
        apply_in_place(batch, changes.take(part, 0, N).to(device))

    def evaluate() -> None:
        predict(classifier, pixels, targets, 4 * arguments.batch, ignore, change, rows)

    def attack() -> None:
        fool, size = without_ids(fgsm, epsilon=8), arguments.batch
        for _ in attack_batches(classifier, pixels, targets, images.ids, fool, size, ignore, rows):
            pass

    results["evaluate"] = rate(evaluate, arguments.images, device)
    results["fgsm"] = rate(attack, arguments.images, device)
    sizes = f"--images {arguments.images} --batch {arguments.batch}"
    about = {
        "unit": "images a second; memory in GiB",
        "device": describe_device(device),
        "command": f"python benchmarks/gpu.py {sizes}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**30
        RESULTS.write_text(json.dumps({**results, "peak_memory": peak, **about}, indent=1) + "\n")
    print(json.dumps({**results, **about}, indent=1))


if __name__ == "__main__":
    main()
