"""The distance of images to the decision boundary, a batch at a time."""

import numpy as np
import numpy.typing as npt
import torch

from pixelproof.core.attacks.boundary import boundary_distance
from pixelproof.evaluation.prediction import Int64, Update
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages


def boundary_distances(
    classifier: Classifier,
    images: DeviceImages,
    targets: Int64,
    batch_size: int,
    update: Update,
    rows: Int64,
) -> npt.NDArray[np.float32]:
    """The first-order distance of images to the decision boundary; arguments as of `predict`.

    Returns:
        (N,) Euclidean distances where a value spans 0..1.
    """
    classifier.requires_grad_(False)
    distances = [np.empty(0, np.float32)]
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        truth = torch.from_numpy(targets[part]).to(images.device)
        distances.append(boundary_distance(classifier, images.take(part), truth).cpu().numpy())
        update(len(part))
    return np.concatenate(distances)
