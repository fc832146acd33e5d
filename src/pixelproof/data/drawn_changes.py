"""A generated data set: the drawn changes of many images, stored as deltas."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixelproof.core.pixel_changes import Changes, apply_in_place, draw_changes, parse_values
from pixelproof.data.image_set import ImageSet
from pixelproof.errors import DataError, IntegrityError
from pixelproof.system import files

if TYPE_CHECKING:  # a stage that reads draws does not depend on how they are drawn
    from pixelproof.params.generate import Generate


@dataclass(frozen=True)
class Wanted:
    """Draws of n pixels with one range of values in one area; n = 0 stands for no change."""

    values: str
    area: int | None
    n: int
    draws: int


def draws_name(values: str, area: int | None) -> str:
    """The name under which experiments with the same values and area share their draws."""
    return values.replace(":", "-") + ("" if area is None else f"-area-{area}")


@dataclass(frozen=True)
class ChangeSet:
    """Stored draws, read as they are needed.

    Attributes:
        ids: (images,) uint64, the images the draws are for.
        records: (images, draws, n) with the fields `position` and `value`, memory-mapped.
        sha256: Of the records' file.
    """

    ids: npt.NDArray[np.uint64]
    records: npt.NDArray[Any]
    sha256: str

    @property
    def draws(self) -> int:
        """How many draws each image has."""
        return int(self.records.shape[1])

    @property
    def channels(self) -> int:
        """How many channels of a pixel change: 3, or the first alone."""
        return int(self.records["value"].shape[-1])

    def take(self, rows: npt.NDArray[np.int64] | slice, draw: int, n: int) -> Changes:
        """The first n changed pixels in one draw of some images."""
        part = self.records[rows, draw, :n]
        values = part["value"]
        if values.dtype == np.int8:
            values = values.astype(np.int16)
        return Changes(part["position"].astype(np.int64), values)


def _record_type(side: int, values: str, channels: int) -> np.dtype[Any]:
    """The smallest record: a position in 2 bytes up to 256², a value in 1 byte a channel."""
    position = "<u2" if side * side <= 2**16 else "<u4"
    kind, offset = parse_values(values)
    value = "u1" if kind != "offset" else "i1" if offset <= 127 else "<i2"
    return np.dtype([("position", position), ("value", value, (channels,))])


def _write_draws(
    path: Path,
    wanted: Wanted,
    images: ImageSet,
    params: "Generate",
    seed: int,
    update: Callable[[int], object],
) -> float:
    """Draw and store one file; returns the share of drawn pixels that keep their old value."""
    side = images.pixels.shape[2]
    channels = 1 if params.channels == "first" else 3
    # n = 0 stores empty records, so that a reader finds a file for each arm.
    draws = wanted.draws if wanted.n else 0
    kind = _record_type(side, wanted.values, channels)
    shape = (len(images.ids), wanted.draws, wanted.n)
    records = files.new_array(path, kind, shape)
    same = 0
    for start in range(0, len(images.ids), params.batch_size):
        rows = slice(start, start + params.batch_size)
        batch = np.array(images.pixels[rows])
        for draw in range(draws):
            changes = draw_changes(
                images.ids[rows],
                wanted.n,
                (side, side),
                seed=seed,
                draw=draw,
                values=wanted.values,
                area=wanted.area,
                positions=params.positions,
                channels=params.channels,
            )
            records["position"][rows, draw] = changes.positions
            records["value"][rows, draw] = changes.values
            undo = apply_in_place(batch, changes)
            redo = apply_in_place(batch, undo)
            same += int((undo.values == redo.values).all(axis=2).sum())
        update(len(batch))
    return same / max(1, records.size)


def write_change_set(
    folder: Path,
    wanted: Mapping[str, Wanted],
    images: ImageSet,
    params: "Generate",
    seed: int,
    update: Callable[[int], object] = lambda amount: None,
) -> None:
    """Draw changes for every image and store them whole or not at all.

    The bytes depend on the images' ids, `wanted`, the seed and how positions and channels are
    drawn; not on the size of the batches.

    Args:
        folder: Gets `ids.npy`, a file `NAME.npy` for each entry, and `manifest.json`.
        wanted: By name.
        images: The images to draw for.
        params: How to draw.
        seed: Of the draws.
        update: Called with the number of images done, `len(images.ids) * len(wanted)` in all.
    """
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        np.save(temporary / "ids.npy", images.ids)
        entries = {}
        for name, draws in wanted.items():
            path = temporary / f"{name}.npy"
            same = _write_draws(path, draws, images, params, seed, update)
            entries[name] = {
                **asdict(draws),
                "share_of_pixels_left_equal": same,
                "sha256": files.sha256(path),
            }
        manifest = {
            "seed": seed,
            "positions": params.positions,
            "channels": params.channels,
            "side": int(images.pixels.shape[2]),
            "images": len(images.ids),
            "ids_sha256": files.sha256(temporary / "ids.npy"),
            "draws": entries,
        }
        files.write_sealed(temporary / "manifest.json", manifest)


def load_change_set(folder: Path, name: str, images: ImageSet) -> ChangeSet:
    """Open the draws that are stored under a name.

    Args:
        folder: As `write_change_set` left it.
        name: Of the draws.
        images: The images that the draws must be for, in their order.

    Raises:
        DataError: The set holds no such draws.
        IntegrityError: Bytes are not those that were written, or the draws are for other images.
    """
    manifest = files.read_sealed(folder / "manifest.json")
    if name not in manifest["draws"]:
        held = sorted(manifest["draws"])
        raise DataError(f"{folder}: expected draws named {name}, holds {held}; run `dvc repro`")
    checksum = manifest["draws"][name]["sha256"]
    files.verify(folder / "ids.npy", manifest["ids_sha256"])
    files.verify(folder / f"{name}.npy", checksum)
    ids = np.load(folder / "ids.npy")
    if not np.array_equal(ids, images.ids):
        raise IntegrityError(f"{folder}: drawn for other images; run `dvc repro generate`")
    return ChangeSet(ids, np.load(folder / f"{name}.npy", mmap_mode="r"), checksum)
