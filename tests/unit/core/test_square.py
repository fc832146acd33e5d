from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.square import square_attack
from pixelproof.core.counter_random import image_keys, random_words

SIDE, COUNT = 9, 30
IDS = np.arange(1, COUNT + 1, dtype=np.uint64) * np.uint64(0x123456789ABCDEF)


class Exact(nn.Module):
    """Three classes by a straight rule in whole numbers, which no order of sums can change."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.manual_seed(1)
        self.weight = torch.randint(-9, 10, (3, 3 * SIDE * SIDE), generator=generator).double()
        self.asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        return (images * 255).round().double().flatten(1) @ self.weight.T


def batch() -> tuple[Exact, Tensor, Tensor]:
    """Images of all brightnesses, black and white among them, and what the model says of them."""
    model = Exact().eval()
    images = torch.randint(-40, 296, (COUNT, 3, SIDE, SIDE), generator=torch.manual_seed(2))
    images = images.clamp(0, 255).to(torch.uint8)
    return model, images, model(images / 255).argmax(dim=1)


class Plain:
    """The attack on one image, written down plainly."""

    def __init__(self, key: Any, queries: int) -> None:
        self.key, self.queries = key, queries

    def word(self, step: int, number: int) -> int:
        return int(random_words(self.key, step + 1, number)[0, step])

    def signs(self, step: int, number: int) -> list[int]:
        word = self.word(step, number)
        return [1 if word >> (63 - channel) & 1 else -1 for channel in range(3)]

    def box(self, query: int) -> tuple[slice, slice]:
        at = 10_000 * query / self.queries
        halved = sum(at > one for one in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
        side = max(1, min(round((0.8 / 2**halved) ** 0.5 * SIDE), SIDE - 1))
        top, left = (self.word(query, number) * (SIDE + 1 - side) >> 64 for number in (0, 1))
        return slice(top, top + side), slice(left, left + side)

    def candidate(self, query: int, image: Tensor, best: Tensor, epsilon: int) -> Tensor:
        tried = best.clone()
        if query == 1:
            for column in range(SIDE):
                for channel, sign in enumerate(self.signs(column, 3)):
                    tried[channel, :, column] = image[channel, :, column] + sign * epsilon
            return tried.clamp(0, 255)
        box = self.box(query)
        for turn in (1, -1):
            for channel, sign in enumerate(self.signs(query, 2)):
                tried[channel][box] = image[channel][box] + turn * sign * epsilon
            if not torch.equal(tried.clamp(0, 255), best):
                break
        return tried.clamp(0, 255)

    def run(self, model: Exact, image: Tensor, label: int, epsilon: int) -> Tensor:
        def lead(one: Tensor) -> float:
            logits = model(one[None] / 255)[0].tolist()
            return float(logits[label] - max(logits[:label] + logits[label + 1 :]))

        best, smallest = image, lead(image)
        for query in range(1, self.queries):
            if smallest < 0:
                break
            tried = self.candidate(query, image, best, epsilon)
            if query == 1 or lead(tried) < smallest:
                best, smallest = tried, lead(tried)
        return best.to(torch.uint8)


@pytest.mark.parametrize(("epsilon", "queries"), [(1, 40), (6, 25), (60, 12)])
def test_it_equals_the_attack_written_down_plainly(epsilon: int, queries: int) -> None:
    model, images, labels = batch()
    found = square_attack(model, images, labels, IDS, epsilon, queries, seed=3)
    for at in range(COUNT):
        key = image_keys(IDS[at : at + 1], 3, 2**40)
        plain = Plain(key, queries).run(model, images[at].int(), int(labels[at]), epsilon)
        assert torch.equal(found[at], plain)


@pytest.mark.parametrize("epsilon", [1, 8, 255])
def test_it_stays_in_the_ball_and_helps_no_image(epsilon: int) -> None:
    model, images, labels = batch()
    labels[:5] = (labels[:5] + 1) % 3  # wrong from the start
    before, asked = images.clone(), model.asked
    found = square_attack(model, images, labels, IDS, epsilon, 30)
    assert model.asked - asked <= 30 * COUNT
    assert torch.equal(images, before)
    assert found.dtype == torch.uint8
    assert (found.int() - images.int()).abs().max() <= epsilon
    assert torch.equal(found[:5], images[:5])
    fewer = square_attack(model, images, labels, IDS, epsilon, 2)
    wrong = [model(one / 255).argmax(dim=1) != labels for one in (fewer, found)]
    assert wrong[0][:5].all()
    assert wrong[1][:5].all()


def test_a_fooled_image_is_asked_for_no_more() -> None:
    model, images, labels = batch()
    model.asked = 0
    found = square_attack(model, images, labels, IDS, 255, 400)
    assert (model(found / 255).argmax(dim=1) != labels).all()
    assert model.asked < 20 * COUNT, "without a bound all are soon fooled"


@pytest.mark.parametrize("size", [1, 7])
def test_the_batch_changes_nothing(size: int) -> None:
    model, images, labels = batch()
    whole = square_attack(model, images, labels, IDS, 6, 30, seed=9)
    for start in range(0, COUNT, size):
        part = slice(start, start + size)
        one = square_attack(model, images[part], labels[part], IDS[part], 6, 30, seed=9)
        assert torch.equal(one, whole[part])
    other = square_attack(model, images, labels, IDS, 6, 30, seed=10)
    assert not torch.equal(other, whole)


def test_the_gradient_is_not_needed() -> None:
    class Steps(Exact):
        """Logits far beyond where the loss has a slope."""

        def forward(self, images: Tensor) -> Tensor:
            return 1e6 * super().forward(images).floor()

    plain, images, labels = batch()
    found = [square_attack(one, images, labels, IDS, 6, 60) for one in (plain, Steps().eval())]
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("epsilon", "queries", "train"), [(0, 9, False), (256, 9, False), (1, 1, False), (1, 9, True)]
)
def test_impossible_attacks_are_refused(epsilon: int, queries: int, train: bool) -> None:
    model, images, labels = batch()
    with pytest.raises(ValueError, match="expected"):
        square_attack(model.train(train), images, labels, IDS, epsilon, queries)
