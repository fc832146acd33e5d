"""Each attack by name on a model and a few images, beside foolbox where it has the same attack.

    python benchmarks/attacks.py        some minutes on one core; writes benchmarks/attacks.json

It takes the first held-out images that the model gets right. `stored` is how many of them are
fooled by the image of whole numbers, `floats` how many before rounding. foolbox's examples are
rounded to the nearest; `stored` is what is left of them. foolbox's budget is that of ours, except
for attacks that look for the nearest example, which have none.
"""

import argparse
import platform
import shlex
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from pixelproof.core.attacks.distances import distances, within
from pixelproof.core.attacks.integer_grid import examples_fool
from pixelproof.data.image_set import ImageSet, load_images
from pixelproof.evaluation.attack_records import read_attacks
from pixelproof.evaluation.experiments import measure
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.evaluation.measurement import Measurement
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import find_device
from pixelproof.models.loading import load_classifier
from pixelproof.params.evaluate import Evaluate
from pixelproof.params.named_attacks import NamedAttack
from pixelproof.params.project import load_params
from pixelproof.reporting.attacks import attack_table
from pixelproof.system import files
from pixelproof.system.tuning import keep_memory

RESULTS = Path(__file__).with_name("attacks.json")
EPSILON, FAR = 2, 32767  # of the L-infinity attacks; of those that look for the nearest example
ATTACKS = {
    "fgsm": NamedAttack(attack="fgsm", epsilon=EPSILON),
    "bim": NamedAttack(attack="bim", epsilon=EPSILON),
    "pgd": NamedAttack(attack="pgd", epsilon=EPSILON, restarts=2),
    "apgd-ce": NamedAttack(attack="apgd_ce", epsilon=EPSILON),
    "apgd-dlr": NamedAttack(attack="apgd_dlr", epsilon=EPSILON),
    "fab": NamedAttack(attack="fab", epsilon=EPSILON, steps=30),
    "square": NamedAttack(attack="square", epsilon=EPSILON, queries=100),
    "deepfool": NamedAttack(attack="deepfool", epsilon=FAR),
    "cw": NamedAttack(attack="cw", epsilon=FAR, steps=30),
    "jsma": NamedAttack(attack="jsma", n=64),
    "one-pixel": NamedAttack(attack="one_pixel", n=1, queries=100),
    "five-pixels": NamedAttack(attack="one_pixel", n=5, queries=100),
    "sparse": NamedAttack(attack="sparse", n=64, queries=100),
    "atn": NamedAttack(attack="atn", epsilon=EPSILON, steps=200),
}
FOOLBOX: dict[str, tuple[str, dict[str, Any]]] = {
    "fgsm": ("LinfFastGradientAttack", {}),
    "bim": ("LinfBasicIterativeAttack", {"steps": 10}),
    "pgd": ("LinfProjectedGradientDescentAttack", {"steps": 20}),
    "deepfool": ("L2DeepFoolAttack", {}),
    "cw": (
        "L2CarliniWagnerAttack",
        {"binary_search_steps": 6, "steps": 30, "initial_const": 0.01},
    ),
}

Row = dict[str, Any]


def chosen(classifier: Classifier, images: ImageSet, count: int) -> ImageSet:
    """The first images that the model gets right."""
    labels = classifier.targets(images.classes).numpy()[images.labels]
    rows: list[int] = []
    for row in range(len(labels)):
        with torch.inference_mode():
            logits = classifier(torch.from_numpy(np.array(images.pixels[row : row + 1])))
        if int(logits.argmax()) == labels[row]:
            rows.append(row)
        if len(rows) == count:
            break
    return ImageSet(
        images.ids[rows],
        images.labels[rows],
        np.array(images.pixels[rows]),
        images.classes,
        tuple(images.paths[row] for row in rows),
        images.split,
    )


def ours(classifier: Classifier, images: ImageSet, training: ImageSet) -> dict[str, Row]:
    """Each attack as `evaluate` runs it; `atn` is trained on the training images first."""
    evaluate = Evaluate(attacks=ATTACKS, batch_size=len(images.ids), transfer_fgsm=False)
    ledger = LedgerWriter(classifier.names(images.classes))
    device, networks = find_device("cpu"), Path(tempfile.mkdtemp())
    measurement = Measurement(
        evaluate, "model", classifier, device, ledger, images, "held_out", Path(), []
    )
    measurement.trained_on, measurement.networks = lambda: training, networks
    seconds = {}
    for name in track(list(evaluate.named_attacks), "attacks"):
        began = time.monotonic()
        measure(measurement, [name], lambda done: None)
        seconds[name] = round(time.monotonic() - began, 1)
    path = networks / "attacks.parquet"
    measurement.attacks.write(path)
    table = attack_table({"model": read_attacks(path)}, {"model": []})
    shutil.rmtree(networks)
    return {
        row["attack"].partition(":")[2]: {
            "images": row["images"],
            "floats": int(row["fooled_as_floats"]),
            "stored": row["fooled"],
            "outside": int(row["outside_budget"]),
            **{norm: _number(row[f"mean_{norm}"]) for norm in ("l0", "l2", "linf")},
            "seconds": seconds[row["attack"]],
        }
        for row in table.to_dict("records")
    }


def foolbox_row(classifier: Classifier, images: Tensor, labels: Tensor, name: str) -> Row:
    """The same attack of foolbox, its examples rounded to the nearest image."""
    from foolbox import attacks
    from foolbox.models.pytorch import PyTorchModel

    kind, setting = FOOLBOX[name]
    entry = ATTACKS[name]
    budget = None if entry.budget == FAR else entry.budget / 255
    torch.manual_seed(0)
    model = PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    began = time.monotonic()
    _, examples, _ = getattr(attacks, kind)(**setting)(model, images / 255, labels, epsilons=budget)
    seconds = time.monotonic() - began
    stored = (255 * examples).round().to(torch.uint8)
    near = within(images, stored, entry.kind.norm, entry.budget)
    fooled = examples_fool(classifier, stored / 255, labels) & near
    far = distances(images[fooled], stored[fooled])
    return {
        "attack": kind,
        "floats": int(examples_fool(classifier, examples, labels).sum()),
        "stored": int(fooled.sum()),
        **{norm: _number(each.mean()) for norm, each in far._asdict().items()},
        "seconds": round(seconds, 1),
    }


def _number(value: Any) -> float | None:
    """With three digits behind the point; None where there is nothing to take a mean of."""
    return None if np.isnan(float(value)) else round(float(value), 3)


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("artifacts/models/baseline"))
    parser.add_argument("--images", type=Path, default=Path("artifacts/images"))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    keep_memory()
    classifier = load_classifier(given.model).requires_grad_(False)
    select = load_params().select
    every = load_images(given.images, "held_out", select)
    images = chosen(classifier, every, given.count)
    trained = select.split != "none"
    training = load_images(given.images, "train", select) if trained else images
    rows = ours(classifier, images, training)
    labels = classifier.targets(images.classes)[torch.from_numpy(images.labels)]
    for name in track(FOOLBOX, "foolbox"):
        beside = foolbox_row(classifier, torch.from_numpy(images.pixels), labels, name)
        rows[name]["foolbox"] = beside
    about = {
        "command": shlex.join(["python", "benchmarks/attacks.py", *sys.argv[1:]]),
        "model": classifier.architecture,
        "side": images.pixels.shape[-1],
        "trained_on": f"{len(training.ids)} {training.split} images",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "foolbox")},
    }
    files.write_json(given.output, {"attacks": rows, **about})


if __name__ == "__main__":
    main()
