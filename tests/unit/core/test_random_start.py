import numpy as np
import pytest
import torch

from pixelproof.core.attacks.random_start import from_random_start
from tests.unit.core.test_fgsm import Linear, batch, convolutional


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[3, 4]))


@pytest.mark.parametrize(("epsilon", "steps", "length"), [(1, 1, 2), (4, 1, 5), (8, 4, 5)])
def test_on_a_linear_model_it_equals_the_steps_written_out(
    epsilon: int, steps: int, length: int
) -> None:
    model, images = Linear().eval(), batch(5, 2)
    labels = torch.tensor([0, 1, 2, 0, 1])
    found = from_random_start(model, images, labels, epsilon, steps, generator())
    start = generator().integers(-epsilon, epsilon + 1, tuple(images.shape), dtype=np.int16)
    old = images.numpy().astype(int)
    current = np.clip(np.clip(old + start, old - epsilon, old + epsilon), 0, 255)
    weight = model.weight.detach().double().numpy()
    for _ in range(steps):
        logits = current.reshape(5, -1) / 255 @ weight.T
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True) - np.eye(3)[labels.numpy()]
        sign = np.sign(error @ weight).reshape(old.shape).astype(int)
        current = np.clip(np.clip(current + length * sign, old - epsilon, old + epsilon), 0, 255)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), current)


def test_a_step_from_a_random_start_raises_the_loss_and_stays_within_epsilon() -> None:
    model, images = convolutional(), batch(32, 6)
    labels = torch.arange(32) % 4
    found = from_random_start(model, images, labels, 3, 1, generator())
    assert (found.int() - images.int()).abs().max() == 3

    def loss(some: torch.Tensor) -> float:
        return torch.nn.functional.cross_entropy(model(some.float() / 255), labels).item()

    assert loss(found) > loss(images)


@pytest.mark.parametrize(("epsilon", "steps"), [(0, 1), (256, 1), (1, 0)])
def test_what_is_out_of_range_is_refused(epsilon: int, steps: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        from_random_start(
            Linear().eval(), batch(1, 2), torch.tensor([0]), epsilon, steps, generator()
        )


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="mode"):
        from_random_start(Linear().train(), batch(1, 2), torch.tensor([0]), 1, 1, generator())
