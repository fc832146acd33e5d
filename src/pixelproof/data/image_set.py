"""The images of a split as the stages share them: arrays, labels and ids."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pixelproof.errors import IntegrityError
from pixelproof.params.select import Select
from pixelproof.system import files

UInt8 = npt.NDArray[np.uint8]


def image_id(array: UInt8) -> int:
    """The first 64 bits of the SHA-256 of an image's shape and values: its content's name."""
    digest = hashlib.sha256(str(array.shape).encode() + array.tobytes()).digest()
    return int.from_bytes(digest[:8], "big")


def hex_id(number: int) -> str:
    """An image id as 16 hexadecimal digits."""
    return f"{number:016x}"


@dataclass(frozen=True)
class ImageSet:
    """The images of one split.

    Attributes:
        ids: (N,) uint64, ascending.
        labels: (N,) int64, indices into `classes`.
        pixels: (N, 3, H, W) uint8, memory-mapped.
        classes: The names of the classes, sorted.
        paths: (N,) `class/file` below the data folder.
        split: `train` or `held_out`.
        groups: (N,) the part that each image belongs to; None where each stands alone.
    """

    ids: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.int64]
    pixels: UInt8
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    split: str
    groups: tuple[str, ...] | None = None


def load_images(folder: Path, split: str, select: Select) -> ImageSet:
    """Open the images of a split.

    Args:
        folder: As the stage `select` left it.
        split: `train` or `held_out`.
        select: The parameters that the images must have been made by.

    Raises:
        DataError: The folder is missing.
        IntegrityError: Its bytes are not those that were written, or other parameters made it.
    """
    manifest = files.read_sealed(folder / "manifest.json")
    for key in ("side", "fit", "split", "seed", "validation"):
        made, wanted = manifest.get(key), getattr(select, key)
        if made != wanted:
            raise IntegrityError(
                f"{folder}: expected images of select.{key} = {wanted}, got those of {made}; run "
                "`dvc repro -f -s select`, then `dvc repro`"
            )
    path = folder / f"{split}.npy"
    files.verify(path, manifest["splits"][split]["sha256"])
    rows = [row for row in manifest["images"] if row["split"] == split]
    pixels = np.load(path, mmap_mode="r")
    if len(pixels) != len(rows):
        raise IntegrityError(
            f"{path}: expected {len(rows)} images, got {len(pixels)}; run `dvc repro -f select`"
        )
    return ImageSet(
        np.array([int(row["image"], 16) for row in rows], dtype=np.uint64),
        np.array([row["label"] for row in rows], dtype=np.int64),
        pixels,
        tuple(manifest["classes"]),
        tuple(row["path"] for row in rows),
        split,
        tuple(row["group"] for row in rows) if all("group" in row for row in rows) else None,
    )
