"""Fine-tuning: one recipe for originals, hardened models and controls."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler as Schedule
from torch.optim.lr_scheduler import OneCycleLR

from pixelproof.core.pixel_changes import apply_in_place
from pixelproof.data.drawn_changes import ChangeSet
from pixelproof.data.image_set import ImageSet
from pixelproof.errors import NumericalError
from pixelproof.models.augmentations import augmentation
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages, describe_computation
from pixelproof.models.storage import save_classifier
from pixelproof.paths import PLOTS
from pixelproof.system import files
from pixelproof.system.progress import progress

CPU = torch.device("cpu")
MOMENTUM = 0.9
BATCH_NORM_MOMENTUM = 0.1
WEIGHT_DECAY = 1e-4


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned; equal for all arms but for what they change in the images.

    Attributes:
        epochs: From 1; the last one is used, since no image is left to choose by.
        learning_rate: The peak of a one-cycle schedule (Smith and Topin 2018).
        batch_size: The largest batch.
        seed: Of the order of the images and of dropout.
        n: How many pixels change in an image; 0 for none.
        mix: The share of images left unchanged, drawn anew each epoch.
        fresh: Whether each epoch has its own draw (else draw 0, as in the paper).
        train: The whole network or its final layer alone.
        augment: An ordinary augmentation beside the changed pixels; see `augmentation`.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    n: int = 0
    mix: float = 0.0
    fresh: bool = True
    train: Literal["whole", "head"] = "whole"
    augment: str = "none"


class Checkpoint:
    """The state after an epoch, kept under a key that stands for the whole configuration."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        classifier: Classifier,
        images: ImageSet,
        changes: ChangeSet | None,
    ) -> None:
        """Key the checkpoint by the recipe, the start, the images and the changes."""
        drawn = changes.sha256 if changes else ""
        key = hashlib.sha256(json.dumps([asdict(recipe), drawn, torch.__version__]).encode())
        for array in (images.ids, images.labels):
            key.update(array.tobytes())
        for name, tensor in classifier.network.state_dict().items():
            key.update(name.encode() + tensor.contiguous().numpy().tobytes())
        self.folder = folder
        self.path = folder / key.hexdigest()[:16]

    def remove(self) -> None:
        """Delete this model's checkpoints, once its final weights are stored."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the stored state, whole or not at all."""
        with files.atomic(self.path) as temporary:
            temporary.mkdir()
            try:
                with (temporary / "state.pt").open("wb") as file:
                    torch.save(state, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # how torch tells of a full disk
                    raise error.__context__ from None
                raise
            files.write_text(temporary / "sha256", files.sha256(temporary / "state.pt"))

    def load(self) -> dict[str, Any] | None:
        """The stored state, or None where no whole one is left.

        A process that is killed while it replaces or removes a checkpoint leaves a part of the
        old one, and perhaps the whole new one beside it.

        Raises:
            IntegrityError: The file is not what was written.
        """
        for folder in (self.path, files.partial(self.path)):
            path, checksum = folder / "state.pt", folder / "sha256"
            if not (path.is_file() and checksum.is_file()):
                continue
            files.verify(path, checksum.read_text())
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        return None


def _batches(count: int, recipe: Recipe, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Rows of the epoch's batches: the same order in every arm, and no batch of one image."""
    random = np.random.Generator(np.random.Philox(key=[recipe.seed, epoch]))
    order = random.permutation(count)
    return np.array_split(order, -(-len(order) // recipe.batch_size))


def _epoch_images(
    images: DeviceImages, changes: ChangeSet | None, recipe: Recipe, epoch: int
) -> Iterator[tuple[npt.NDArray[np.int64], Tensor]]:
    """The epoch's batches of rows and of changed images, (B, 3, H, W) uint8."""
    random = np.random.Generator(np.random.Philox(key=[recipe.seed, epoch]).jumped())
    changed = random.random(len(images)) >= recipe.mix
    augment = augmentation(recipe.augment)
    for rows in _batches(len(images), recipe, epoch):
        batch = images.take(rows)
        chosen = np.flatnonzero(changed[rows])
        if changes is not None and len(chosen):
            places = torch.from_numpy(chosen).to(images.device)
            part = batch[places]
            draw = epoch if recipe.fresh else 0
            apply_in_place(part, changes.take(rows[chosen], draw, recipe.n).to(images.device))
            batch[places] = part
        if augment is not None:
            batch = torch.stack([augment(image) for image in batch])
        yield rows, batch


def _train_epoch(
    classifier: Classifier,
    optimizer: Optimizer,
    schedule: Schedule,
    batches: Iterator[tuple[npt.NDArray[np.int64], Tensor]],
    targets: Tensor,
    label: str,
    update: Any,
) -> tuple[float, float]:
    """One pass over the images; returns the mean loss and the accuracy on the way.

    On a GPU the forward pass runs in bfloat16 where torch holds that to be safe; weights,
    gradients and the optimiser stay in float32. On a CPU bfloat16 is slower.
    """
    loss_sum = correct = count = 0.0
    for at, (rows, batch) in enumerate(batches):
        labels = targets[torch.from_numpy(rows).to(targets.device)]
        with torch.autocast("cuda", torch.bfloat16, enabled=targets.is_cuda):
            logits = classifier(batch)
            loss = F.cross_entropy(logits, labels)
        if not torch.isfinite(loss):
            raise NumericalError(
                f"{label}, batch {at}: the loss is {loss.item()}; expected a finite one; "
                "lower learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        loss_sum += loss.item() * len(rows)
        correct += int((logits.argmax(dim=1) == labels).sum())
        count += len(rows)
        update(len(rows))
    return loss_sum / count, correct / count


def _prepare(classifier: Classifier, recipe: Recipe, steps: int) -> tuple[Optimizer, Schedule]:
    """Choose what is trained, and start the optimiser and the one-cycle schedule."""
    for module in classifier.network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            # Some networks follow with 0.01, too slow for so few steps: the statistics that they
            # predict with would still be those of the images they were first trained on.
            module.momentum = BATCH_NORM_MOMENTUM
    optimizer = torch.optim.SGD(
        classifier.set_trainable(recipe.train),
        recipe.learning_rate,
        MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
    )
    return optimizer, OneCycleLR(optimizer, recipe.learning_rate, recipe.epochs * steps)


def fine_tune(
    classifier: Classifier,
    images: ImageSet,
    changes: ChangeSet | None,
    recipe: Recipe,
    label: str,
    checkpoint: Checkpoint | None = None,
    device: torch.device = CPU,
) -> list[dict[str, float]]:
    """Fine-tune a classifier in place by SGD with momentum and a one-cycle rate.

    Repeatable on one machine, device and thread count; an interrupted run that is called again
    goes on after its last whole epoch and ends in the same weights.

    Args:
        classifier: The start; on return in eval mode with the last epoch's weights, on the CPU.
        images: The training images.
        changes: The stored draws for them, or None to train on them unchanged.
        recipe: How to train.
        label: What to call this in progress and errors.
        checkpoint: Where to keep the state of an unfinished run.
        device: Where to train (see `find_device`).

    Returns:
        The learning curve: for each epoch its number, mean loss, accuracy and learning rate.

    Raises:
        NumericalError: A loss is not finite; no step is taken with it.
        ParameterError: The memory of the device is full; names the batch size to try.
        IntegrityError: The checkpoint is damaged.
    """
    classifier.to(device)
    targets = classifier.targets(images.classes)[torch.from_numpy(images.labels)].to(device)
    pixels = DeviceImages(images.pixels, device)
    optimizer, schedule = _prepare(classifier, recipe, len(_batches(len(pixels), recipe, 0)))
    parts: dict[str, Any] = {
        "network": classifier.network,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    curve: list[dict[str, float]] = []
    stored = checkpoint.load() if checkpoint else None
    if stored is not None:
        curve = stored["curve"]
        for name, part in parts.items():
            part.load_state_dict(stored[name])
    with progress(recipe.epochs * len(images.ids), label) as update:
        update(len(curve) * len(images.ids))
        for epoch in range(len(curve), recipe.epochs):
            # Dropout draws from torch's generator: seeding each epoch makes a resumed run equal.
            torch.manual_seed(recipe.seed * 1_000_003 + epoch)
            classifier.train(recipe.train == "whole")
            rate = float(schedule.get_last_lr()[0])
            batches = _epoch_images(pixels, changes, recipe, epoch)
            where = f"{label}, epoch {epoch + 1}"
            loss, accuracy = _train_epoch(
                classifier, optimizer, schedule, batches, targets, where, update
            )
            row = {"epoch": epoch + 1, "loss": loss, "accuracy": accuracy, "learning_rate": rate}
            curve.append(row)
            if checkpoint and epoch + 1 < recipe.epochs:
                state = {name: part.state_dict() for name, part in parts.items()}
                checkpoint.save({**state, "curve": curve})
    classifier.eval().to(CPU)
    precision = "bfloat16 autocast" if device.type == "cuda" else "float32"
    trained = {**describe_computation(device), "precision": precision}
    classifier.source = {**classifier.source, "trained": trained}
    return curve


def _curve_file(folder: Path) -> Path:
    return PLOTS / "curves" / f"{folder.name}.csv"


def check_places(folder: Path, checkpoint: Checkpoint) -> None:
    """Check before the training that what `store_model` and the checkpoints write has a place.

    Raises:
        DataError: A folder cannot be written.
    """
    files.ensure_writable(folder, _curve_file(folder), checkpoint.path)


def store_model(
    folder: Path, classifier: Classifier, seen: Iterable[int], curve: list[dict[str, float]]
) -> None:
    """Store a classifier, what it has seen, and its learning curve beside the plots.

    Args:
        folder: The model's folder; its name is the model's.
        classifier: In eval mode.
        seen: The ids of the images that it was trained or validated on.
        curve: As `fine_tune` returns it; empty where nothing was trained.
    """
    columns = ["epoch", "loss", "accuracy", "learning_rate"]
    lines = [",".join(columns), *(",".join(f"{row[key]:.6g}" for key in columns) for row in curve)]
    files.write_text(_curve_file(folder), "\n".join(lines) + "\n")
    save_classifier(classifier, folder, seen)
