"""Reads image files, whole and sound, or refuses them; and makes them arrays of one size."""

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from pixelproof.errors import DataError

if TYPE_CHECKING:  # a served model reads no parameters
    from pixelproof.params.select import Fit

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
MOST_PIXELS = 89_478_485  # of Pillow: 1 GiB at 3 bytes, times 1/4
_EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
}
_ORIENTATION = 0x0112
_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")  # where DVC's own links lead
_TIFF_HEADERS = (b"II*\0", b"MM\0*")  # that an EXIF block begins with

UInt8 = npt.NDArray[np.uint8]


class UnreadableImageError(DataError):
    """An image file that is damaged, or that no stated rule turns into RGB."""

    def __init__(self, path: Path, reason: str) -> None:
        """Say which file it is and why it is refused."""
        super().__init__(f"{printable(path)}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class ReadImage:
    """What was read from a file.

    Attributes:
        image: RGB.
        mode: Pillow's mode of the file, before the rule that made it RGB.
        note: What a person may want to know of it, or nothing.
    """

    image: Image.Image
    mode: str
    note: str | None


def printable(path: Path) -> str:
    """A path as text that UTF-8 can encode, also where the file system's bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _check_link(path: Path, root: Path) -> None:
    if not path.is_symlink():
        return
    try:
        target = path.resolve()
    except (OSError, RuntimeError):
        raise DataError(f"{printable(path)}: a link to itself; delete it") from None
    if not (target.is_relative_to(root) or _OBJECT.search(target.as_posix())):
        raise DataError(f"{printable(path)}: a link that leaves {root}; copy what it names")


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """The files below a folder: no hidden ones, no links to folders, none that leave the root."""
    for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        _check_link(path, root)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root)
        elif entry.is_file():
            yield path


def find_images(root: Path) -> dict[str, list[Path]]:
    """The files of each class: a class is a folder directly below the root.

    Hidden files and folders are passed over, links to folders are not followed, and files that
    lie directly in the root belong to no class.

    Args:
        root: `data/`.

    Returns:
        Class name -> its files, both sorted.

    Raises:
        DataError: The root is missing, has fewer than two classes or an empty one, or holds a
            link that leaves it.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: expected a folder of images, {root}/<class>/<image>; put yours there, or "
            "run `make data` for the demo set"
        )
    classes = {}
    for folder in sorted(root.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        _check_link(folder, root.resolve())
        if not folder.is_symlink():
            classes[printable(Path(folder.name))] = list(_walk(folder, root.resolve()))
    if len(classes) < 2:
        raise DataError(f"{root}: expected two or more class folders, got {sorted(classes)}")
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise DataError(f"{root / empty[0]}: expected images, got an empty class folder")
    return classes


def _check_png(data: bytes) -> None:
    """Check every chunk's sum and that the last one is IEND, which decoding lets pass."""
    at, kind = 8, b""
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            raise ValueError("truncated PNG")
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(data[at + 4 : end]):
            raise ValueError(f"damaged PNG: the sum of its {kind.decode('latin-1')} chunk is wrong")
        at = end + 4
        if kind == b"IEND":
            return
    raise ValueError("truncated PNG: no IEND chunk")


def _check_jpeg(data: bytes) -> None:
    """Decode strictly: Pillow fills what is missing or damaged in mid-scan without a word."""
    space = simplejpeg.decode_jpeg_header(data)[2]
    simplejpeg.decode_jpeg(data, colorspace="CMYK" if space in ("CMYK", "YCCK") else "RGB")


def _scale_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    scaled = ((values + 128) // 257).astype(np.uint8)
    if "transparency" in image.info:
        scaled[values == image.info["transparency"]] = 255
    return Image.fromarray(scaled)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn any mode into RGB by one rule.

    16-bit gray is divided by 257 and rounded (never clipped), of 16-bit colours Pillow takes the
    high byte; gray stands in all channels; transparency, in a palette too, is laid on white; CMYK
    and the rest by Pillow's conversion.

    Args:
        image: Decoded.

    Returns:
        Mode RGB.

    Raises:
        ValueError: The range of the values is unknown (32-bit integers or floats).
    """
    if image.mode.startswith("I;16"):
        image = _scale_16_bit(image)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"mode {image.mode}, whose range is unknown: expected 8 or 16 bits a channel; "
            "save it as PNG of 8 or 16 bits"
        )
    if image.has_transparency_data:
        over = image.convert("RGBA")
        under = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(under, over)
    return image.convert("RGB")


def _oriented(image: Image.Image) -> Image.Image:
    """Turn the image as its EXIF orientation says; a damaged EXIF block leaves that unknown."""
    block = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    if block and not block.startswith(_TIFF_HEADERS):
        raise ValueError("damaged EXIF: expected a TIFF header, got none")
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # Pillow raises what the damage happens to hit
        raise ValueError(f"damaged EXIF: {error}") from None
    if orientation not in range(9):
        raise ValueError(f"damaged EXIF: orientation {orientation!r}, expected 0 to 8")
    return ImageOps.exif_transpose(image)


def _decode(data: bytes) -> tuple[Image.Image, str, str]:
    """Decode to RGB; returns the image, its mode and its format."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width} x {height}: expected at most {MOST_PIXELS} pixels")
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError(f"expected one frame, got {image.n_frames}")  # type: ignore[attr-defined]
        kind = str(image.format)
        if kind == "PNG":
            _check_png(data)
        if kind == "JPEG":
            _check_jpeg(data)
        image.load()
        return to_rgb(_oriented(image)), image.mode, kind


@contextmanager
def strict_reading() -> Iterator[None]:
    """Refuse the images that Pillow warns of; stands around a whole reading.

    The filter is one for the process, so it is set once and not by each reading thread.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def read_image(path: Path) -> ReadImage:
    """Read an image file whole and sound, or refuse it.

    The content decides the format, not the name. Images beyond 89 megapixels are refused before
    they are decoded, and so are several frames in one file and text. A PNG must have the right
    sum in every chunk, and a JPEG must pass a strict decoder; other damage can go unnoticed where
    a format has no sums, a flipped bit that still decodes among it. Modes become RGB as `to_rgb`
    says; the EXIF orientation is applied.

    Args:
        path: Of a PNG, JPEG, BMP, TIFF, WebP, PPM or single-frame GIF.

    Returns:
        The image and what there is to say of it.

    Raises:
        UnreadableImageError: It cannot be read; says which file and why. Within `strict_reading`
            that goes for images that Pillow merely warns of, too.
    """
    try:
        data = path.read_bytes()
        if not data:
            raise ValueError("expected an image, got an empty file")
        image, mode, kind = _decode(data)
    except UnidentifiedImageError:
        reason = f"expected one of {', '.join(FORMATS)}; got none"
        raise UnreadableImageError(path, reason) from None
    except Exception as error:  # decoders raise SyntaxError, struct.error, zlib.error, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(path, reason) from None
    suffix = path.suffix.lower()
    expected = _EXTENSIONS.get(kind, (f".{kind.lower()}",))
    note = None if suffix in expected else f"named {suffix or 'without an ending'}, holds {kind}"
    return ReadImage(image, mode, note)


def to_array(image: Image.Image, size: int, fit: "Fit") -> UInt8:
    """Resize to a square by interpolation with antialiasing.

    Args:
        image: RGB.
        size: The side in pixels.
        fit: `stretch` the whole image, or `crop` its centre after the shorter side fits, both
            bilinear; `imagenet` crops the centre 7/8 and is bicubic, as networks are evaluated
            there.

    Returns:
        (3, size, size) uint8.
    """
    if fit == "crop":
        square = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    elif fit == "imagenet":
        whole = round(size * 8 / 7)  # 256 for 224
        before = ImageOps.fit(image, (whole, whole), Image.Resampling.BICUBIC)
        start = (whole - size) // 2
        square = before.crop((start, start, start + size, start + size))
    else:
        square = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))
