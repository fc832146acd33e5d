"""What a network of one's own has seen, as its owner declares it; ids as `select` gives them."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pixelproof.data.image_set import image_id
from pixelproof.data.reading import UnreadableImageError, read_image, strict_reading, to_array
from pixelproof.errors import DataError, ParameterError
from pixelproof.params.select import Select
from pixelproof.system import files

NOTHING = "none"
_ID = re.compile(r"[0-9a-f]{16}")


def declared_images(declared: str, select: Select) -> frozenset[int]:
    """The ids of the images that a network has seen.

    Args:
        declared: `none`; a folder of images, at any depth; a manifest of the stage `select`,
            whose training images count; or a text file with an id a line, as `seen.txt`.
        select: How images become what the ids are of.

    Raises:
        DataError: There is no such folder or file, or it declares no image.
        IntegrityError: A manifest is damaged.
        ParameterError: A manifest is of images of another side or fit.
    """
    path = Path(declared)
    if declared == NOTHING:
        return frozenset()
    if path.is_dir():
        ids = _of_folder(path, select)
    elif path.suffix == ".json" and path.is_file():
        ids = _of_manifest(path, select)
    elif path.is_file():
        ids = _of_list(path)
    else:
        raise DataError(
            f"{path}: missing; expected `none`, a folder of images, a manifest.json of select, or "
            "a file with an image id a line"
        )
    if not ids:
        raise DataError(f"{path}: expected the images that were seen, got none; `none` says so")
    return ids


def _of_folder(folder: Path, select: Select) -> frozenset[int]:
    def read(path: Path) -> int | None:
        try:
            image = read_image(path).image
        except UnreadableImageError:
            return None  # `select` refuses it, too
        return image_id(to_array(image, select.side, select.fit))

    paths = sorted(one for one in folder.rglob("*") if one.is_file())
    with strict_reading(), ThreadPoolExecutor() as pool:
        return frozenset(one for one in pool.map(read, paths) if one is not None)


def _of_manifest(path: Path, select: Select) -> frozenset[int]:
    manifest = files.read_sealed(path)
    for key in ("side", "fit"):
        expected, got = getattr(select, key), manifest.get(key)
        if got != expected:
            raise ParameterError(f"{path}: expected {key} {expected}, as in `select`, got {got!r}")
    rows = manifest["images"]
    return frozenset(int(row["image"], 16) for row in rows if row["split"] == "train")


def _of_list(path: Path) -> frozenset[int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a text file of image ids: {error}") from None
    for number, line in enumerate(lines, 1):
        if not _ID.fullmatch(line.strip()):
            raise DataError(
                f"{path}, line {number}: expected an image id, 16 hexadecimal digits as in "
                f"seen.txt and manifest.json, got {line[:40]!r}"
            )
    return frozenset(int(line, 16) for line in lines)
