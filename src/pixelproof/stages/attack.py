"""FGSM examples that fool an original classifier (Tables 9 and 11)."""

from pathlib import Path

import numpy as np

from pixelproof.core.attacks.fgsm import fgsm
from pixelproof.data.adversarial_sets import write_adversarial_set
from pixelproof.data.image_set import ImageSet, load_images
from pixelproof.evaluation.prediction import Int64, Update, attack_batches, predict, without_ids
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages, find_device, room_for
from pixelproof.models.loading import load_classifier
from pixelproof.params.attack import Attack
from pixelproof.params.compute import Compute
from pixelproof.params.select import Select
from pixelproof.paths import ADVERSARIAL, IMAGES, MODELS
from pixelproof.system import files
from pixelproof.system.progress import progress


def _write_fooling(
    folder: Path,
    classifier: Classifier,
    pixels: DeviceImages,
    images: ImageSet,
    targets: Int64,
    right: Int64,
    attack: Attack,
    update: Update,
) -> Int64:
    """Attack the rows `right`, store the examples that fool, and return their rows.

    How many fool is known only at the end, so the attempts go to a file of their own.
    """
    shape = pixels.shape[1:]
    scratch = folder / "attempts.npy"
    attempts = files.new_array(scratch, np.uint8, (len(right), *shape))
    fooled = [np.empty(0, np.int64)]
    count = 0
    for rows, examples, judged in attack_batches(
        classifier,
        pixels,
        targets,
        images.ids,
        without_ids(fgsm, epsilon=attack.epsilon),
        attack.batch_size,
        update,
        right,
    ):
        wrong = judged.predicted != targets[rows]
        fooled.append(rows[wrong])
        attempts[count : count + len(fooled[-1])] = examples[wrong]
        count += len(fooled[-1])
    kept = files.new_array(folder / "examples.npy", np.uint8, (count, *shape))
    for start in range(0, count, attack.batch_size):
        end = min(count, start + attack.batch_size)
        kept[start:end] = attempts[start:end]
    scratch.unlink()
    return np.concatenate(fooled)


def run(*, select: Select, attack: Attack, compute: Compute, name: str) -> None:
    """Write `artifacts/adversarial/NAME/`: the examples that fool it, and how many do."""
    images = load_images(IMAGES, "held_out", select)
    device = find_device(compute.device)
    classifier = load_classifier(MODELS / name).to(device)
    targets = classifier.targets(images.classes).numpy()[images.labels]
    pixels = DeviceImages(images.pixels, device)
    with (
        room_for("attack.batch_size", attack.batch_size),
        progress(2 * len(targets), f"attack {name}") as update,
        files.atomic(ADVERSARIAL / name) as folder,
    ):
        folder.mkdir()
        clean = predict(classifier, pixels, targets, attack.batch_size, update)
        right = np.flatnonzero(clean.predicted == targets)
        update(len(targets) - len(right))
        kept = _write_fooling(folder, classifier, pixels, images, targets, right, attack, update)
        manifest = {
            "attack": "fgsm",
            "model": name,
            "epsilon": attack.epsilon,
            "steps": 1,
            "attacked": len(right),
            "fooled": len(kept),
            "success_rate": len(kept) / max(1, len(right)),
        }
        write_adversarial_set(folder, images.ids[kept], manifest)
