"""Predictions for unchanged, changed and attacked images, a batch at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelproof.errors import NumericalError
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.models.side_by_side import side_by_side

UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
Update = Callable[[int], object]
Change = Callable[[Tensor, Int64], object]  # changes a batch in place, given its rows
# Makes adversarial examples of a classifier, uint8 images, their true classes and their ids.
Attack = Callable[[Classifier, Tensor, Tensor, UInt64], Tensor]


@dataclass(frozen=True)
class Predictions:
    """A classifier's predictions for images.

    Attributes:
        predicted: (N,) int64, the classifier's class of the largest logit.
        margin: (N,) float32, the true class's logit minus the largest other one: negative
            exactly where the prediction is wrong (but for ties).
    """

    predicted: Int64
    margin: npt.NDArray[np.float32]


def _judge(logits: Tensor, targets: Tensor) -> Predictions:
    if not torch.isfinite(logits).all():
        raise NumericalError("the classifier returns logits that are not finite; check its weights")
    truth = logits.gather(1, targets[:, None]).squeeze(1)
    others = logits.scatter(1, targets[:, None], float("-inf")).amax(dim=1)
    return Predictions(logits.argmax(dim=1).cpu().numpy(), (truth - others).cpu().numpy())


def predict(
    classifier: Classifier,
    images: DeviceImages,
    targets: Int64,
    batch_size: int,
    update: Update,
    change: Change | None = None,
    rows: Int64 | None = None,
) -> Predictions:
    """Predict images, unchanged or changed.

    Args:
        classifier: In eval mode.
        images: M images, on the classifier's device.
        targets: (M,) the classifier's index of each image's true class.
        batch_size: The largest batch.
        update: Called with the number of images done.
        change: Is given each batch, (B, 3, H, W) uint8, and its rows among the M images; None
            leaves the images as they are.
        rows: Which images, (N,); all by default.

    Returns:
        Predictions for the N images, in their order.

    Raises:
        NumericalError: A logit is not finite.
        ValueError: The classifier is in training mode.
    """
    if any(module.training for module in classifier.modules()):
        raise ValueError("expected a classifier in eval mode, got one in training mode")
    chosen = np.arange(len(images)) if rows is None else rows

    def answer(part: Int64) -> Predictions:
        batch = images.take(part)
        if change is not None:
            change(batch, part)
        return judge_examples(classifier, batch, targets[part])

    found = [Predictions(np.empty(0, np.int64), np.empty(0, np.float32))]
    for judged in side_by_side(answer, batches(chosen, batch_size), images.device):
        found.append(judged)
        update(len(judged.predicted))
    return Predictions(
        np.concatenate([one.predicted for one in found]),
        np.concatenate([one.margin for one in found]),
    )


def batches(rows: Int64, size: int) -> Iterator[Int64]:
    """Rows, at most so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def attack_batches(
    classifier: Classifier,
    images: DeviceImages,
    targets: Int64,
    image_ids: UInt64,
    attack: Attack,
    batch_size: int,
    update: Update,
    rows: Int64,
) -> Iterator[tuple[Int64, UInt8, Predictions]]:
    """Adversarial examples from a classifier, a batch at a time, and the predictions for them.

    Args:
        classifier: In eval mode; its parameters are frozen, so that the gradient goes to the
            image alone.
        images: M images, on the classifier's device.
        targets: (M,) the classifier's index of each image's true class.
        image_ids: (M,) the images' ids, which key what an attack draws at random.
        attack: Makes the examples.
        batch_size: The largest batch.
        update: Called with the number of images done.
        rows: Which images.

    Yields:
        The rows of a batch, its examples (B, 3, H, W) uint8, and the predictions for them.
    """
    classifier.requires_grad_(False)

    def attacked(part: Int64) -> tuple[Int64, UInt8, Predictions]:
        truth = torch.from_numpy(targets[part]).to(images.device)
        examples = attack(classifier, images.take(part), truth, image_ids[part])
        judged = judge_examples(classifier, examples, targets[part])
        return part, examples.cpu().numpy(), judged

    for found in side_by_side(attacked, batches(rows, batch_size), images.device):
        yield found
        update(len(found[0]))


def judge_examples(classifier: Classifier, examples: Tensor, targets: Int64) -> Predictions:
    """Predict a batch of examples (B, 3, H, W) uint8 that are on the classifier's device."""
    truth = torch.from_numpy(targets).to(examples.device)
    with torch.inference_mode():
        return _judge(classifier(examples), truth)


def without_ids(attack: Callable[..., Tensor], **setting: int) -> Attack:
    """An attack that draws nothing at random, and so needs no ids of the images.

    Args:
        attack: Takes a model, images and true classes.
        setting: Its other arguments.
    """

    def examples(model: Classifier, images: Tensor, labels: Tensor, image_ids: UInt64) -> Tensor:
        return attack(model, images, labels, **setting)

    return examples
