from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.attacks.sparse import WorstChanges, worst_changes
from pixelproof.core.counter_random import image_keys, random_words
from pixelproof.core.pixel_changes import apply_changes, draw_changes

SIDE, COUNT = 9, 30
STREAM = 2**41
IDS = np.arange(1, COUNT + 1, dtype=np.uint64) * np.uint64(0x123456789ABCDEF)


class Exact(nn.Module):
    """Three classes by a straight rule in whole numbers, which no order of sums can change."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.manual_seed(1)
        weight = torch.randint(-9, 10, (3, 3 * SIDE * SIDE), generator=generator)
        self.weight = weight.double()
        self.asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        return (images * 255).double().flatten(1) @ self.weight.T


class Rounding(Exact):
    """The same rule on exact whole numbers; its gradient is zero."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 255).round() / 255)


def batch(kind: type[Exact] = Exact) -> tuple[Exact, Tensor, Tensor]:
    model = kind().eval()
    images = torch.randint(-40, 296, (COUNT, 3, SIDE, SIDE), generator=torch.manual_seed(2))
    images = images.clamp(0, 255).to(torch.uint8)
    return model, images, model(images / 255).argmax(dim=1)


def search(kind: type[Exact], counts: list[int], **options: Any) -> list[WorstChanges]:
    model, images, labels = batch(kind)
    budget = options.pop("budget", PixelBudget("stuck"))
    queries = options.pop("queries", 40)
    return list(worst_changes(model, images, labels, IDS, counts, budget, queries, **options))


def fooled(found: WorstChanges) -> Tensor:
    model, images, labels = batch()
    answers: Tensor = model(apply_changes(images, found.changes) / 255).argmax(dim=1)
    return answers != labels


class Plain:
    """Sparse-RS on one image and one number of pixels, from the paper, with loops and lists."""

    def __init__(self, row: int, n: int, values: str, room: list[int], queries: int) -> None:
        self.key = image_keys(IDS[row : row + 1], 3, STREAM + n)
        self.row, self.n, self.values, self.room, self.queries = row, n, values, room, queries

    def word(self, key: Any, step: int, number: int) -> int:
        return int(random_words(key, step + 1, number)[0, step])

    def value(self, key: Any, step: int, old: list[int]) -> list[int]:
        word = self.word(key, step, 2)
        bits = [word >> (63 - channel) & 1 for channel in range(3)]
        if self.values == "stuck":
            return [255 * bits[0]] * 3
        if self.values == "full":
            return [255 * bit for bit in bits]
        d = int(self.values.removeprefix("offset:"))
        return [min(255, max(0, v + (d if bit else -d))) for v, bit in zip(old, bits, strict=True)]

    def replaced(self, query: int) -> int:
        at, left = 10_000 * query / (self.queries - 1), 0.3
        for limit, divisor in ((0, 2), (50, 4), (200, 5), (500, 6), (1000, 8)):
            left = 0.3 / divisor if at > limit else left
        for limit, divisor in ((2000, 10), (4000, 12), (6000, 15), (8000, 20)):
            left = 0.3 / divisor if at > limit else left
        return max(1, int(left * self.n))

    def sample(self, key: Any, count: int, free: list[int]) -> list[int]:
        """Floyd's algorithm, as in Bentley's column."""
        chosen: list[int] = []
        for step in range(count):
            top = len(free) - count + step
            drawn = self.word(key, step, 0) * (top + 1) >> 64
            chosen.append(top if drawn in chosen else drawn)
        return [free[rank] for rank in chosen]

    def run(self, model: Exact, image: Tensor, label: int) -> dict[int, list[int]]:
        def lead(pixels: dict[int, list[int]]) -> float:
            changed = image.clone().flatten(1)
            for position, value in pixels.items():
                changed[:, position] = torch.tensor(value, dtype=torch.uint8)
            logits = model(changed.reshape(1, 3, SIDE, SIDE) / 255)[0].tolist()
            return float(logits[label] - max(logits[:label] + logits[label + 1 :]))

        def old(position: int) -> list[int]:
            return [int(v) for v in image.flatten(1)[:, position]]

        area = None if len(self.room) == SIDE * SIDE else round(len(self.room) ** 0.5)
        start = draw_changes(
            IDS[self.row : self.row + 1],
            self.n,
            (SIDE, SIDE),
            seed=3,
            draw=STREAM + self.n,
            area=area,
        ).positions[0]
        slots = [int(p) for p in start]
        pixels = {p: self.value(self.key, at, old(p)) for at, p in enumerate(slots)}
        smallest = lead(pixels)
        for query in range(1, self.queries):
            if smallest < 0:
                break
            key = np.array([self.word(self.key, query, 3)], dtype=np.uint64)
            order = sorted(range(self.n), key=lambda slot: self.word(key, slot, 1))
            free = [p for p in self.room if p not in slots]
            replaced = self.replaced(query)
            count = min(replaced, len(free)) if free else replaced
            tried = list(slots)
            new = self.sample(key, count, free) if free else [slots[s] for s in order[:count]]
            for slot, position in zip(order[:count], new, strict=True):
                tried[slot] = position
            candidate = {p: pixels[p] for p in tried if p in pixels}
            candidate |= {p: self.value(key, at, old(p)) for at, p in enumerate(new)}
            if lead(candidate) < smallest:
                slots, pixels, smallest = tried, candidate, lead(candidate)
        return pixels


@pytest.mark.parametrize(
    ("values", "n", "area"),
    [("stuck", 7, None), ("full", 20, None), ("offset:30", 6, 5), ("stuck", 9, 3), ("full", 7, 3)],
)
def test_it_equals_the_published_search_written_down_plainly(
    values: str, n: int, area: int | None
) -> None:
    model, images, labels = batch(Rounding)
    budget = PixelBudget(values, area)
    (found,) = search(Rounding, [n], budget=budget, queries=25, gradient_steps=0, seed=3)
    low = (SIDE - (area or SIDE)) // 2
    box = range(low, low + (area or SIDE))
    room = [row * SIDE + column for row in box for column in box]
    for row in range(COUNT):
        plain = Plain(row, n, values, room, 25).run(model, images[row], int(labels[row]))
        expected = images[row].clone().flatten(1)
        for position, value in plain.items():
            expected[:, position] = torch.tensor(value, dtype=torch.uint8)
        changed = apply_changes(images, found.changes)[row].flatten(1)
        before = images[row].flatten(1)
        reached = [model(one.reshape(1, 3, SIDE, SIDE) / 255)[0] for one in (expected, changed)]
        if torch.equal(before, changed):  # no changes found did better than none
            assert reached[0][labels[row]] >= 0
            continue
        assert torch.equal(changed, expected)


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("values", ["stuck", "full", "offset:40"])
def test_more_pixels_or_queries_fool_no_fewer_images(values: str, steps: int) -> None:
    budget = PixelBudget(values)
    shares = []
    for queries in (12, 60):
        found = search(Exact, [1, 3, 9, 27], budget=budget, queries=queries, gradient_steps=steps)
        wrong = [fooled(one) for one in found]
        for fewer, more in pairwise(wrong):
            assert (more | ~fewer).all()
        shares.append([int(one.sum()) for one in wrong])
    assert sum(shares[1]) >= sum(shares[0])
    assert shares[1][-1] > shares[1][0]


def test_it_starts_from_the_stored_draws() -> None:
    model, images, labels = batch()
    draws = [draw_changes(IDS, 27, (SIDE, SIDE), seed=5, draw=d, values="full") for d in range(6)]
    for found in search(Exact, [3, 9, 27], budget=PixelBudget("full"), draws=draws, queries=1):
        for draw in draws:
            first = draw.first(found.n).to(torch.device("cpu"))
            flipped = model(apply_changes(images, first) / 255).argmax(dim=1) != labels
            assert (fooled(found) | ~flipped).all()
    assert fooled(found).any()


def test_the_gradient_finds_the_worst_pixels_of_a_straight_rule() -> None:
    (found,) = search(Exact, [5], budget=PixelBudget("full"), queries=1, gradient_steps=1)
    other = [
        search(Exact, [5], budget=PixelBudget("full"), queries=q, gradient_steps=0) for q in (1, 80)
    ]
    counts = [int(fooled(one).sum()) for one in (found, other[0][0], other[1][0])]
    assert counts[0] >= counts[2] >= counts[1]
    assert counts[0] > counts[1]


def test_a_hidden_gradient_does_not_stop_it() -> None:
    (found,) = search(Rounding, [27], budget=PixelBudget("full"), queries=120)
    assert fooled(found).sum() > COUNT // 2


@pytest.mark.parametrize(
    "budget",
    [PixelBudget("stuck", 5), PixelBudget("offset:7", 3), PixelBudget("full", None, "first")],
)
def test_it_stays_within_the_budget_and_helps_no_image(budget: PixelBudget) -> None:
    model, images, labels = batch()
    labels[:5] = (labels[:5] + 1) % 3  # wrong from the start
    before, start = images.clone(), model.asked
    for found in worst_changes(model, images, labels, IDS, [2, 9], budget, 40):
        changed = apply_changes(images, found.changes)
        assert torch.equal(changed[:5], images[:5])
        different = (changed != images).any(dim=1).flatten(1)
        assert different.sum(dim=1).max() <= found.n
        low = (SIDE - (budget.area or SIDE)) // 2
        inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        inside[low : SIDE - low, low : SIDE - low] = True
        assert not different[:, ~inside.flatten()].any()
        if budget.values.startswith("offset"):
            assert (changed.int() - images.int()).abs().max() <= int(budget.values[7:])
        if budget.channels == "first":
            assert torch.equal(changed[:, 1:], images[:, 1:])
        assert found.queries.max() <= 1 + 40 * 2
        assert (found.queries[:5] == 1).all()
    assert torch.equal(images, before)
    assert model.asked - start <= found.queries.sum()


def test_an_image_s_search_depends_on_nothing_else() -> None:
    model, images, labels = batch()
    whole = search(Exact, [3, 9], queries=30, gradient_steps=2)
    rows = torch.arange(4, 11)
    part = list(
        worst_changes(
            model,
            images[rows],
            labels[rows],
            IDS[4:11],
            [3, 9],
            PixelBudget("stuck"),
            30,
            gradient_steps=2,
        )
    )
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one.changes.positions[rows], other.changes.positions)
        assert torch.equal(one.changes.values[rows], other.changes.values)
        assert (one.queries[4:11] == other.queries).all()


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to 9, got"):
        search(Exact, [3, 10], budget=PixelBudget("full", 3))
    for counts in ([], [0, 1], [3, 3], [4, 2]):
        with pytest.raises(ValueError, match="growing numbers"):
            search(Exact, counts)
    with pytest.raises(ValueError, match="queries from 1"):
        search(Exact, [3], queries=0)
    with pytest.raises(ValueError, match="full, stuck or offset"):
        search(Exact, [3], budget=PixelBudget("hot"))
    with pytest.raises(ValueError, match="eval mode"):
        model, images, labels = batch()
        list(worst_changes(model.train(), images, labels, IDS, [3], PixelBudget("full"), 9))
