"""Files that are whole or absent: write beside, sync, rename; and checksums of them."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.errors import DataError, IntegrityError, NumericalError


def remedy(path: Path) -> str:
    """What to do about a damaged file: of this project, or brought from elsewhere."""
    if path.resolve().is_relative_to(Path.cwd()):
        return "run `pixelproof repair`, then `dvc repro`"
    return "bring it anew from where it came"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Delete a file, a link or a whole folder; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def partial(path: Path) -> Path:
    """The name under which `atomic` writes what will be `path`; a killed process leaves it."""
    return path.with_name(f".{path.name}.partial")


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename a folder over another, so that no half-removed one ever has the final name."""
    old = path.with_name(f".{path.name}.old.partial")
    discard(old)
    if path.is_dir():
        path.replace(old)
    temporary.replace(path)
    discard(old)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Lend a path beside `path`, and rename it to `path` once the block has ended well.

    Serves a file and a folder alike. When the block raises, nothing is left and what stood
    under `path` is untouched; what an earlier, killed process left beside it is removed.

    Args:
        path: The final name. Its parent is made where it is missing.

    Yields:
        The name to write to: absent at first, in the same folder, so on the same file system.

    Raises:
        DataError: The disk is full or the folder cannot be written; names path and cause.
    """
    temporary = partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        discard(temporary)
        try:
            yield temporary
            for file in [temporary, *temporary.rglob("*")]:
                _sync(file)
            if temporary.is_dir():
                _put_in_place(temporary, path)
            else:
                temporary.replace(path)
            _sync(path.parent)
        finally:
            discard(temporary)
    except OSError as error:
        reason = error.strerror or str(error)
        elsewhere = error.filename and not Path(str(error.filename)).is_relative_to(path.parent)
        if elsewhere:  # what the block read, not what it wrote
            raise DataError(f"{error.filename}: {reason}, but {path} needs it") from error
        raise DataError(f"{path}: cannot be written: {reason}") from error


def ensure_writable(*paths: Path) -> None:
    """Fail before the work, not after it, where its outcome could not be written.

    Raises:
        DataError: The folder of one of the paths cannot be written.
    """
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror}") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(content: Any) -> str:
    """`content` as indented JSON.

    Raises:
        NumericalError: A number is not finite.
    """
    try:
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise NumericalError(f"expected finite numbers in JSON: {error}") from None


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON; NaN and infinity are refused."""
    try:
        text = json_text(content)
    except NumericalError as error:
        raise NumericalError(f"{path}: {error}") from None
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read JSON from `path`.

    Raises:
        DataError: The file is missing.
        IntegrityError: The file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; run `dvc repro` to make it") from None
    except ValueError as error:
        raise IntegrityError(f"{path}: expected JSON, got {error}; {remedy(path)}") from None


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON together with a checksum of it, since a cache gives back damaged bytes too."""
    write_json(path, {**content, "seal": _seal(content)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read JSON that was written with a checksum of it.

    Raises:
        DataError: The file is missing.
        IntegrityError: It does not hold what was written.
    """
    content = read_json(path)
    seal = content.pop("seal", None) if isinstance(content, dict) else None
    if seal is None or seal != _seal(content):
        words = "damaged: expected content that its seal is of"
        raise IntegrityError(f"{path}: {words}; {remedy(path)}")
    sound: dict[str, Any] = content
    return sound


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A new `.npy` file, mapped to be written, with its room on the disk taken.

    Raises:
        OSError: The disk is full; writing to a map without room would kill the process instead.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(content: Any) -> str:
    """A hash of what JSON can hold; the order of keys is none of it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def verify(path: Path, expected: str) -> None:
    """Check that `path` still holds the bytes whose SHA-256 was recorded.

    Args:
        path: The file.
        expected: The recorded SHA-256, in hexadecimal.

    Raises:
        DataError: The file is missing.
        IntegrityError: The bytes differ.
    """
    if not path.is_file():
        raise DataError(f"{path}: missing; run `dvc repro` to make it")
    actual = sha256(path)
    if actual != expected:
        raise IntegrityError(
            f"{path}: damaged: expected SHA-256 {expected[:12]}…, got {actual[:12]}…; "
            f"{remedy(path)}"
        )
