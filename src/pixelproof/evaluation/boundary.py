"""The distance of images to the decision boundary, a batch at a time."""

import numpy as np
import numpy.typing as npt
import torch

from pixelproof.core.attacks.boundary import boundary_distance
from pixelproof.evaluation.prediction import Int64, Update, batches
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.models.side_by_side import side_by_side


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

    def of(part: Int64) -> npt.NDArray[np.float32]:
        truth = torch.from_numpy(targets[part]).to(images.device)
        found: npt.NDArray[np.float32]
        found = boundary_distance(classifier, images.take(part), truth).cpu().numpy()
        return found

    distances = [np.empty(0, np.float32)]
    for found in side_by_side(of, batches(rows, batch_size), images.device):
        distances.append(found)
        update(len(found))
    return np.concatenate(distances)
