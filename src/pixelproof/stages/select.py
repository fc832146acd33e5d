"""Read the images, refuse what cannot be read, split them, and choose the subset."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelproof import files
from pixelproof.errors import DataError
from pixelproof.images import (
    UInt8,
    UnreadableImageError,
    find_images,
    hex_id,
    image_id,
    printable,
    read_image,
    strict_reading,
    to_array,
)
from pixelproof.layout import IMAGES
from pixelproof.params import Group, Params, Select
from pixelproof.progress import progress

SPLITS = ("train", "held_out")
CHUNK = 512  # images decoded at once, which bounds the memory
IMBALANCE = 4.0  # standard errors beyond which a class's share in a split is remarked on


@dataclass(frozen=True)
class Row:
    """One readable image.

    Attributes:
        image: Its id, the name of its content.
        path: `class/file`, as text.
        label: The index of its class.
        at: Its place among the decoded images.
        width: Of the file, in pixels.
        height: Of the file, in pixels.
        mode: Pillow's mode of the file.
        split: `train` or `held_out`.
    """

    image: int
    path: str
    label: int
    at: int
    width: int
    height: int
    mode: str
    split: str


def _hash(*parts: object) -> int:
    """64 bits that depend on the parts alone."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def split_of(select: Select, key: object) -> str:
    """The split of an image or a group: a threshold on a hash, so no other image matters."""
    held_out = _hash(select.seed, "split", key) < select.held_out * 2**64
    return "held_out" if select.split == "none" or held_out else "train"


def group_finder(group: Group | None, root: Path) -> Callable[[str], str | None]:
    """A function from `class/file` to the group of an image, or None where images stand alone.

    Raises:
        DataError: The CSV is missing or lacks a column; later, a path has no group.
    """
    if group is None:
        return lambda path: None
    if group.pattern is not None:
        pattern = re.compile(group.pattern)

        def search(path: str) -> str:
            match = pattern.search(path)
            if match is None:
                raise DataError(f"{root}/{path}: select.group.pattern finds nothing in this path")
            return match[1] if pattern.groups else match[0]

        return search
    table = Path(str(group.csv))
    try:
        with table.open(encoding="utf-8", newline="") as file:
            named = {line["path"]: line[str(group.column)] for line in csv.DictReader(file)}
    except OSError as error:
        raise DataError(f"{table}: select.group.csv cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise DataError(f"{table}: expected the columns path and {group.column}: {error}") from None

    def look_up(path: str) -> str:
        if path not in named:
            raise DataError(f"{table}: expected a line for {path}, got none")
        return named[path]

    return look_up


def _by_hash(rows: Sequence[Row], number: int, seed: int) -> list[Row]:
    """The rows whose own hash is smallest: one more image displaces one other at the most."""
    return sorted(rows, key=lambda row: _hash(seed, "choice", row.image))[:number]


STRATEGIES: dict[str, Callable[[Sequence[Row], int, int], list[Row]]] = {"random": _by_hash}


def quotas(available: Counter[int], number: int) -> dict[int, int]:
    """How many images of each class make up `number`, the classes keeping their shares.

    By largest remainders; at most what is available.
    """
    total = sum(available.values())
    number = min(number, total)
    exact = {label: number * count / total for label, count in sorted(available.items())}
    taken = {label: int(share) for label, share in exact.items()}
    rest = sorted(exact, key=lambda label: taken[label] - exact[label])
    for label in rest[: number - sum(taken.values())]:
        taken[label] += 1
    return taken


def choose_subset(rows: Sequence[Row], select: Select) -> list[Row]:
    """The stated number of images of each split, class by class, in the order of their ids."""
    chosen: list[Row] = []
    pick = STRATEGIES[select.strategy]
    for split in SPLITS:
        of_split = [row for row in rows if row.split == split]
        number: int | None = getattr(select, f"{split}_images")
        wanted = quotas(Counter(row.label for row in of_split), number or len(of_split))
        part: list[Row] = []
        for label, count in wanted.items():
            part += pick([row for row in of_split if row.label == label], count, select.seed)
        chosen += sorted(part, key=lambda row: row.image)
    return chosen


def without_duplicates(rows: Sequence[Row]) -> tuple[list[Row], list[dict[str, str]]]:
    """Keep equal content once, and out of two classes and two splits.

    Returns:
        The rows, and for each left out its path and that of its equal.

    Raises:
        DataError: Equal content stands in two classes, or its groups in two splits.
    """
    first: dict[int, Row] = {}
    duplicates = []
    for row in rows:
        other = first.setdefault(row.image, row)
        if other is row:
            continue
        for what, one, two in (
            ("class", other.label, row.label),
            ("split (select.group sends them apart)", other.split, row.split),
        ):
            if one != two:
                raise DataError(
                    f"{row.path}: the same image as {other.path}, expected in one {what}; "
                    "delete the wrong one"
                )
        duplicates.append({"path": row.path, "same_as": other.path})
    return list(first.values()), duplicates


def balance(rows: Sequence[Row], classes: Sequence[str], select: Select) -> list[str]:
    """Check that each split has every class, and remark on shares beyond chance.

    Returns:
        Remarks for the manifest.

    Raises:
        DataError: A split lacks a class.
    """
    whole = Counter(row.label for row in rows)
    remarks = []
    for split in SPLITS if select.split == "hash" else SPLITS[1:]:
        part = Counter(row.label for row in rows if row.split == split)
        size = sum(part.values())
        for label, name in enumerate(classes):
            if not part[label]:
                raise DataError(
                    f"{split}: no image of class {name}; add images, or change select.held_out"
                )
            share = whole[label] / len(rows)
            spread = (share * (1 - share) / size * (1 - size / len(rows))) ** 0.5
            if abs(part[label] / size - share) > IMBALANCE * spread > 0:
                remarks.append(
                    f"{split}: {part[label] / size:.1%} {name}, of all images {share:.1%}"
                )
    return remarks


@dataclass
class Reading:
    """The images as they are read: what each is, and what was refused or remarked on."""

    rows: list[Row]
    quarantined: list[dict[str, str]]
    notes: list[dict[str, str]]
    found: int


def _read_one(path: Path, select: Select) -> UnreadableImageError | tuple[UInt8, Any]:
    try:
        read = read_image(path)
    except UnreadableImageError as error:
        return error
    return to_array(read.image, select.size, select.fit), read


def _decoded(
    paths: Sequence[Path], select: Select
) -> Iterator[tuple[Path, UnreadableImageError | tuple[UInt8, Any]]]:
    """Each path with its image or the reason it was refused, in order, a chunk at a time."""
    with strict_reading(), ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            yield from zip(chunk, pool.map(lambda one: _read_one(one, select), chunk), strict=True)


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
            array, read = outcome
            one, group = image_id(array), group_of(name)
            split = split_of(select, hex_id(one) if group is None else group)
            width, height = read.image.size
            at = len(reading.rows)
            reading.rows.append(Row(one, name, labels[path], at, width, height, read.mode, split))
            if read.note:
                reading.notes.append({"path": name, "note": read.note})
            sink.write(array.tobytes())
    _check_quarantine(reading, list(found), select)
    return reading


def _check_quarantine(reading: Reading, classes: Sequence[str], select: Select) -> None:
    refused = reading.quarantined
    shown = "; ".join(f"{one['path']}: {one['reason']}" for one in refused[:3])
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
    """Copy the chosen images from the raw arrays; returns the checksum of the file."""
    path = folder / f"{split}.npy"
    shape = (3, size, size)
    target = np.lib.format.open_memmap(path, "w+", np.uint8, (len(rows), *shape))
    source = np.memmap(raw, np.uint8, "r").reshape(-1, *shape)
    for at, row in enumerate(rows):
        target[at] = source[row.at]
    target.flush()
    return files.sha256(path)


def _by_class(rows: Sequence[Row], classes: Sequence[str], split: str) -> dict[str, int]:
    counts = Counter(row.label for row in rows if row.split == split)
    return {name: counts[label] for label, name in enumerate(classes)}


def run(params: Params) -> None:
    """Write `artifacts/images/`: an array for each split, and the manifest."""
    select = params.select
    found = find_images(Path(select.data))
    classes = list(found)
    with files.atomic(IMAGES) as folder:
        folder.mkdir()
        raw = folder / "raw"
        reading = read_all(found, select, raw)
        rows, duplicates = without_duplicates(reading.rows)
        remarks = balance(rows, classes, select)
        chosen = choose_subset(rows, select)
        splits = {}
        for split in SPLITS:
            part = [row for row in chosen if row.split == split]
            splits[split] = {
                "images": len(part),
                "by_class": _by_class(part, classes, split),
                "available_by_class": _by_class(rows, classes, split),
                "sha256": _write_split(folder, split, part, raw, select.size),
            }
        raw.unlink()
        manifest = {
            "classes": classes,
            "size": select.size,
            "fit": select.fit,
            "split": select.split,
            "seed": select.seed,
            "found": reading.found,
            "splits": splits,
            "quarantined": reading.quarantined,
            "duplicates": duplicates,
            "notes": reading.notes,
            "warnings": remarks,
            "images": [
                {
                    "image": hex_id(row.image),
                    "path": row.path,
                    "label": row.label,
                    "split": row.split,
                    "width": row.width,
                    "height": row.height,
                    "mode": row.mode,
                }
                for row in chosen
            ],
        }
        files.write_json(folder / "manifest.json", manifest)
