"""What is damaged: DVC's objects by the hashes that name them, our files by their seals."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelproof.errors import DataError, IntegrityError
from pixelproof.paths import (
    ADVERSARIAL,
    ATTACKS,
    CHANGES,
    CHECKPOINTS,
    GATE,
    IMAGES,
    LEDGER,
    MODELS,
)
from pixelproof.system import files
from pixelproof.system.progress import progress

PROTECTED = 0o444  # how DVC marks the objects that it need not hash again
UNREADABLE = "unreadable"  # stands for the hash of bytes that the disk no longer gives
_OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?")


def shown(path: Path) -> str:
    """A path as a person would type it here."""
    return os.path.relpath(path)


def md5(path: Path) -> str:
    """The MD5 of a file's bytes, which DVC names it by; `UNREADABLE` where the disk fails."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        if error.errno == errno.EIO:
            return UNREADABLE
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def unlike_recorded(root: Path) -> Iterator[Path]:
    """The files of a workspace that our own seals and checksums say are damaged."""
    sealed = [
        path
        for folder in (IMAGES, MODELS, CHANGES, ADVERSARIAL, GATE)
        for name in ("manifest.json", "classifier.json")
        for path in sorted((root / folder).rglob(name))
    ]
    for path in sealed:
        try:
            recorded = json.dumps(files.read_sealed(path))
        except IntegrityError:
            yield path
            continue
        for other in sorted(path.parent.iterdir()):  # what is ours has its checksum in there
            ours = other.suffix in (".npy", ".safetensors") or other.name == "seen.txt"
            if ours and other.is_file() and files.sha256(other) not in recorded:
                yield other
    for path in sorted((root / CHECKPOINTS).glob("*/*/state.pt")):
        checksum = path.with_name("sha256")
        if checksum.is_file() and checksum.read_bytes() != files.sha256(path).encode():
            yield path
    yield from _unread_ledgers(root)


def _unread_ledgers(root: Path) -> Iterator[Path]:
    from pixelproof.evaluation.attack_records import read_attacks
    from pixelproof.evaluation.ledger import read_ledger

    for folder, read in ((LEDGER, read_ledger), (ATTACKS, read_attacks)):
        for path in sorted((root / folder).glob("*.parquet")):
            try:
                read(path)
            except IntegrityError:
                yield path


class Cache:
    """DVC's cache.

    Attributes:
        sound: The names of the objects whose bytes have the hash that they are named by.
        damaged: The names of the others, and the hash of what they hold.
        report: What was done, a line each.
    """

    def __init__(self, folder: Path) -> None:
        """Start with nothing verified; the folder is `files/md5` of the cache."""
        self.folder = folder
        self.sound: set[str] = set()
        self.damaged: dict[str, str] = {}
        self.report: list[str] = []

    def path(self, name: str) -> Path:
        """Where an object lies."""
        return self.folder / name[:2] / name[2:]

    def verify(self) -> None:
        """Hash every object."""
        objects = [
            path
            for path in sorted(self.folder.glob("??/*"))
            if _OBJECT.fullmatch(f"{path.parent.name}/{path.name}")
        ]
        with progress(len(objects), "verify DVC's cache", "objects") as update:
            for path in objects:
                name, digest = path.parent.name + path.name, md5(path)
                if digest == name.removesuffix(".dir"):
                    self.sound.add(name)
                else:
                    self.damaged[name] = digest
                update(1)

    def condemn(self, name: str) -> None:
        """Count an object as damaged that holds what was damaged before DVC hashed it."""
        if name in self.sound:
            self.sound.remove(name)
            self.damaged[name] = name

    @contextmanager
    def put_back(self, name: str, source: str) -> Iterator[Path]:
        """Lend a path for the sound bytes of a damaged object, and put them in its place."""
        path = self.path(name)
        with files.atomic(path) as temporary:
            yield temporary
            temporary.chmod(PROTECTED)
        self.sound.add(name)
        self.report.append(f"{shown(path)}: damaged; put back from {source}")

    @property
    def lost(self) -> list[str]:
        """The damaged objects that nothing has taken the place of."""
        return [name for name in self.damaged if name not in self.sound]
