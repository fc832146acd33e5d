import re

import pytest
import torch
from torch import Tensor, nn

from pixelproof.errors import ParameterError
from pixelproof.models.baseline import open_classifier
from pixelproof.models.check import try_network
from pixelproof.models.classifier import Classifier
from pixelproof.params.baselines import Baseline
from tests.support.tiny_network import factory


class Two(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


class Answers(nn.Module):
    """Logits, by an engine that torch sees nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.detach().mean(dim=(2, 3)))
        return logits


class Constant(Answers):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(images)


def classifier(network: nn.Module, classes: tuple[str, ...] = ("bad", "good")) -> Classifier:
    return Classifier(network, "mine", classes, (0.0,) * 3, (1.0,) * 3, {})


def test_a_network_that_answers_in_logits_is_taken() -> None:
    one = classifier(factory())
    before = {key: value.clone() for key, value in one.state_dict().items()}
    try_network(one, 16, "one")
    assert all(torch.equal(value, before[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Sequential(factory(), nn.Softmax(1)), "got probabilities; leave its last softmax out"),
        (factory(3), "expected logits, float32 (2, 2) for two images, got torch.float32 (2, 3)"),
        (Two(), "expected logits, float32 (2, 2) for two images, got tuple"),
        (Answers(), "got logits alone; a network that only answers"),
        (Constant(), "got logits alone; a network that only answers"),
        (factory().double(), "mine: does not take images of select.side = 16 pixels: "),
    ],
)
def test_any_other_is_refused_before_the_work(network: nn.Module, expected: str) -> None:
    with pytest.raises(ParameterError, match=f"^baselines.one.classifier: .*{re.escape(expected)}"):
        try_network(classifier(network), 16, "one")


def test_images_too_small_for_a_network() -> None:
    baseline = Baseline("torchvision:alexnet", weights="none", epochs=1)
    small = open_classifier(baseline, ("a", "b", "c"), "one")
    with pytest.raises(ParameterError, match=r"does not take images of select\.side = 16 pixels"):
        try_network(small, 16, "one")
    try_network(small, 64, "one")
