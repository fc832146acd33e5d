"""A stored classifier as MLflow loads it: raw images in, classes out; no MLflow here."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from pixelproof.data.reading import to_array
from pixelproof.errors import DataError
from pixelproof.models.classifier import Classifier
from pixelproof.models.storage import read_classifier

BATCH = 64


class ServedClassifier:
    """Answers for raw uint8 images."""

    def __init__(self, classifier: Classifier) -> None:
        """Serve a classifier, in eval mode."""
        self._classifier = classifier

    def _batch(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if images.shape[-1] == 3:
            size = self._classifier.side or images.shape[1]
            fit = self._classifier.fit
            return np.stack([to_array(Image.fromarray(image), size, fit) for image in images])
        return images

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Classify images.

        Args:
            images: (N, H, W, 3) uint8, RGB of any size, as Pillow gives them: made a square as
                the training images were. Or (N, 3, H, W) uint8, taken as they are.
            params: Not used; part of MLflow's interface.

        Returns:
            A row an image: `prediction`, the name of the class, and `probability`.

        Raises:
            DataError: The images are of another shape or type.
        """
        array = np.asarray(images)
        if array.ndim != 4 or 3 not in (array.shape[1], array.shape[3]) or array.dtype != np.uint8:
            raise DataError(
                "expected uint8 images (N, H, W, 3) or (N, 3, H, W), "
                f"got {array.dtype} {array.shape}"
            )
        best, probability = [np.empty(0, np.int64)], [np.empty(0)]
        for start in range(0, len(array), BATCH):
            batch = torch.from_numpy(np.array(self._batch(array[start : start + BATCH])))
            with torch.inference_mode():
                winners = self._classifier(batch).softmax(dim=1).max(dim=1)
            best.append(winners.indices.numpy())
            probability.append(winners.values.double().numpy())
        names = np.array(self._classifier.classes, dtype=object)
        return pd.DataFrame(
            {"prediction": names[np.concatenate(best)], "probability": np.concatenate(probability)}
        )


def _load_pyfunc(path: str) -> ServedClassifier:
    """What MLflow calls with the folder that was logged; only weights are read, no pickle.

    Whoever loads a model with MLflow trusts the code that was logged with it: MLflow has put it
    on the path already.
    """
    return ServedClassifier(read_classifier(Path(path), lambda architecture, folder: None))
