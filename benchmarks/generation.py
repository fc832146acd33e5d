"""Making small-distance samples, beside copying the images and beside what else makes noise.

    python -m benchmarks.generation      half a minute; needs the extra `bench`

1,000 images of 224 px, 64 pixels changed in each: draws that are distinct, nested and keyed by the
image. One thread, processor time. The peers get the layout that they want (channels last, floats),
which is not timed, and fewer images, since theirs is the same time for each.
"""

import os

os.environ |= {"ALBUMENTATIONS_NO_TELEMETRY": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}

import random
from collections.abc import Callable

import albumentations
import numpy as np
import numpy.typing as npt
import torch
from kornia.augmentation import RandomSaltAndPepperNoise

from benchmarks.rounds import (
    Entry,
    ResultsDifferError,
    record,
    require_same,
    take_turns,
    times_as_fast,
)
from pixelproof.core.pixel_changes import (
    Changes,
    Positions,
    apply_changes,
    apply_in_place,
    draw_changes,
)

UInt8 = npt.NDArray[np.uint8]

COUNT, FEWER, SIDE, N, SEED = 1000, 128, 224, 64, 2021
BATCH = 64  # so many are in the cache at once
ROUNDS, PEER_ROUNDS = 41, 15
SHARE = N / SIDE**2


def batches(count: int) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, count, BATCH)]


def generate(images: UInt8, ids: npt.NDArray[np.uint64], out: UInt8, positions: Positions) -> None:
    """Draw, and write the changed images into a buffer."""
    changes = draw_changes(ids, N, (SIDE, SIDE), seed=SEED, positions=positions)
    for part in batches(len(images)):
        some = Changes(changes.positions[part], changes.values[part])
        apply_changes(images[part], some, out[part])


def algorithm_1(
    images: UInt8,
    out: UInt8,
    positions: list[tuple[int, int]],
    random_int: Callable[[int, int], int],
) -> None:
    """Lines 8 to 17 of Algorithm 1; a pixel has three values, as in our default."""
    for image, changed in zip(images, out, strict=True):
        changed[...] = image
        for x, y in positions:
            for channel in range(3):
                changed[channel, x, y] = random_int(0, 255)


def check_algorithm_1(images: UInt8, ids: npt.NDArray[np.uint64]) -> None:
    """The plain loop makes our images of our random numbers."""
    ours, theirs = np.empty_like(images), np.empty_like(images)
    generate(images, ids, ours, "shared")
    drawn = draw_changes(ids, N, (SIDE, SIDE), seed=SEED, positions="shared")
    values = iter(drawn.values.ravel().tolist())
    places = [divmod(int(position), SIDE) for position in drawn.positions[0]]
    algorithm_1(images, theirs, places, lambda low, high: next(values))
    require_same("Algorithm 1 in plain Python", ours, theirs)


def check_share(name: str, before: npt.NDArray[np.generic], after: npt.NDArray[np.generic]) -> None:
    """A peer changes about as many pixels as we do, (B, H, W, C) before and after."""
    changed = float((before != after).any(axis=3).mean(axis=(1, 2)).mean())
    if not 0.8 * SHARE < changed < 1.2 * SHARE:
        raise ResultsDifferError(f"{name}: {changed:.3%} of the pixels changed, {SHARE:.3%} here")


def against_copying(images: UInt8, ids: npt.NDArray[np.uint64]) -> dict[str, Entry]:
    """New images in a buffer, and changes in place that are undone, beside a copy."""
    out = np.empty_like(images)
    drawn = draw_changes(ids, N, (SIDE, SIDE), seed=SEED)
    parts = [(part, Changes(drawn.positions[part], drawn.values[part])) for part in batches(COUNT)]

    def in_place() -> None:
        for part, changes in parts:
            some = images[part]
            apply_in_place(some, apply_in_place(some, changes))

    generate(images, ids, out, "per_image")
    require_same("generated images", out, apply_changes(images, drawn))
    before = images.copy()
    in_place()
    require_same("images after an undo", images, before)
    ways = {
        "copy": lambda: np.copyto(out, images),
        "generate": lambda: generate(images, ids, out, "per_image"),
        "in place": in_place,
    }
    seconds = take_turns(ways, ROUNDS)
    against = "copying the images into a buffer"
    return {
        "generate_vs_memcpy": times_as_fast(seconds, "generate", "copy", against),
        "inplace_vs_memcpy": times_as_fast(seconds, "in place", "copy", against),
    }


def against_peers(images: UInt8, ids: npt.NDArray[np.uint64]) -> dict[str, Entry]:
    """New images in a buffer, beside other programs that change a share of the pixels."""
    out, plain_out = np.empty_like(images), np.empty_like(images)
    dropout = albumentations.PixelDropout(dropout_prob=SHARE, drop_value=None, p=1.0)
    noise = RandomSaltAndPepperNoise(amount=(SHARE, SHARE), p=1.0)
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    floats = torch.from_numpy(images).float() / 255
    places = [(random.randrange(SIDE), random.randrange(SIDE)) for _ in range(N)]
    check_algorithm_1(images, ids)
    dropped = np.stack([dropout(image=image)["image"] for image in last])
    check_share("PixelDropout", last, dropped)
    peppered = noise(floats)
    check_share(
        "RandomSaltAndPepperNoise",
        *(tensor.permute(0, 2, 3, 1).numpy() for tensor in (floats, peppered)),
    )
    ways = {
        "generate": lambda: generate(images, ids, out, "per_image"),
        "shared": lambda: generate(images, ids, out, "shared"),
        "dropout": lambda: [dropout(image=image) for image in last],
        "noise": lambda: noise(floats),
        "plain": lambda: algorithm_1(images, plain_out, places, random.randint),
    }
    seconds = take_turns(ways, PEER_ROUNDS)
    peers = {
        "generate_vs_pixeldropout": ("generate", "dropout", "albumentationsx PixelDropout"),
        "generate_vs_kornia": ("generate", "noise", "kornia RandomSaltAndPepperNoise"),
        "generate_vs_algorithm1": ("shared", "plain", "Algorithm 1 in Python, shared positions"),
    }
    return {key: times_as_fast(seconds, *peer) for key, peer in peers.items()}


def main() -> None:
    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    ids = np.arange(COUNT, dtype=np.uint64)
    record(against_copying(images, ids) | against_peers(images[:FEWER], ids[:FEWER]))


if __name__ == "__main__":
    main()
