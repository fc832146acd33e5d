"""The images to score: found first, read when they are needed."""

import csv
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixelproof.data.image_set import load_images
from pixelproof.data.reading import find_images, printable, read_image, to_array
from pixelproof.errors import DataError, ParameterError
from pixelproof.params.select import Select
from pixelproof.system import files

if TYPE_CHECKING:
    from pixelproof.params.select import Fit
    from pixelproof.scoring.target import Target

UInt8 = npt.NDArray[np.uint8]
USUAL_SIDE = 224


@dataclass(frozen=True)
class Pictures:
    """Images, as far as they are known before they are read.

    Attributes:
        source: Where they are.
        names: What each is called, (N,).
        labels: The name of each one's class; None where there are none.
        read: The image of a number, (3, side, side) uint8; raises DataError where it is unreadable.
        side: Of the arrays, in pixels.
        parts: The part that each belongs to, where images come in parts.
        words: How an image became an array.
        note: What a person should know of them.
    """

    source: str
    names: Sequence[str]
    labels: Sequence[str] | None
    read: Callable[[int], UInt8]
    side: int
    parts: Sequence[str] | None = None
    words: str = ""
    note: str = ""

    def __len__(self) -> int:
        return len(self.names)


def find_pictures(
    images: Any, labels: Sequence[Any] | None, side: int | None, fit: "Fit"
) -> Pictures:
    """The images of a folder, a table, a manifest or an array.

    Args:
        images: A folder with one folder for each class, or with images alone; a CSV file with the
            columns `path` (from the file's own folder) and `label`; `artifacts/images` as the
            stage `select` has made it; one image; or an array (N, 3, H, W) or (N, H, W, 3) uint8.
        labels: Of an array, (N,): names or indices of classes.
        side: In pixels, as the model takes them; None: 224, or the side of an array.
        fit: How an image becomes a square.

    Raises:
        ParameterError: The array or the labels are not what they must be.
        DataError: There is no image.
    """
    if not isinstance(images, str | Path):
        return _array(images, labels, side)
    if labels is not None:
        raise ParameterError("labels: expected none beside a path, whose folders or table say them")
    path = Path(images)
    note = ""
    if (manifest := path if path.name == "manifest.json" else path / "manifest.json").is_file():
        return _manifest(manifest.parent, side)
    if path.suffix.lower() == ".csv" and path.is_file():
        paths, names = _table(path)
    elif path.is_dir():
        paths, names, note = _folder(path)
    elif path.is_file():
        paths, names = [path], None
    else:
        raise DataError(f"{path}: expected a folder of images, a CSV file or an image; got nothing")
    if not paths:
        raise DataError(f"{path}: expected images, got none")
    size = side or USUAL_SIDE

    def read(at: int) -> UInt8:
        return to_array(read_image(paths[at]).image, size, fit)

    shown = [printable(one) for one in paths]
    return Pictures(str(path), shown, names, read, size, words=f"{size} px, {fit}", note=note)


def pictures_for(target: "Target", images: Any, labels: Sequence[Any] | None = None) -> Pictures:
    """The images as a model takes them; the model is closed where there are none to be had.

    Args:
        target: The model.
        images: See `find_pictures`.
        labels: Of an array.

    Raises:
        ParameterError: The array or the labels are not what they must be.
        DataError: There is no image.
    """
    try:
        return find_pictures(images, labels, target.side, target.fit)
    except BaseException:
        target.close(False)
        raise


def _folder(root: Path) -> tuple[list[Path], list[str] | None, str]:
    """By class where there are two or more class folders; else without labels, and a note."""
    inside = [each for each in root.iterdir() if not each.name.startswith(".")]
    folders = [each for each in inside if each.is_dir()]
    if len(folders) > 1:
        classes = find_images(root)
        paths = [path for files_of_class in classes.values() for path in files_of_class]
        return paths, [name for name, found in classes.items() for _ in found], ""
    found = sorted(root.rglob("*"))
    paths = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not folders:
        return paths, None, ""
    note = f"one folder, {folders[0].name}, is not taken for a class; a CSV file can say that it is"
    return paths, None, note


def _table(path: Path) -> tuple[list[Path], list[str] | None]:
    """The paths and the labels of a CSV file; without the column `label` there are none."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            rows = list(csv.DictReader(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: expected CSV in UTF-8: {error}") from None
    if not rows or "path" not in rows[0]:
        got = ", ".join(map(str, rows[0])) if rows else "no row"
        raise DataError(f"{path}: expected the columns path and label, got {got}")
    labels = [row["label"] for row in rows] if "label" in rows[0] else None
    if labels is not None and not all(labels):
        line = 2 + next(at for at, label in enumerate(labels) if not label)
        raise DataError(f"{path}, line {line}: expected a label, got none")
    return [path.parent / str(row["path"]) for row in rows], labels


def _manifest(folder: Path, side: int | None) -> Pictures:
    """The held-out images that the stage `select` has made."""
    made = files.read_sealed(folder / "manifest.json")
    keys = ("side", "fit", "split", "seed", "validation")  # that the images were made by
    images = load_images(
        folder, "held_out", Select(**{key: made[key] for key in keys if key in made})
    )
    own = int(images.pixels.shape[2])
    if side not in (None, own):
        raise ParameterError(
            f"{folder}: its images have side {own}, and the model takes {side}; give the folder "
            "of the files"
        )
    labels = [images.classes[label] for label in images.labels]
    words = f"{own} px, {made['fit']}"
    return Pictures(
        f"{folder} (held out)",
        images.paths,
        labels,
        lambda at: np.array(images.pixels[at]),
        own,
        images.groups,
        words,
    )


def _names(labels: Any, count: int) -> list[str]:
    """Labels as text: a list, an array or a tensor of names or of whole numbers."""
    given = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    if len(given) != count:
        raise ParameterError(f"labels: expected {count}, one an image, got {len(given)}")
    return [label if isinstance(label, str) else _index(label) for label in given]


def _index(label: Any) -> str:
    try:
        return str(operator.index(label))
    except TypeError:
        raise ParameterError(
            f"labels: expected names or indices of classes, got {label!r}"
        ) from None


def _array(images: Any, labels: Sequence[Any] | None, side: int | None) -> Pictures:
    array = np.asarray(images.cpu() if hasattr(images, "cpu") else images)
    if array.ndim == 4 and array.shape[1] != 3 and array.shape[3] == 3:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] != 3 or array.dtype != np.uint8 or not len(array):
        raise ParameterError(
            "images: expected a path, or uint8 (N, 3, H, W) or (N, H, W, 3), "
            f"got {array.dtype} {array.shape}"
        )
    height, width = array.shape[2:]
    if height != width or side not in (None, height):
        raise ParameterError(
            f"images: expected squares of side {side or 'H'}, got {height}x{width}"
        )
    named = None if labels is None else _names(labels, len(array))
    names = [str(at) for at in range(len(array))]

    def read(at: int) -> UInt8:
        return np.array(array[at], order="C")

    return Pictures("an array", names, named, read, int(height), words=f"{height} px")
