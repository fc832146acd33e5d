"""Read the images, refuse what cannot be read, split them, and choose the subset."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelproof.data.image_set import hex_id, image_id
from pixelproof.data.reading import (
    UInt8,
    UnreadableImageError,
    find_images,
    printable,
    read_image,
    strict_reading,
    to_array,
)
from pixelproof.data.splits import (
    SPLITS,
    Row,
    balance,
    choose_subset,
    group_finder,
    split_of,
    without_duplicates,
)
from pixelproof.errors import DataError
from pixelproof.params.select import Select
from pixelproof.paths import IMAGES
from pixelproof.system import files
from pixelproof.system.progress import progress

CHUNK = 512  # images decoded at once, which bounds the memory


@dataclass(frozen=True)
class Decoded:
    """What is kept of a file: not its own pixels, which a photograph has far more of."""

    array: UInt8
    width: int
    height: int
    mode: str
    note: str | None


@dataclass
class Reading:
    """The images as they are read: what each is, and what was refused or remarked on."""

    rows: list[Row]
    quarantined: list[dict[str, str]]
    notes: list[dict[str, str]]
    found: int


def _read_one(path: Path, select: Select) -> UnreadableImageError | Decoded:
    try:
        read = read_image(path)
    except UnreadableImageError as error:
        return error
    array = to_array(read.image, select.side, select.fit)
    return Decoded(array, *read.image.size, read.mode, read.note)


def _decoded(
    paths: Sequence[Path], select: Select
) -> Iterator[tuple[Path, UnreadableImageError | Decoded]]:
    """Each path with its image or the reason it was refused, in order, a chunk at a time."""
    with strict_reading(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            yield from zip(
                chunk, pool.map(lambda path: _read_one(path, select), chunk), strict=True
            )


def read_all(found: dict[str, list[Path]], select: Select, raw: Path) -> Reading:
    """Read every image, and append those that are sound to a file of raw arrays.

    Raises:
        DataError: Too many were refused, or all of a class.
    """
    root = Path(select.data)
    labels = {path: at for at, paths in enumerate(found.values()) for path in paths}
    group_of = group_finder(select.group, root)
    reading = Reading([], [], [], len(labels))
    with raw.open("wb") as sink, progress(len(labels), "select") as update:
        for path, outcome in _decoded(list(labels), select):
            name = printable(path.relative_to(root))
            update(1)
            if isinstance(outcome, UnreadableImageError):
                reading.quarantined.append({"path": name, "reason": outcome.reason})
                continue
            image, group = image_id(outcome.array), group_of(name)
            split = split_of(select, hex_id(image) if group is None else group)
            file = (outcome.width, outcome.height, outcome.mode)
            at = len(reading.rows)
            reading.rows.append(Row(image, name, labels[path], at, *file, split, group))
            if outcome.note:
                reading.notes.append({"path": name, "note": outcome.note})
            sink.write(outcome.array.tobytes())
    _check_quarantine(reading, list(found), select)
    return reading


def _check_quarantine(reading: Reading, classes: Sequence[str], select: Select) -> None:
    refused = reading.quarantined
    shown = "; ".join(f"{file['path']}: {file['reason']}" for file in refused[:3])
    if len(refused) > select.unreadable * reading.found:
        raise DataError(
            f"{select.data}: {len(refused)} of {reading.found} files cannot be read, expected at "
            f"most the share {select.unreadable} (select.unreadable): {shown}"
        )
    left = {row.label for row in reading.rows}
    for label, name in enumerate(classes):
        if label not in left:
            raise DataError(f"{select.data}/{name}: no image of this class can be read: {shown}")


def _write_split(folder: Path, split: str, rows: Sequence[Row], raw: Path, size: int) -> str:
    """Copy the chosen images from the raw arrays; returns the checksum of the file.

    By plain writes: on a full disk they raise, where a memory-mapped file kills the process.
    """
    path = folder / f"{split}.npy"
    shape = (3, size, size)
    source = np.memmap(raw, np.uint8, "r").reshape(-1, *shape)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *shape)}
    with path.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, header)
        for row in rows:
            target.write(source[row.at].tobytes())
    return files.sha256(path)


def _by_class(rows: Sequence[Row], classes: Sequence[str], split: str) -> dict[str, int]:
    counts = Counter(row.label for row in rows if row.split == split)
    return {name: counts[label] for label, name in enumerate(classes)}


def _image(row: Row) -> dict[str, Any]:
    """What the manifest says of an image."""
    part = {} if row.group is None else {"group": row.group}
    return {
        "image": hex_id(row.image),
        "path": row.path,
        "label": row.label,
        "split": row.split,
        "width": row.width,
        "height": row.height,
        "mode": row.mode,
        **part,
    }


def run(*, select: Select, check_classes: Callable[[Sequence[str]], None]) -> None:
    """Write `artifacts/images/`: an array for each split, and the manifest."""
    found = find_images(Path(select.data))
    classes = list(found)
    check_classes(classes)
    with files.atomic(IMAGES) as folder:
        folder.mkdir()
        raw = folder / "raw"
        reading = read_all(found, select, raw)
        rows, duplicates = without_duplicates(reading.rows)
        rows = [row for row in rows if row.split in SPLITS]
        remarks = balance(rows, classes, select)
        chosen = choose_subset(rows, classes, select)
        splits = {}
        for split in SPLITS:
            part = [row for row in chosen if row.split == split]
            splits[split] = {
                "images": len(part),
                "by_class": _by_class(part, classes, split),
                "available_by_class": _by_class(rows, classes, split),
                "sha256": _write_split(folder, split, part, raw, select.side),
            }
        raw.unlink()
        manifest = {
            "classes": classes,
            "side": select.side,
            "fit": select.fit,
            "split": select.split,
            "seed": select.seed,
            "found": reading.found,
            "splits": splits,
            "quarantined": reading.quarantined,
            "duplicates": duplicates,
            "notes": reading.notes,
            "warnings": remarks,
            "images": [_image(row) for row in chosen],
        }
        if select.validation is not None:
            manifest["validation"] = select.validation
        files.write_sealed(folder / "manifest.json", manifest)
