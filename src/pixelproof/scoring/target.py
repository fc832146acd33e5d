"""What is scored: anything that answers a batch of uint8 images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pixelproof.errors import DataError, ParameterError, PixelproofError
from pixelproof.scoring.answers import Answers, read_answers

if TYPE_CHECKING:
    import torch

    from pixelproof.params.select import Fit

UInt8 = npt.NDArray[np.uint8]
Layout = Literal["nchw", "nhwc"]
LONGEST_REASON = 300  # characters of a model's own error
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of an image before the model sees it; None leaves it to the model.

    Attributes:
        side: In pixels, of the square that every image becomes.
        fit: How it becomes one; see `data.reading.to_array`.
        mean: What is subtracted from images in [0, 1], one number or one a channel.
        std: What the difference is divided by.
        layout: The order of the axes; None is what the model says, or its kind's usual one.
    """

    side: int | None = None
    fit: "Fit | None" = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Layout | None = None

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise ParameterError(f"side: expected a number of pixels from 1, got {self.side}")


@dataclass(frozen=True)
class Remote:
    """How a server is asked.

    Attributes:
        timeout: Seconds that a reply may take.
        concurrency: How many requests may be under way at once.
        rate: The most requests a second; None is no limit.
        images: How many images a request holds.
        ledger: Where answers are kept; None is a file of the cache, deleted at the end.
        retries: How often a request is tried again, on 429, 5xx or no answer.
        backoff: Seconds before the second try; they double from try to try.
    """

    timeout: float = 30.0
    concurrency: int = 4
    rate: float | None = None
    images: int = 8
    ledger: Path | None = None
    retries: int = 5
    backoff: float = 0.5


@dataclass(frozen=True)
class TargetOptions:
    """What a person says of the model.

    Attributes:
        preprocessing: Of the images.
        classes: The names of its classes, in the order of its scores; None: as it says itself.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; for torch.
        trust: Load files that can run code.
        remote: How a server is asked.
    """

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    classes: tuple[str, ...] | None = None
    device: str = "auto"
    trust: bool = False
    remote: Remote = field(default_factory=Remote)


@dataclass(frozen=True)
class Target:
    """A model that is asked for images.

    Attributes:
        source: What a person calls it.
        ask: From (B, 3, H, W) uint8 images, an array or a tensor on `device`, to what
            `read_answers` reads.
        side: Of the images that it expects, in pixels; None takes any.
        fit: How images become squares of that side.
        classes: The names of its classes, by index, where they are known.
        device: Where its images must lie; None takes arrays.
        gradient: Whether `ask` is a torch module that takes floats in [0, 1], too, and can be
            differentiated.
        layout: The order of the axes in which `ask` hands images on.
        words: What is done to an image, for the result.
        again: Asks for images that were asked for before, where `ask` remembers them.
        close: Ends what it holds open; is told whether what it remembers has been used.
        kept: What an earlier, interrupted run has left, in words.
        remedy: What to do, where its answers are wrong, about those that stay, in words.
    """

    source: str
    ask: Callable[[Any], Any]
    side: int | None = None
    fit: "Fit" = "stretch"
    classes: tuple[str, ...] | None = None
    device: "torch.device | None" = None
    gradient: bool = False
    layout: Layout = "nchw"
    words: str = ""
    again: Callable[[Any], Any] | None = None
    close: Callable[[bool], object] = lambda used: None
    kept: str = ""
    remedy: str = ""

    def place(self, images: UInt8) -> Any:
        """The images where the model wants them: an array, or a tensor on its device."""
        if self.device is None:
            return images
        import torch

        return torch.from_numpy(images).to(self.device)

    def answer(self, images: Any, again: bool = False) -> Answers:
        """Ask for a batch.

        Args:
            images: (B, 3, H, W) uint8, as `place` gives them.
            again: Ask anew what was asked before.

        Raises:
            DataError: The model fails, or its answers are not what they must be.
            NumericalError: A score is not finite.
        """
        ask = self.again if again and self.again else self.ask
        try:
            output = ask(images) if self.device is None else _without_gradient(ask, images)
        except PixelproofError:
            raise
        except Exception as error:  # a network or a person's own code may raise anything
            count, channels, height, width = images.shape
            nchw = self.layout == "nchw"
            shape = (count, channels, height, width) if nchw else (count, height, width, channels)
            raise DataError(
                f"{self.source}: it raised {type(error).__name__} for images {shape}, "
                f"{self.layout.upper()}: {_reason(error)}"
            ) from error
        return read_answers(output, len(images), self.source)


def _without_gradient(ask: Callable[[Any], Any], images: Any) -> Any:
    import torch

    with torch.inference_mode():
        return ask(images)


def _reason(error: Exception) -> str:
    """An error's message in one line; of a long one, as TorchScript's, the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    whole = " ".join(lines)
    return whole if len(whole) <= LONGEST_REASON else lines[-1][:LONGEST_REASON]


def to_layout(images: UInt8, layout: Layout) -> UInt8:
    """(B, 3, H, W) images in an order of axes, contiguous."""
    moved = images.transpose(0, 2, 3, 1) if layout == "nhwc" else images
    return np.ascontiguousarray(moved)


def normalisation(
    asked: Preprocessing, mean: Triple = (0.0, 0.0, 0.0), std: Triple = (1.0, 1.0, 1.0)
) -> tuple[Triple, Triple]:
    """Mean and standard deviation of the three channels, of images in [0, 1].

    Args:
        asked: What a person says of them.
        mean: Where nothing is said.
        std: Where nothing is said.

    Raises:
        ParameterError: They are not one or three numbers, or a deviation is not above 0.
    """
    if asked.std and min(asked.std) <= 0:
        raise ParameterError(f"std: expected numbers above 0, got {min(asked.std):g}")
    return _triple("mean", asked.mean, mean), _triple("std", asked.std, std)


def _triple(name: str, numbers: tuple[float, ...] | None, default: Triple) -> Triple:
    if numbers is None:
        return default
    if len(numbers) not in (1, 3):
        raise ParameterError(f"{name}: expected one number or three, got {len(numbers)}")
    return numbers[0], numbers[len(numbers) // 2], numbers[-1]


def normalisation_words(asked: Preprocessing) -> str:
    """What is done to the values, in words."""
    if asked.mean is None and asked.std is None:
        return "values in [0, 1]"
    mean, std = (" ".join(f"{one:g}" for one in numbers) for numbers in normalisation(asked))
    return f"values in [0, 1], minus {mean}, divided by {std}"


def refuse_normalisation(asked: Preprocessing, source: str) -> None:
    """Refuse a mean or a deviation for a model that is given uint8 images.

    Raises:
        ParameterError: There is one.
    """
    if asked.mean is not None or asked.std is not None:
        raise ParameterError(
            f"{source}: expected no --mean and --std: it is given uint8 images and owns its "
            "normalisation"
        )
