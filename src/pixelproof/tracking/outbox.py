"""Records on their way to the tracking store: written first, sent when it answers."""

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pixelproof.errors import DataError, IntegrityError, ServiceError, one_line
from pixelproof.system import files
from pixelproof.system.locks import hold
from pixelproof.tracking.records import Dataset, Record

SPOOL = Path("artifacts/spool")
REFUSED = SPOOL / "refused"  # what can never be sent
WAIT_SECONDS = 600.0  # a logged model over a slow line may take as long


@dataclasses.dataclass(frozen=True)
class Spooled:
    """A record that waits, and the run above it.

    Attributes:
        path: Where it waits.
        record: What is to be sent.
        digest: Of its content when it was made.
        stage: Which stage ran for it, as DVC calls it; empty where none did.
        pipeline: What tells its pipeline run from another.
        parent: The id of the run above it, where that was known.
    """

    path: Path
    record: Record
    digest: str
    stage: str
    pipeline: str
    parent: str | None

    @property
    def intact(self) -> bool:
        """Whether the files that the record speaks of are still those it was made from."""
        try:
            return self.record.digest == self.digest
        except (DataError, IntegrityError, OSError):
            return False


def put(records: Sequence[Record], stage: str, pipeline: str, parent: str | None) -> None:
    """Write records down, in their order, whole or not at all."""
    for record in records:
        name = f"{time.time_ns():020}-{os.getpid()}.json"  # in the order of the writing
        content = dataclasses.asdict(record)
        about = {"digest": record.digest, "stage": stage, "pipeline": pipeline, "parent": parent}
        files.write_sealed(SPOOL / name, {**about, "record": content})


def waiting() -> list[Path]:
    """Where the records lie that are still to be sent, the oldest first."""
    return sorted(SPOOL.glob("*.json"))


def read(path: Path) -> Spooled:
    """Read a record that waits.

    Raises:
        IntegrityError: It is not what was written.
    """
    try:
        content = files.read_sealed(path)
        fields = content["record"]
        fields["datasets"] = [Dataset(**dataset) for dataset in fields["datasets"]]
        fields["metrics"] = [(name, value, step) for name, value, step in fields["metrics"]]
        about = [content[key] for key in ("digest", "stage", "pipeline", "parent")]
        return Spooled(path, Record(**fields), *about)
    except (IntegrityError, LookupError, TypeError, ValueError):
        raise IntegrityError(f"{path}: damaged: expected the record that was written") from None


def set_aside(path: Path, reason: str) -> None:
    """Take a record that can never be sent out of the way of the later ones, and say why."""
    target = REFUSED / path.name
    target.parent.mkdir(exist_ok=True)
    path.replace(target)
    words = f"a record that cannot be sent was set aside ({one_line(reason)})"
    print(f"pixelproof: {target}: {words}; move it back to try again", file=sys.stderr)


def held(folder: Path) -> AbstractContextManager[None]:
    """Hold a folder's lock, which one process at a time has.

    Raises:
        ServiceError: Another process has it, and keeps it.
    """
    path = folder / ".lock"
    words = f"{path}: another process has held it for {WAIT_SECONDS:.0f} s; end that one"
    return hold(path, ServiceError(words), WAIT_SECONDS)


def sending() -> AbstractContextManager[None]:
    """Hold the right to send, so that no two processes make the same run.

    Raises:
        ServiceError: Another process sends, and does not come to an end.
    """
    return held(SPOOL)
