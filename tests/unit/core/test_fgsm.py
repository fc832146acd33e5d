import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.boundary import boundary_distance
from pixelproof.core.attacks.fgsm import fgsm, input_gradient
from pixelproof.core.attacks.iterated_fgsm import iterated_fgsm


class Linear(nn.Module):
    """A softmax classifier whose gradient can be written down by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2 * 2 * 3, generator=torch.manual_seed(1)))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


def convolutional() -> nn.Module:
    torch.manual_seed(2)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(8 * 36, 4)).eval()


def batch(count: int, side: int) -> Tensor:
    generator = torch.manual_seed(3)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def test_the_sign_is_that_of_the_gradient_worked_out_by_hand() -> None:
    model, images, label = Linear().eval(), batch(1, 2), 2
    x = [value / 255 for value in images.flatten().tolist()]
    w = model.weight.tolist()
    logits = [sum(a * b for a, b in zip(row, x, strict=True)) for row in w]
    exp = [math.exp(one) for one in logits]
    error = [one / sum(exp) - (at == label) for at, one in enumerate(exp)]
    expected = []
    for at, value in enumerate(images.flatten().tolist()):
        slope = sum(error[k] * w[k][at] for k in range(3))
        expected.append(min(255, max(0, value + 5 * ((slope > 0) - (slope < 0)))))
    found = fgsm(model, images, torch.tensor([label]), 5)
    assert found.flatten().tolist() == expected


@pytest.mark.parametrize("epsilon", [1, 8, 255])
def test_it_equals_the_textbook_version(epsilon: int) -> None:
    model, images, labels = convolutional(), batch(5, 6), torch.tensor([0, 1, 2, 3, 0])
    floats = (images.float() / 255).requires_grad_(True)
    nn.functional.cross_entropy(model(floats), labels).backward()  # type: ignore[no-untyped-call]
    assert floats.grad is not None
    moved = (floats + epsilon / 255 * floats.grad.sign()).clamp(0, 1)
    found = fgsm(model, images, labels, epsilon)
    assert found.dtype == torch.uint8
    assert torch.equal(found, (moved * 255).round().to(torch.uint8))
    assert (found.int() - images.int()).abs().max() <= epsilon


def test_an_image_knows_nothing_of_its_batch() -> None:
    model, images, labels = convolutional(), batch(5, 6), torch.tensor([0, 1, 2, 3, 0])
    whole = input_gradient(model, images.float() / 255, labels)
    alone = input_gradient(model, images[3:4].float() / 255, labels[3:4])
    assert torch.allclose(whole[3:4], alone, rtol=1e-4, atol=1e-7)


def test_a_zero_gradient_moves_nothing() -> None:
    model = Linear().eval()
    nn.init.zeros_(model.weight)
    images = batch(2, 2)
    assert torch.equal(fgsm(model, images, torch.tensor([0, 1]), 9), images)


@pytest.mark.parametrize("edge", [0, 255])
def test_it_ends_at_black_and_white(edge: int) -> None:
    model, images = Linear().eval(), torch.full((1, 3, 2, 2), edge, dtype=torch.uint8)
    found = fgsm(model, images, torch.tensor([0]), 9)
    assert set(found.flatten().tolist()) == {edge, abs(edge - 9)}


def test_it_leaves_the_model_and_the_images_alone() -> None:
    model, images = convolutional(), batch(2, 6)
    before = images.clone()
    fgsm(model, images, torch.tensor([0, 1]), 9)
    assert torch.equal(images, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        fgsm(convolutional().train(), batch(1, 6), torch.tensor([0]), 1)
    model = convolutional()
    next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d)).train()
    with pytest.raises(ValueError, match="eval mode"):
        fgsm(model, batch(1, 6), torch.tensor([0]), 1)


@pytest.mark.parametrize("epsilon", [0, 256, 8 / 255, True, float("nan")])
def test_epsilon_counts_in_units_of_1_255(epsilon: Any) -> None:
    with pytest.raises(ValueError, match="epsilon: expected an integer"):
        fgsm(convolutional(), batch(1, 6), torch.tensor([0]), epsilon)


def test_the_strongest_iterates_stay_within_epsilon_and_end_with_no_smaller_a_loss() -> None:
    model, images, labels = convolutional(), batch(5, 6), torch.tensor([0, 1, 2, 3, 0])

    def losses(some: Tensor) -> Tensor:
        with torch.no_grad():
            return nn.functional.cross_entropy(model(some.float() / 255), labels, reduction="none")

    before = losses(images)
    for epsilon, steps in ((1, 10), (2, 10), (16, 5)):
        found = iterated_fgsm(model, images, labels, epsilon, steps, strongest=True)
        assert found.dtype == torch.uint8
        assert (found.int() - images.int()).abs().max() <= epsilon
        assert (losses(found) >= before).all()
    once = losses(fgsm(model, images, labels, 1))
    strongest = iterated_fgsm(model, images, labels, 1, 10, strongest=True)
    assert (losses(strongest) >= once).all()


def test_an_image_that_is_fooled_is_left_alone_and_no_other_for_it() -> None:
    model, images = convolutional(), batch(40, 6)
    with torch.no_grad():
        labels = model(images.float() / 255).argmax(dim=1)
    asked = []
    model.register_forward_hook(lambda module, given, answer: asked.append(len(answer)))
    found = iterated_fgsm(model, images, labels, 2, 10)
    strongest = iterated_fgsm(model, images, labels, 2, 10, strongest=True)
    with torch.no_grad():
        fooled = model(found.float() / 255).argmax(dim=1) != labels
        at_last = model(strongest.float() / 255).argmax(dim=1) != labels
    assert 0 < fooled.sum() < len(images), "some of both kinds"
    assert torch.equal(fooled, at_last), "who is left alone is fooled, and none besides"
    assert asked[0] == len(images)
    assert asked[10] == len(images) - fooled.sum() < len(images)
    alone = [iterated_fgsm(model, images[at][None], labels[at][None], 2, 10) for at in (0, 7)]
    assert torch.equal(torch.cat(alone), found[[0, 7]])


def test_on_a_straight_model_one_whole_step_is_the_best_there_is() -> None:
    model, images = Linear().eval(), batch(4, 2).clamp(20, 235)
    two = nn.Sequential(model, nn.Linear(3, 2, bias=False)).eval()  # two classes: one direction
    labels = torch.tensor([0, 1, 0, 1])
    strongest = iterated_fgsm(two, images, labels, 8, 20, strongest=True)
    assert torch.equal(strongest, fgsm(two, images, labels, 8))


@pytest.mark.parametrize(("epsilon", "steps"), [(0, 3), (256, 3), (2, 0)])
def test_impossible_attacks_are_refused(epsilon: int, steps: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        iterated_fgsm(convolutional(), batch(1, 6), torch.tensor([0]), epsilon, steps)


def test_the_distance_is_that_of_a_point_to_a_line() -> None:
    model, images = Linear().eval(), batch(6, 2)
    points, weight = images.flatten(1) / 255.0, model.weight.detach()
    logits = points @ weight.T
    for label in range(3):
        others = [one for one in range(3) if one != label]
        expected = torch.stack(
            [
                (logits[:, label] - logits[:, one]) / (weight[label] - weight[one]).norm()
                for one in others
            ]
        ).amin(dim=0)
        found = boundary_distance(model, images, torch.full((6,), label))
        torch.testing.assert_close(found, expected)
        assert torch.equal(found > 0, logits.argmax(dim=1) == label)


def test_without_a_gradient_the_boundary_is_infinitely_far() -> None:
    class Steps(nn.Module):
        """An input layer that rounds to 8 bits, through which no gradient comes."""

        def forward(self, images: Tensor) -> Tensor:
            level = (images * 255).round() / 255
            return torch.stack([level.mean(dim=(1, 2, 3)), 0.4 + 0 * level[:, 0, 0, 0]], dim=1)

    images = torch.full((1, 3, 4, 4), 200, dtype=torch.uint8)
    assert boundary_distance(Steps().eval(), images, torch.tensor([0])).isinf().all()
