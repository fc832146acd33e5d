"""Exports small-distance samples as PNG files, for people to look at."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pixelproof.core.pixel_changes import apply_changes
from pixelproof.data.drawn_changes import load_change_set
from pixelproof.data.image_set import load_images
from pixelproof.errors import DataError, ParameterError
from pixelproof.params.project import Params
from pixelproof.paths import CHANGES, IMAGES
from pixelproof.system import files


def export(
    params: Params,
    folder: Path,
    *,
    split: str,
    draws: str,
    n: int,
    draw: int,
    limit: int,
) -> None:
    """Write small-distance samples as PNG files, which are lossless, for people to look at.

    The unchanged image is written beside each one, resized as the models see it; both are named
    after the original file.

    Args:
        params: Of the project.
        folder: A new folder; gets a subfolder for each class.
        split: `train` or `test`.
        draws: The name of the stored draws: an arm (`train`), or values and area (`test`).
        n: How many of the drawn pixels.
        draw: Which draw.
        limit: How many images.

    Raises:
        DataError: The folder exists, or no such changes are stored.
        ParameterError: n, the draw or the limit is beyond what is stored.
    """
    if folder.exists():
        raise DataError(f"{folder}: exists; name a new folder")
    images = load_images(IMAGES, "train" if split == "train" else "held_out", params.select)
    changes = load_change_set(CHANGES / split, draws, images)
    _check_range("--n", n, 1, changes.records.shape[2])
    _check_range("--draw", draw, 0, changes.draws - 1)
    _check_range("--images", limit, 1, sys.maxsize)
    rows = np.arange(min(limit, len(images.ids)))
    names = _export_names([Path(images.paths[row]) for row in rows])
    with files.atomic(folder) as temporary:
        for row, name in zip(rows, names, strict=True):
            rows_of_image = slice(row, row + 1)
            unchanged = np.array(images.pixels[rows_of_image])
            changed = apply_changes(unchanged, changes.take(rows_of_image, draw, n))
            target = temporary / images.classes[images.labels[row]]
            target.mkdir(parents=True, exist_ok=True)
            for array, kind in ((unchanged, "unchanged"), (changed, f"{draws}-{n}px-draw{draw}")):
                image = Image.fromarray(array[0].transpose(1, 2, 0))
                image.save(target / f"{name}-{kind}.png")
    print(f"{folder}: {len(rows)} images, unchanged and with {n} changed pixels each")


def _check_range(option: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise ParameterError(f"{option}: expected {low} to {high}, got {number}")


def _export_names(paths: Sequence[Path]) -> list[str]:
    """The names of image files without their endings, as far as those tell them apart."""
    stems = Counter((path.parts[0], path.stem) for path in paths)
    names = []
    for path in paths:
        inner = "-".join(path.parts[1:])
        names.append(path.stem if stems[path.parts[0], path.stem] == 1 else inner)
    return names
