"""Images classified by a model folder, for people."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from pixelproof.data.reading import (
    UnreadableImageError,
    printable,
    read_image,
    strict_reading,
    to_array,
)
from pixelproof.errors import DataError, one_line
from pixelproof.models.loading import load_classifier


def _image_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


def predict(model: Path, paths: Sequence[Path]) -> None:
    """Print a line an image: its path, class and probability, with tabs between.

    Raises:
        DataError: The model is missing, or an image could not be read; the others are answered.
    """
    classifier = load_classifier(model)
    if classifier.side is None:
        raise DataError(f"{model}: expected a model that was trained here: it states no image size")
    unreadable = 0
    for path in _image_files(paths):
        try:
            with strict_reading():
                image = read_image(path).image
        except UnreadableImageError as error:
            unreadable += 1
            print(f"pixelproof: {one_line(str(error))}", file=sys.stderr)
            continue
        array = to_array(image, classifier.side, classifier.fit)
        with torch.inference_mode():
            probability = classifier(torch.from_numpy(array[None])).softmax(dim=1)[0]
        best = int(probability.argmax())
        name, answer = one_line(printable(path)), one_line(classifier.classes[best])
        print(f"{name}\t{answer}\t{probability[best]:.4f}", flush=True)
    if unreadable:
        raise DataError(f"{unreadable} of the images could not be read; see the lines above")
