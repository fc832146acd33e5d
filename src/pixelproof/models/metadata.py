"""What a model folder says of its classifier, read without torch.

`classifier.json` holds the architecture, the classes, the preprocessing, where the weights came
from and the checksums of the other files; `seen.txt` the ids of the images that the classifier was
trained or validated on.
"""

from pathlib import Path
from typing import Any

from pixelproof.errors import DataError, IntegrityError
from pixelproof.system import files

FORMAT = 1
METADATA, SEEN = "classifier.json", "seen.txt"
UNKNOWN, DECLARED = "unknown", "declared"  # what weights from elsewhere have seen


def read_metadata(folder: Path) -> dict[str, Any]:
    """The content of `classifier.json`.

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: The file is not what was stored, or is of another format.
    """
    if not (folder / METADATA).is_file():
        raise DataError(f"{folder}: expected a model folder with {METADATA}; got none")
    metadata = files.read_sealed(folder / METADATA)
    if metadata.get("format") != FORMAT:
        raise IntegrityError(
            f"{folder}: expected a model folder of format {FORMAT}, got {metadata.get('format')!r}"
        )
    return metadata


def seen_images(folder: Path) -> frozenset[int]:
    """The ids of the images that a stored classifier was trained or validated on.

    Raises:
        DataError: The folder holds no list of them.
        IntegrityError: The list is not the one that was stored.
    """
    path = folder / SEEN
    files.verify(path, files.read_sealed(folder / METADATA)["seen_sha256"])
    return frozenset(int(line, 16) for line in path.read_text().split())


def seen_is_known(folder: Path) -> bool:
    """Whether `seen_images` is complete.

    It is not for what was made from weights from elsewhere, unless their owner has declared which
    images those have seen.

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: It is not the one that was stored.
    """
    source: dict[str, Any] = files.read_sealed(folder / METADATA)["source"]
    return source.get("seen") != UNKNOWN
