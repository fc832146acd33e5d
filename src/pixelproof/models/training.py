"""Fine-tuning: one procedure for originals, hardened models and controls."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from pixelproof.models.checkpoints import Checkpoint
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages, describe_computation
from pixelproof.models.recipe import Recipe
from pixelproof.models.storage import save_classifier
from pixelproof.paths import PLOTS
from pixelproof.system import files
from pixelproof.system.progress import progress

if TYPE_CHECKING:  # an original is trained without them, and does not depend on them
    from pixelproof.models.attacked_images import Attacks

CPU = torch.device("cpu")
MOMENTUM = 0.9
BATCH_NORM_MOMENTUM = 0.1
WEIGHT_DECAY = 1e-4


def _batches(count: int, recipe: Recipe, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Rows of the epoch's batches: the same order in every arm, and no batch of one image."""
    random = np.random.Generator(np.random.Philox(key=[recipe.seed, epoch]))
    order = random.permutation(count)
    return np.array_split(order, -(-len(order) // recipe.batch_size))


def _epoch_images(
    images: DeviceImages, changes: ChangeSet | None, recipe: Recipe, epoch: int
) -> Iterator[tuple[npt.NDArray[np.int64], Tensor]]:
    """The epoch's batches of rows and of changed images, (B, 3, H, W) uint8."""
    changed = recipe.lots(len(images), epoch) >= recipe.mix + recipe.attacked
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


class _Training:
    """A classifier that is being fine-tuned, on a device."""

    def __init__(
        self,
        classifier: Classifier,
        images: ImageSet,
        changes: ChangeSet | None,
        recipe: Recipe,
        label: str,
        device: torch.device,
        attacks: "Attacks | None",
    ) -> None:
        self.classifier = classifier.to(device)
        labels = torch.from_numpy(images.labels)
        self.targets = classifier.targets(images.classes)[labels].to(device)
        self.pixels = DeviceImages(images.pixels, device)
        self.changes = changes
        self.recipe = recipe
        self.label = label
        self.attacks = attacks
        steps = len(_batches(len(self.pixels), recipe, 0))
        self.optimizer, self.schedule = _prepare(classifier, recipe, steps)

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.classifier.network,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }

    def state(self) -> dict[str, Any]:
        """What `resume` needs to go on from here."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def epoch(self, epoch: int, update: Callable[[int], object]) -> dict[str, float]:
        """Train for one epoch; returns its row of the learning curve."""
        # Dropout draws from torch's generator: seeding each epoch makes a resumed run equal.
        torch.manual_seed(self.recipe.seed * 1_000_003 + epoch)
        self.classifier.train(self.recipe.train == "whole")
        rate = float(self.schedule.get_last_lr()[0])
        loss, accuracy = self._pass(epoch, update)
        return {"epoch": epoch + 1, "loss": loss, "accuracy": accuracy, "learning_rate": rate}

    def _pass(self, epoch: int, update: Callable[[int], object]) -> tuple[float, float]:
        """One pass over the images; returns the mean loss and the accuracy on the way.

        On a GPU the forward pass runs in bfloat16 where torch holds that to be safe; weights,
        gradients and the optimiser stay in float32. On a CPU bfloat16 is slower.
        """
        loss_sum = correct = count = 0.0
        batches = _epoch_images(self.pixels, self.changes, self.recipe, epoch)
        if self.attacks:
            self.attacks.start(epoch)
        for at, (rows, batch) in enumerate(batches):
            labels = self.targets[torch.from_numpy(rows).to(self.targets.device)]
            if self.attacks:
                batch = self.attacks.on(rows, batch, labels)
            with torch.autocast("cuda", torch.bfloat16, enabled=self.targets.is_cuda):
                logits = self.classifier(batch)
                loss = F.cross_entropy(logits, labels)
            if not torch.isfinite(loss):
                raise NumericalError(
                    f"{self.label}, epoch {epoch + 1}, batch {at}: the loss is {loss.item()}; "
                    "expected a finite one; lower learning_rate"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.schedule.step()
            loss_sum += loss.item() * len(rows)
            correct += int((logits.argmax(dim=1) == labels).sum())
            count += len(rows)
            update(len(rows))
        return loss_sum / count, correct / count


def fine_tune(
    classifier: Classifier,
    images: ImageSet,
    changes: ChangeSet | None,
    recipe: Recipe,
    label: str,
    checkpoint: Checkpoint | None = None,
    device: torch.device = CPU,
    attacks: "Attacks | None" = None,
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
        attacks: On this classifier while it is trained, where the recipe asks for them.

    Returns:
        The learning curve: for each epoch its number, mean loss, accuracy and learning rate.

    Raises:
        NumericalError: A loss is not finite; no step is taken with it.
        ParameterError: The memory of the device is full; names the batch size to try.
        IntegrityError: The checkpoint is damaged.
    """
    training = _Training(classifier, images, changes, recipe, label, device, attacks)
    curve: list[dict[str, float]] = []
    if checkpoint and (stored := checkpoint.load()):
        curve = stored["curve"]
        training.resume(stored)
    with progress(recipe.epochs * len(images.ids), label) as update:
        update(len(curve) * len(images.ids))
        for epoch in range(len(curve), recipe.epochs):
            curve.append(training.epoch(epoch, update))
            if checkpoint and epoch + 1 < recipe.epochs:
                checkpoint.save({**training.state(), "curve": curve})
    classifier.eval().to(CPU)
    classifier.source = {**classifier.source, "trained": _trained_on(device)}
    return curve


def _trained_on(device: torch.device) -> dict[str, Any]:
    precision = "bfloat16 autocast" if device.type == "cuda" else "float32"
    return {**describe_computation(device), "precision": precision}


def _curve_file(folder: Path) -> Path:
    return PLOTS / "curves" / f"{folder.name}.csv"


def check_places(folder: Path, checkpoint: Checkpoint) -> None:
    """Check before the training that `store_model` and the checkpoints can write their files.

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
