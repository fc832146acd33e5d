import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pixelproof.core.pixel_changes import (
    Changes,
    apply_changes,
    apply_in_place,
    draw_changes,
    parse_values,
    small_distance_samples,
)

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
ALL_VALUES = ["full", "stuck", "offset:1", "offset:40", "offset:255"]

ids_strategy = st.lists(st.integers(0, MASK), min_size=1, max_size=6, unique=True)
values_strategy = st.sampled_from(ALL_VALUES)


def mix(state: int) -> int:
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def key_of(image: int, seed: int, draw: int) -> int:
    key = mix((seed + GAMMA) & MASK)
    key = mix(((key ^ image) + GAMMA) & MASK)
    return mix(((key ^ draw) + GAMMA) & MASK)


def word(key: int, step: int, which: int) -> int:
    return mix((key + (4 * step + which + 1) * GAMMA) & MASK)


def below(random: int, bound: int) -> int:
    return random * bound >> 64


def oracle(
    image: int,
    n: int,
    height: int,
    width: int,
    *,
    seed: int,
    draw: int,
    values: str,
    area: int | None,
    positions: str,
    channels: str,
) -> tuple[list[int], list[list[int]]]:
    """The definition, one pixel at a time, in Python's own integers."""
    key = key_of(image, seed, draw)
    where = key if positions == "per_image" else key_of(0, seed, draw)
    box_height, box_width = (area, area) if area else (height, width)
    top, left = (height - box_height) // 2, (width - box_width) // 2
    deck: dict[int, int] = {}
    found, drawn = [], []
    for step in range(n):
        partner = step + below(word(where, step, 0), box_height * box_width - step)
        cell = deck.get(partner, partner)
        deck[partner] = deck.get(step, step)
        found.append((cell // box_width + top) * width + cell % box_width + left)
        kind, offset = parse_values(values)
        if kind == "stuck":
            triple = [255 * (word(key, step, 1) >> 63)] * 3
        else:
            bound = 256 if kind == "full" else 2 * offset + 1
            triple = [below(word(key, step, 1 + c), bound) - offset for c in range(3)]
        drawn.append(triple[: 1 if channels == "first" else 3])
    return found, drawn


@settings(max_examples=150, deadline=None)
@given(
    ids=ids_strategy,
    shape=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    data=st.data(),
    seed=st.integers(0, MASK),
    draw=st.integers(0, 1000),
    values=values_strategy,
    positions=st.sampled_from(["per_image", "shared"]),
    channels=st.sampled_from(["all", "first"]),
)
def test_draws_equal_the_slow_definition(
    ids: list[int], shape: tuple[int, int], data: Any, **options: Any
) -> None:
    area = data.draw(st.none() | st.integers(1, min(shape)))
    room = area * area if area else shape[0] * shape[1]
    n = data.draw(st.integers(1, room))
    changes = draw_changes(np.array(ids, np.uint64), n, shape, area=area, **options)
    for row, image in enumerate(ids):
        positions, values = oracle(image, n, *shape, area=area, **options)
        assert changes.positions[row].tolist() == positions
        assert changes.values[row].tolist() == values


GOLDEN = {
    "full": "c7c0c8328fd0a1f2",
    "stuck": "275308360c0289d8",
    "offset:40": "8a5fc272be07b6ac",
}


@pytest.mark.parametrize("values", GOLDEN)
def test_draws_are_these_bytes_everywhere(values: str) -> None:
    ids = np.arange(100, dtype=np.uint64) * np.uint64(0x123456789ABCDEF)
    changes = draw_changes(ids, 64, (224, 224), seed=2021, draw=3, values=values)
    content = changes.positions.astype("<i8").tobytes() + changes.values.astype("<i2").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == GOLDEN[values]


@settings(max_examples=80, deadline=None)
@given(ids=ids_strategy, side=st.integers(2, 20), data=st.data(), values=values_strategy)
def test_positions_are_distinct_in_the_area_and_nested(
    ids: list[int], side: int, data: Any, values: str
) -> None:
    area = data.draw(st.integers(1, side))
    n = data.draw(st.integers(1, area * area))
    m = data.draw(st.integers(1, n))
    array = np.array(ids, np.uint64)
    changes = draw_changes(array, n, (side, side), seed=1, values=values, area=area)
    low = (side - area) // 2
    rows, columns = np.divmod(changes.positions, side)
    assert ((rows >= low) & (rows < low + area)).all()
    assert ((columns >= low) & (columns < low + area)).all()
    assert all(len(set(row)) == n for row in changes.positions.tolist())
    fewer = draw_changes(array, m, (side, side), seed=1, values=values, area=area)
    assert np.array_equal(fewer.positions, changes.first(m).positions)
    assert np.array_equal(fewer.values, changes.first(m).values)


def test_a_draw_knows_no_other_image() -> None:
    ids = np.arange(50, dtype=np.uint64)
    whole = draw_changes(ids, 9, (30, 30), seed=4)
    for part in (ids[::-1], ids[7:8], np.tile(ids, 400)):
        again = draw_changes(part, 9, (30, 30), seed=4)
        assert np.array_equal(again.positions, whole.positions[part.astype(int)])
        assert np.array_equal(again.values, whole.values[part.astype(int)])


def test_seed_draw_and_image_each_matter() -> None:
    def positions(seed: int, draw: int, image: int) -> bytes:
        ids = np.array([image], np.uint64)
        drawn = draw_changes(ids, 8, (64, 64), seed=seed, draw=draw)
        return bytes(drawn.positions.tobytes())

    drawn = {positions(s, d, i) for s in range(6) for d in range(6) for i in range(6)}
    assert len(drawn) == 6**3


def test_another_process_draws_the_same() -> None:
    code = (
        "import numpy as np, sys\n"
        "from pixelproof.core.pixel_changes import draw_changes\n"
        "c = draw_changes(np.arange(9, dtype=np.uint64), 20, (50, 50), seed=3)\n"
        "sys.stdout.buffer.write(c.positions.tobytes() + c.values.tobytes())\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    here = draw_changes(np.arange(9, dtype=np.uint64), 20, (50, 50), seed=3)
    assert out == here.positions.tobytes() + here.values.tobytes()


def test_positions_are_uniform_at_every_step() -> None:
    ids = np.arange(60_000, dtype=np.uint64)
    changes = draw_changes(ids, 25, (5, 5), seed=8)
    for step in (0, 1, 12, 24):
        counts = np.bincount(changes.positions[:, step], minlength=25)
        assert stats.chisquare(counts).pvalue > 1e-4
    pairs = changes.positions[:, 3] * 25 + changes.positions[:, 17]
    counts = np.bincount(pairs, minlength=625).reshape(25, 25)
    assert (np.diag(counts) == 0).all()
    assert stats.chisquare(counts[~np.eye(25, dtype=bool)]).pvalue > 1e-4


def test_the_last_of_many_positions_in_a_small_box_is_uniform() -> None:
    changes = draw_changes(np.arange(40_000, dtype=np.uint64), 64, (224, 224), seed=9, area=50)
    for step in (0, 63):
        rows, columns = np.divmod(changes.positions[:, step], 224)
        for at in (rows, columns):
            counts = np.bincount(at - 87, minlength=50)
            assert len(counts) == 50
            assert stats.chisquare(counts).pvalue > 1e-4


def test_the_order_of_positions_is_uniform() -> None:
    changes = draw_changes(np.arange(48_000, dtype=np.uint64), 4, (2, 2), seed=10)
    _, counts = np.unique(changes.positions @ [64, 16, 4, 1], return_counts=True)
    assert len(counts) == 24, "every order of four cells"
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(
    ("values", "low", "high"), [("full", 0, 255), ("offset:10", -10, 10), ("stuck", 0, 255)]
)
def test_values_are_uniform(values: str, low: int, high: int) -> None:
    drawn = draw_changes(np.arange(20_000, dtype=np.uint64), 4, (8, 8), seed=2, values=values)
    for channel in range(3):
        found, counts = np.unique(drawn.values[:, :, channel], return_counts=True)
        assert (found.min(), found.max()) == (low, high)
        assert len(found) == (2 if values == "stuck" else high - low + 1)
        assert stats.chisquare(counts).pvalue > 1e-4
    if values == "stuck":
        assert (drawn.values == drawn.values[:, :, :1]).all()
    else:
        assert (drawn.values[:, :, 0] != drawn.values[:, :, 1]).any()


def test_shared_is_one_list_of_positions_with_values_an_image() -> None:
    ids = np.arange(5, dtype=np.uint64)
    changes = draw_changes(ids, 9, (20, 20), seed=1, positions="shared")
    assert (changes.positions == changes.positions[0]).all()
    assert (changes.values[0] != changes.values[1]).any()
    other = draw_changes(ids, 9, (20, 20), seed=1, draw=1, positions="shared")
    assert (other.positions != changes.positions).any()


def sample(count: int, side: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 4),
    side=st.integers(2, 12),
    values=values_strategy,
    channels=st.sampled_from(["all", "first"]),
    data=st.data(),
)
def test_applying_equals_a_plain_loop_and_can_be_undone(
    count: int, side: int, values: str, channels: Any, data: Any
) -> None:
    n = data.draw(st.integers(1, side * side))
    images = sample(count, side)
    before = images.copy()
    ids = np.arange(count, dtype=np.uint64)
    changes = draw_changes(ids, n, (side, side), seed=7, values=values, channels=channels)
    expected = images.copy()
    for image in range(count):
        for position, triple in zip(changes.positions[image], changes.values[image], strict=True):
            x, y = int(position) // side, int(position) % side
            for channel, value in enumerate(triple.tolist()):
                old = int(expected[image, channel, x, y])
                new = value if changes.values.dtype == np.uint8 else min(255, max(0, old + value))
                expected[image, channel, x, y] = new
    changed = apply_changes(images, changes)
    assert np.array_equal(changed, expected)
    assert np.array_equal(images, before), "the input is left alone"
    tensor = torch.from_numpy(images)
    on_device = apply_changes(tensor, changes.to(torch.device("cpu")))
    assert np.array_equal(on_device.numpy(), expected)
    assert np.array_equal(tensor.numpy(), before)
    undo = apply_in_place(changed, changes)
    assert np.array_equal(apply_changes(expected, undo), expected)
    buffer = images.copy()
    apply_in_place(buffer, apply_in_place(buffer, changes))
    assert np.array_equal(buffer, before)


def test_images_in_another_memory_layout_change_all_the_same() -> None:
    images, ids = sample(2, 9), np.arange(2, dtype=np.uint64)
    changes = draw_changes(ids, 20, (9, 9), seed=1)
    expected = apply_changes(images, changes)
    turned = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    last = torch.from_numpy(images).to(memory_format=torch.channels_last)
    as_tensors = changes.to(torch.device("cpu"))
    assert np.array_equal(apply_changes(turned, changes), expected)
    assert np.array_equal(apply_changes(last, as_tensors).numpy(), expected)
    with pytest.raises(ValueError, match="expected contiguous uint8"):
        apply_in_place(turned, changes)
    with pytest.raises(ValueError, match="expected contiguous uint8"):
        apply_in_place(last, as_tensors)
    with pytest.raises(ValueError, match="expected contiguous uint8"):
        apply_in_place(torch.zeros(2, 3, 9, 9), as_tensors)
    with pytest.raises(ValueError, match="expected 2 images, got 1"):
        apply_changes(images[:1], changes)
    with pytest.raises(ValueError, match="kind, got Tensor and ndarray; `changes.to"):
        apply_changes(torch.from_numpy(images), changes)
    with pytest.raises(ValueError, match="kind, got ndarray and Tensor"):
        apply_changes(images, as_tensors)


def test_a_buffer_takes_the_changed_images() -> None:
    images, ids = sample(2, 9), np.arange(2, dtype=np.uint64)
    changes = draw_changes(ids, 20, (9, 9), seed=1)
    expected, before = apply_changes(images, changes), images.copy()
    buffer, tensor = np.empty_like(images), torch.empty(2, 3, 9, 9, dtype=torch.uint8)
    assert apply_changes(images, changes, buffer) is buffer
    as_tensors = changes.to(torch.device("cpu"))
    assert apply_changes(torch.from_numpy(images), as_tensors, tensor) is tensor
    assert np.array_equal(buffer, expected)
    assert np.array_equal(tensor.numpy(), expected)
    assert np.array_equal(images, before)
    with pytest.raises(ValueError, match=r"out: expected \(2, 3, 9, 9\) uint8, got \(3, 9, 9\)"):
        apply_changes(images, changes, buffer[0])
    wide: Any = buffer.astype(np.int64)
    with pytest.raises(ValueError, match=r"out: expected .* uint8, got .* int64"):
        apply_changes(images, changes, wide)
    with pytest.raises(ValueError, match="expected contiguous uint8"):
        apply_changes(images, changes, buffer[:, :, ::-1])


def test_positions_in_a_small_box_follow_long_chains_of_steps() -> None:
    ids = np.arange(300, dtype=np.uint64)
    options: dict[str, Any] = {"seed": 5, "positions": "per_image", "channels": "first"}
    changes = draw_changes(ids, 400, (20, 20), **options)
    for row in (0, 128, 299):
        positions, _ = oracle(row, 400, 20, 20, draw=0, values="full", area=None, **options)
        assert changes.positions[row].tolist() == positions


def test_nothing_but_the_drawn_pixels_changes() -> None:
    images = np.zeros((3, 3, 9, 9), np.uint8)
    ids = np.arange(3, dtype=np.uint64)
    ones = Changes(draw_changes(ids, 10, (9, 9), seed=1).positions, np.ones((3, 10, 3), np.uint8))
    assert (apply_changes(images, ones).sum(axis=(2, 3)) == 10).all()


def test_first_changes_channel_0_alone() -> None:
    images = sample(2, 9)
    ids = np.arange(2, dtype=np.uint64)
    changes = draw_changes(ids, 40, (9, 9), seed=1, channels="first")
    changed = apply_changes(images, changes)
    assert np.array_equal(changed[:, 1:], images[:, 1:])
    assert not np.array_equal(changed[:, 0], images[:, 0])


def test_algorithm_1_as_printed() -> None:
    """Lines 8 to 17 with the positions and values drawn; Num and its typing error aside."""
    images, ids = sample(6, 10), np.arange(6, dtype=np.uint64)
    options: dict[str, Any] = {"seed": 11, "positions": "shared", "channels": "first"}
    drawn = draw_changes(ids, 5, (10, 10), **options)
    position_list = [(int(p) // 10, int(p) % 10) for p in drawn.positions[0]]
    expected = []
    for number, image in enumerate(images):
        if number == 4:
            break
        changed = image.copy()
        for at, (x, y) in enumerate(position_list):
            changed[0, x, y] = drawn.values[number, at, 0]
        expected.append(changed)
    found = small_distance_samples(images, ids, 4, 5, **options)
    assert np.array_equal(found, np.stack(expected))


@pytest.mark.parametrize("values", ["stuck", "offset:40"])
def test_small_distance_samples_are_drawn_and_applied(values: str) -> None:
    images, ids = sample(5, 9), np.arange(5, dtype=np.uint64)
    drawn = draw_changes(ids[:3], 6, (9, 9), seed=12, values=values, area=5)
    found = small_distance_samples(images, ids, 3, 6, values, 5, seed=12)
    assert np.array_equal(found, apply_changes(images[:3], drawn))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"n": 0}, "n: expected 1 to 64"),
        ({"n": -3}, "n: expected 1 to 64"),
        ({"n": 65}, "n: expected 1 to 64"),
        ({"n": 10, "area": 3}, "n: expected 1 to 9"),
        ({"seed": -1}, "expected a seed"),
        ({"seed": 2**64}, "expected a seed"),
        ({"draw": -1}, "a draw from 0"),
        ({"positions": "per-image"}, "expected known positions"),
        ({"channels": "frist"}, "expected known positions and channels"),
        ({"area": 9}, "area: expected a side from 1 to 8"),
        ({"area": 0}, "area: expected"),
        ({"values": "salt"}, "expected full, stuck or offset:d"),
        ({"values": "offset:0"}, "expected full, stuck or offset:d"),
        ({"values": "offset:256"}, "expected full, stuck or offset:d"),
        ({"values": "offset:-5"}, "expected full, stuck or offset:d"),
    ],
)
def test_what_has_no_room_or_no_meaning_is_refused(keys: dict[str, Any], expected: str) -> None:
    options = {"n": 4, "shape": (8, 8), "seed": 0, **keys}
    with pytest.raises(ValueError, match=expected):
        draw_changes(np.arange(2, dtype=np.uint64), **options)
