"""Small-distance samples (Algorithm 1): drawing changes, applying them, undoing them.

Drawing holds all the randomness and yields deltas; applying is an exact kernel. Every random
number is a pure function of (seed, image id, draw, step, word), so a draw depends on no other
image, on no batch, on no process and on no machine. Each step depends only on the steps before
it: the first m of n drawn pixels are the draw of m pixels.

How the inputs of Algorithm 1 are called here: Q is `images`, Num is `num`, n is `n`, R is
`values`, P is `area`. As printed, the algorithm draws one list of positions for all images and
changes channel 0; that is `positions="shared"`, `channels="first"`. Positions are always
distinct, so that n counts pixels.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from pixelproof.core.area import place_cells
from pixelproof.core.counter_random import (
    UInt64,
    below,
    chunks,
    distinct_below,
    image_keys,
    random_words,
)

if TYPE_CHECKING:  # drawing needs no torch, and importing it takes seconds
    import torch

Positions = Literal["per_image", "shared"]
Channels = Literal["all", "first"]
Images = TypeVar("Images", npt.NDArray[np.uint8], "torch.Tensor")

_SHARED_ID = np.uint64(0)


@dataclass(frozen=True)
class Changes:
    """Which pixels of which images take which values.

    Attributes:
        positions: (B, n) integers, `row * width + column`, distinct within an image.
        values: (B, n, C) with C = 3 or 1 (channel 0 alone): uint8 values, or int16 offsets
            that are added and clipped to 0..255.
    """

    positions: Any
    values: Any

    def first(self, n: int) -> "Changes":
        """The changes of the first n drawn pixels: the draw of n pixels (nested)."""
        return Changes(self.positions[:, :n], self.values[:, :n])

    def to(self, device: "torch.device") -> "Changes":
        """These changes as tensors on a device, for images that lie there."""
        import torch

        positions = torch.from_numpy(np.array(self.positions, dtype=np.int64))
        values = torch.from_numpy(np.array(self.values))
        return Changes(positions.to(device), values.to(device))


def parse_values(values: str) -> tuple[str, int]:
    """Read R, the range of the changed values.

    Args:
        values: `full` (0..255, each channel by itself), `stuck` (0 or 255 in all channels: a
            dead or hot camera pixel) or `offset:d` (original ± d, clipped; Experiment 2).

    Returns:
        The kind and d (0 where it does not apply).

    Raises:
        ValueError: It is none of these, or d is not in 1..255.

    >>> parse_values("offset:40")
    ('offset', 40)
    """
    if values in ("full", "stuck"):
        return values, 0
    match = re.fullmatch(r"offset:([1-9][0-9]{0,2})", values)
    if match is None or int(match[1]) > 255:
        raise ValueError(f"expected full, stuck or offset:d with d from 1 to 255, got {values!r}")
    return "offset", int(match[1])


def _draw_values(keys: UInt64, n: int, values: str, channels: Channels) -> Any:
    """Values (B, n, C): uint8, or int16 offsets; in memory (B, C, n), as they are applied."""
    kind, offset = parse_values(values)
    count = 1 if channels == "first" else 3
    drawn = np.empty((len(keys), count, n), np.int16 if kind == "offset" else np.uint8)
    for rows in chunks(len(keys), n):
        for channel in range(count):
            words = random_words(keys[rows], n, 1 if kind == "stuck" else 1 + channel)
            if kind == "full":
                drawn[rows, channel] = words >> np.uint64(56)
            elif kind == "stuck":
                drawn[rows, channel] = (words >> np.uint64(63)) * np.uint64(255)
            else:
                drawn[rows, channel] = below(words, np.uint64(2 * offset + 1)) - offset
    return drawn.swapaxes(1, 2)


def draw_changes(
    image_ids: UInt64,
    n: int,
    shape: tuple[int, int],
    *,
    seed: int,
    draw: int = 0,
    values: str = "full",
    area: int | None = None,
    positions: Positions = "per_image",
    channels: Channels = "all",
) -> Changes:
    """Draw n distinct pixels and their new values for each image (Algorithm 1, lines 1 to 13).

    Args:
        image_ids: (B,) uint64, an id of each image's content.
        n: How many pixels change, from 1 to the pixels of the area.
        shape: Height and width of the images.
        seed: From 0 to 2**64 - 1.
        draw: Which of an image's draws, from 0.
        values: `full`, `stuck` or `offset:d`; see `parse_values`.
        area: The side of the centred square that holds the pixels; None is the whole image.
        positions: `per_image`, or `shared`: one list for all images, as printed.
        channels: `all`, or `first`: channel 0 alone, as printed.

    Returns:
        Positions (B, n) int64 and values (B, n, 3 or 1). They are the same whatever the other
        images in the batch, and the first m of them are the draw for m pixels.

    Raises:
        ValueError: n or area has no room, or another argument is out of its range.
    """
    side = min(shape)
    if area is not None and not 1 <= area <= side:
        raise ValueError(f"area: expected a side from 1 to {side}, got {area}")
    room = shape[0] * shape[1] if area is None else area * area
    if not 1 <= n <= room:
        raise ValueError(f"n: expected 1 to {room} pixels in the area, got {n}")
    if positions not in get_args(Positions) or channels not in get_args(Channels):
        raise ValueError(f"expected known positions and channels, got {positions!r}, {channels!r}")
    if not 0 <= seed < 2**64 or draw < 0:
        raise ValueError(f"expected a seed below 2**64 and a draw from 0, got {seed} and {draw}")
    ids = np.ascontiguousarray(image_ids, dtype=np.uint64)
    keys = image_keys(ids, seed, draw)
    where = keys if positions == "per_image" else image_keys(np.array([_SHARED_ID]), seed, draw)
    cells = distinct_below(where, n, room)
    placed = cells if area is None else place_cells(cells, shape, area)
    drawn = _draw_values(keys, n, values, channels)
    return Changes(np.broadcast_to(placed, (len(ids), n)), drawn)


def _flat_index(images: Any, changes: Changes) -> Any:
    """Indices (B, C, n) of the changed values in the flattened images."""
    batch, channels, height, width = images.shape
    planes: Any
    if isinstance(images, np.ndarray):
        planes = np.arange(batch * channels)
    else:
        import torch

        planes = torch.arange(batch * channels, device=images.device)
    changed = planes.reshape(batch, channels, 1)[:, : changes.values.shape[2]]
    return changed * (height * width) + changes.positions[:, None, :]


def _check_images(images: Any, changes: Changes) -> None:
    is_array = isinstance(images, np.ndarray)
    # Flattening anything else makes a copy, and the changes would be lost with it.
    contiguous = images.flags.c_contiguous if is_array else images.is_contiguous()
    if not contiguous or str(images.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"expected contiguous uint8 images (B, C, H, W), got {images.dtype}")
    if len(images) != len(changes.positions):
        raise ValueError(f"expected {len(changes.positions)} images, got {len(images)}")
    if is_array != isinstance(changes.positions, np.ndarray):  # torch would index it otherwise
        raise ValueError(
            f"expected changes of the images' kind, got {type(images).__name__} and "
            f"{type(changes.positions).__name__}; `changes.to(device)` makes tensors of them"
        )


def apply_in_place(images: Images, changes: Changes) -> Changes:
    """Change pixels where the images lie, and return the changes that undo it.

    The buffer keeps its memory, which saves a copy; use `apply_changes` unless that matters.

    Args:
        images: (B, C, H, W) uint8, contiguous; an array, or a tensor on any device with
            changes on the same device.
        changes: For these B images, in their order.

    Returns:
        The values that stood there: applying them restores the images.

    Raises:
        ValueError: The images are not contiguous uint8, not as many as the changes, or tensors
            where the changes are arrays.
    """
    _check_images(images, changes)
    flat = images.reshape(-1)
    index = _flat_index(images, changes)
    before = flat[index]
    values = changes.values.swapaxes(1, 2)
    if values.dtype != images.dtype:
        values = (before + values).clip(0, 255)
    flat[index] = values if isinstance(images, np.ndarray) else values.to(images.dtype)
    return Changes(changes.positions, before.swapaxes(1, 2))


def apply_changes(images: Images, changes: Changes, out: Images | None = None) -> Images:
    """The images with their pixels changed, as a new array or tensor (lines 12 to 14).

    Args:
        images: (B, C, H, W) uint8.
        changes: For these B images, in their order.
        out: Takes the result, contiguous (B, C, H, W) uint8: a buffer that is used again for each
            batch saves more time than copying takes. None makes a new one.

    Returns:
        (B, C, H, W) uint8; what no change names is equal to the input, bit for bit.

    Raises:
        ValueError: As `apply_in_place`, or `out` is not like the images.
    """
    if out is None:
        out = _empty_like(images)
    elif out.shape != images.shape or out.dtype != images.dtype:
        raise ValueError(
            f"out: expected {tuple(images.shape)} {images.dtype}, "
            f"got {tuple(out.shape)} {out.dtype}"
        )
    out[...] = images
    apply_in_place(out, changes)
    return out


def _empty_like(images: Images) -> Images:
    if isinstance(images, np.ndarray):
        return np.empty_like(images, order="C")
    import torch

    return torch.empty_like(images, memory_format=torch.contiguous_format)


def small_distance_samples(
    images: npt.NDArray[np.uint8],
    image_ids: UInt64,
    num: int,
    n: int,
    values: str = "full",
    area: int | None = None,
    *,
    seed: int,
    positions: Positions = "per_image",
    channels: Channels = "all",
) -> npt.NDArray[np.uint8]:
    """Algorithm 1 in one call: the first `num` images with n pixels changed.

    Args:
        images: Q, (B, C, H, W) uint8.
        image_ids: (B,) uint64.
        num: Num, how many images to change, from the first.
        n: How many pixels change in each.
        values: R, the range of the new values; see `parse_values`.
        area: P, the side of the centred square that holds them; None is the whole image.
        seed: Of the draw.
        positions: `per_image`, or `shared` as printed.
        channels: `all`, or `first` as printed.

    Returns:
        (min(num, B), C, H, W) uint8.

    Raises:
        ValueError: n or area has no room, or `values` is unknown.
    """
    chosen = images[:num]
    changes = draw_changes(
        image_ids[:num],
        n,
        (images.shape[2], images.shape[3]),
        seed=seed,
        values=values,
        area=area,
        positions=positions,
        channels=channels,
    )
    return apply_changes(chosen, changes)
