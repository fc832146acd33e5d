import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelproof.errors import DataError, NumericalError, ParameterError
from pixelproof.evaluation.prediction import predict
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.models.engines import OpenVino, use_engine
from tests.support.tiny_network import TinyNetwork

CPU = torch.device("cpu")


def classifier(network: nn.Module | None = None) -> Classifier:
    torch.manual_seed(5)
    network = network or TinyNetwork(2)
    return Classifier(network, "tiny", ("a", "b"), (0.4,) * 3, (0.2,) * 3, {}, 16).eval()


def some_images(count: int) -> Tensor:
    generator = torch.manual_seed(3)
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def with_openvino() -> Classifier:
    made = classifier()
    use_engine("openvino", made, some_images(4))
    return made


def test_openvino_answers_as_torch_does(with_openvino: Classifier) -> None:
    images = some_images(50)
    with torch.inference_mode():
        expected, got = classifier()(images), with_openvino(images)
    assert isinstance(with_openvino.engine, OpenVino)
    assert not torch.equal(got, expected), "it was not torch that answered"
    assert torch.allclose(got, expected, atol=1e-5)


def test_the_answer_for_an_image_depends_on_no_other(
    with_openvino: Classifier, two_threads: None
) -> None:
    images = DeviceImages(some_images(37).numpy(), CPU)
    targets = np.zeros(37, np.int64)
    found = [
        predict(with_openvino, images, targets, size, lambda done: None).margin
        for size in (1, 8, 37)
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_it_is_asked_in_inference_mode_alone() -> None:
    made, images = classifier(), some_images(3)
    made.engine = lambda normalised: torch.full((len(normalised), 2), 7.0)
    with torch.inference_mode():
        assert (made(images) == 7).all()
    assert torch.equal(made(images), classifier()(images))


def test_gradients_are_those_of_torch(with_openvino: Classifier) -> None:
    def gradient(model: Classifier) -> Any:
        leaf = (some_images(3).float() / 255).requires_grad_(True)
        (found,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
        return found

    assert torch.equal(gradient(with_openvino), gradient(classifier()))


def test_nothing_is_reported_to_the_makers_of_openvino(with_openvino: Classifier) -> None:
    assert sys.modules["openvino_telemetry"] is None


def test_torch_needs_no_engine() -> None:
    made = classifier()
    use_engine("torch", made, some_images(2))
    assert made.engine is None


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        DataError, match=r"pip install 'pixelproof\[openvino\]', or set it to torch"
    ):
        use_engine("openvino", classifier(), some_images(2))


class Branching(TinyNetwork):
    """Takes another way for bright images, which a converter that looks at one way cannot see."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = super().forward(images)
        return -logits if images.mean() > 0 else logits


def test_a_network_that_the_engine_gets_wrong_is_refused() -> None:
    with pytest.raises(NumericalError, match="answers otherwise than torch for tiny"):
        use_engine("openvino", classifier(Branching(2)), some_images(4).clamp(min=200))


class Stretching(TinyNetwork):
    """Has an operation that no converter knows."""

    def forward(self, images: Tensor) -> Tensor:
        stretch: Tensor = torch.linalg.svdvals(images[:, 0]).sum()
        return super().forward(images) + stretch


def test_a_network_that_the_engine_cannot_run_is_refused_in_one_line() -> None:
    with pytest.raises(ParameterError, match=r"openvino cannot run tiny: .*; set it to torch"):
        use_engine("openvino", classifier(Stretching(2)), some_images(4))
