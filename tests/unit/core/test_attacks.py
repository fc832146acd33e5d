"""What holds of every attack: repeatable, image by image, within its budget, never NaN."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.apgd import apgd
from pixelproof.core.attacks.carlini_wagner import carlini_wagner
from pixelproof.core.attacks.deepfool import deepfool
from pixelproof.core.attacks.distances import Norm, distances, within
from pixelproof.core.attacks.fab import fab
from pixelproof.core.attacks.jsma import jsma
from pixelproof.core.attacks.one_pixel import one_pixel
from pixelproof.core.attacks.pgd import pgd

SIDE, COUNT = 8, 12
IDS = np.arange(1, COUNT + 1, dtype=np.uint64) * np.uint64(0x123456789ABCDEF)
Attack = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]


class Small(nn.Module):
    """Two layers in float64, summed image by image, so that a batch changes nothing."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        generator = torch.manual_seed(classes)
        self.first = torch.randn(6, 3 * SIDE * SIDE, generator=generator).double()
        self.second = torch.randn(classes, 6, generator=generator).double()

    def forward(self, images: Tensor) -> Tensor:
        values = images.double().flatten(1) - 0.5
        hidden = torch.tanh((values[:, None] * self.first).sum(dim=2) / 3)
        return (hidden[:, None] * self.second).sum(dim=2)


class Flat(nn.Module):
    """Answers by the image but has no gradient: it looks at rounded values alone."""

    def forward(self, images: Tensor) -> Tensor:
        dark = (images.flatten(1).mean(dim=1) * 255).round() + 0 * images.flatten(1).sum(dim=1)
        return torch.stack([dark, 0 * dark], dim=1)


def without_ids(attack: Callable[..., Tensor], **setting: int) -> Attack:
    return lambda model, images, labels, ids: attack(model, images, labels, **setting)


ATTACKS: dict[str, tuple[Attack, Norm, int]] = {
    "pgd": (partial(pgd, epsilon=6, steps=5, restarts=3), "linf", 6),
    "apgd_ce": (partial(apgd, epsilon=6, steps=12, restarts=2, loss="ce"), "linf", 6),
    "apgd_dlr": (partial(apgd, epsilon=6, steps=12, restarts=2, loss="dlr"), "linf", 6),
    "fab": (partial(fab, epsilon=6, steps=10, restarts=2), "linf", 255),  # it knows no budget
    "deepfool": (without_ids(deepfool), "l2", 20_000),
    "carlini_wagner": (without_ids(carlini_wagner, steps=30), "l2", 20_000),
    "jsma": (without_ids(jsma, n=4), "l0", 4),
    "one_pixel": (partial(one_pixel, n=3, queries=120), "l0", 3),
}


@pytest.fixture(params=ATTACKS)
def attack(request: pytest.FixtureRequest) -> tuple[Attack, Norm, int]:
    return ATTACKS[request.param]


def batch(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Images of all brightnesses, and what the model says of them."""
    images = torch.randint(-60, 316, (COUNT, 3, SIDE, SIDE), generator=torch.manual_seed(2))
    images = images.clamp(0, 255).to(torch.uint8)
    return images, model(images / 255).argmax(dim=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_fools_and_keeps_its_budget(attack: tuple[Attack, Norm, int], classes: int) -> None:
    run, norm, budget = attack
    model = Small(classes).eval()
    images, labels = batch(model)
    examples = run(model, images, labels, IDS)
    shown = examples / 255 if examples.dtype == torch.uint8 else examples
    assert within(images, examples, norm, budget).all()
    assert (model(shown).argmax(dim=1) != labels).sum() >= 4


def test_an_image_depends_on_no_other_and_on_no_run(attack: tuple[Attack, Norm, int]) -> None:
    run, model = attack[0], Small(3).eval()
    images, labels = batch(model)
    before = images.clone()
    whole = run(model, images, labels, IDS)
    parts = [run(model, images[at], labels[at], IDS[at]) for at in (slice(0, 5), slice(5, None))]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=0)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_without_a_gradient_nothing_is_nan(attack: tuple[Attack, Norm, int]) -> None:
    run, norm, budget = attack
    model = Flat().eval()
    images, labels = batch(model)
    assert within(images, run(model, images, labels, IDS), norm, budget).all()


def test_a_model_in_training_is_refused(attack: tuple[Attack, Norm, int]) -> None:
    model = Small(2).train()
    with pytest.raises(ValueError, match="eval mode"):
        attack[0](model, *batch(model), IDS)


@pytest.mark.parametrize(
    ("attack", "setting", "words"),
    [
        (pgd, {"epsilon": 0, "steps": 1, "restarts": 1}, "epsilon: expected"),
        (pgd, {"epsilon": 1, "steps": 0, "restarts": 1}, "steps: expected a number from 1, got 0"),
        (one_pixel, {"n": SIDE**2 + 1, "queries": 9}, "n: expected a number from 1 to 64, got 65"),
        (one_pixel, {"n": 1, "queries": 7}, "queries: expected a number from 8, got 7"),
    ],
)
def test_a_number_out_of_its_range_is_refused(
    attack: Callable[..., Tensor], setting: dict[str, int], words: str
) -> None:
    model = Small(2).eval()
    with pytest.raises(ValueError, match=words):
        attack(model, *batch(model), IDS, **setting)


def test_distances_count_pixels_and_units() -> None:
    image = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    example = image.clone()
    example[0, :, 0, 0] = 103  # a pixel, three values
    example[0, 1, 3, 3] = 96
    expected = (2, (3 * 9 + 16) ** 0.5, 4)
    assert tuple(float(one) for one in distances(image, example)) == expected
    measured = tuple(float(one) for one in distances(image, example / 255))
    assert measured == pytest.approx(expected, abs=1e-4)


def test_a_budget_is_exact_for_images_and_refuses_what_is_none() -> None:
    image = torch.full((1, 3, 4, 4), 250, dtype=torch.uint8)
    example = image.clone()
    example[0, 0, 0, :2] = torch.tensor([253, 254], dtype=torch.uint8)  # 3, 4: L2 is 5
    held = [within(image, example, "l2", radius).item() for radius in (4, 5)]
    assert held == [False, True]
    beyond, nan = example / 255, example / 255
    beyond = beyond + 0.02
    nan[0, 0, 0, 0] = torch.nan
    assert not within(image, beyond, "linf", 255).any()
    assert not within(image, nan, "linf", 255).any()
