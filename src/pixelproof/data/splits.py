"""Which image belongs to which split, and which of a split are taken."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelproof.errors import DataError
from pixelproof.params.select import Group, Select

SPLITS = ("train", "held_out")
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
        split: `train` or `held_out`; `spared` for what was held out where `select.validation` cuts
            off others in its place.
        group: The part it belongs to; None where it stands alone.
    """

    image: int
    path: str
    label: int
    at: int
    width: int
    height: int
    mode: str
    split: str
    group: str | None = None


def _hash(*parts: object) -> int:
    """64 bits that depend only on the parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def split_of(select: Select, key: object) -> str:
    """The split of an image or a group: a threshold on a hash, so no other image matters.

    With `select.validation`, a share of the training images is what is held out, and the images
    that are held out without it are spared: a choice made then has not seen them.
    """
    held_out = _hash(select.seed, "split", key) < select.held_out * 2**64
    if select.split == "none":
        return "held_out"
    if select.validation is None:
        return "held_out" if held_out else "train"
    cut_off = _hash(select.seed, "validation", key) < select.validation * 2**64
    return "spared" if held_out else "held_out" if cut_off else "train"


def group_finder(group: Group | None, root: Path) -> Callable[[str], str | None]:
    """A function from `class/file` to the group of an image, or None where there are no groups.

    Raises:
        DataError: The CSV is missing, is none, lacks a column or gives a path two groups; later, a
            path has no group.
    """
    if group is None:
        return lambda path: None
    if group.pattern is not None:
        return _by_pattern(re.compile(group.pattern), group.block, root)
    table = Path(str(group.csv))
    named = _read_groups(table, str(group.column))

    def look_up(path: str) -> str:
        if not named.get(path):
            raise DataError(f"{table}: expected a line with a group for {path}, got none")
        return named[path]

    return look_up


def _by_pattern(pattern: re.Pattern[str], block: int | None, root: Path) -> Callable[[str], str]:
    """A function from `class/file` to what a pattern finds in it, or to the block of its number."""

    def search(path: str) -> str:
        match = pattern.search(path)
        found = (match.groups() or (match[0],)) if match else ("",)
        recording, name = ((), found[0]) if block is None else (found[:-1], found[-1])
        if not name:
            raise DataError(
                f"{root}/{path}: select.group.pattern finds nothing in this path; set it to what "
                "names a part in your paths, or select.group to null"
            )
        if block is None:
            return str(name)
        if not name.isdecimal():
            raise DataError(
                f"{root}/{path}: expected a number for select.group.block, got {name!r} by "
                "select.group.pattern"
            )
        return "/".join([*map(str, recording), str(int(name) // block)])

    return search


def _read_groups(table: Path, column: str) -> dict[str, str]:
    """The group of each path in a CSV, which may begin with a byte order mark."""
    named: dict[str, str] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for line in csv.DictReader(file):
                path, group = line["path"], line[column]
                if named.setdefault(path, group) != group:
                    raise DataError(
                        f"{table}: {path} stands in the groups {named[path]} and {group}, "
                        "expected one"
                    )
    except OSError as error:
        raise DataError(f"{table}: select.group.csv cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise DataError(f"{table}: expected the columns path and {column}: {error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: expected a CSV in UTF-8: {error}") from None
    return named


def _by_hash(rows: Sequence[Row], number: int, seed: int) -> list[Row]:
    """The rows whose own hash is smallest: one more image displaces one other at the most."""
    return sorted(rows, key=lambda row: _hash(seed, "choice", row.image))[:number]


STRATEGIES: dict[str, Callable[[Sequence[Row], int, int], list[Row]]] = {"random": _by_hash}


def quotas(available: Counter[int], number: int) -> dict[int, int]:
    """How many images of each class make up `number`, the classes keeping their shares.

    By largest remainders; at most what is available, and one of each class where the number is
    large enough for that.
    """
    total = sum(available.values())
    number = min(number, total)
    exact = {label: number * count / total for label, count in sorted(available.items())}
    taken = {label: int(share) for label, share in exact.items()}
    rest = sorted(exact, key=lambda label: taken[label] - exact[label])
    for label in rest[: number - sum(taken.values())]:
        taken[label] += 1
    for label in [other for other in taken if not taken[other]]:
        if number >= len(taken):
            giver = max(
                (other for other in taken if taken[other] > 1),
                key=lambda other: taken[other] - exact[other],
            )
            taken[giver] -= 1
            taken[label] = 1
    return taken


def choose_subset(rows: Sequence[Row], classes: Sequence[str], select: Select) -> list[Row]:
    """The stated number of images of each split, class by class, in the order of their ids.

    Raises:
        DataError: The number is so small that a class gets no image.
    """
    chosen: list[Row] = []
    pick = STRATEGIES[select.strategy]
    for split in SPLITS:
        of_split = [row for row in rows if row.split == split]
        number: int | None = getattr(select, f"{split}_images")
        wanted = quotas(Counter(row.label for row in of_split), number or len(of_split))
        part: list[Row] = []
        for label, count in wanted.items():
            if not count:
                raise DataError(
                    f"{split}: {number} images have none of class {classes[label]}, whose share "
                    f"is too small; expected one of each class: raise select.{split}_images"
                )
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
        for what, earlier, later in (
            ("class", other.label, row.label),
            ("split (select.group sends them apart)", other.split, row.split),
        ):
            if earlier != later:
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
                key = "held_out" if select.validation is None else "validation"
                raise DataError(
                    f"{split}: no image of class {name}; add images, or change select.{key}"
                )
            share = whole[label] / len(rows)
            spread = (share * (1 - share) / size * (1 - size / len(rows))) ** 0.5
            if abs(part[label] / size - share) > IMBALANCE * spread > 0:
                remarks.append(
                    f"{split}: {part[label] / size:.1%} {name}, of all images {share:.1%}"
                )
    return remarks
