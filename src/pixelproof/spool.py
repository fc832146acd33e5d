"""Records on their way to the tracking store: written first, sent when it answers."""

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pixelproof import files
from pixelproof.errors import DataError
from pixelproof.records import Dataset, Record

SPOOL = Path("artifacts/spool")


@dataclasses.dataclass(frozen=True)
class Spooled:
    """A record that waits, and the run above it.

    Attributes:
        path: Where it waits.
        record: What is to be told.
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
        except (DataError, OSError):
            return False


def put(records: Sequence[Record], stage: str, pipeline: str, parent: str | None) -> None:
    """Write records down, in their order, whole or not at all."""
    for record in records:
        name = f"{time.time_ns():020}-{os.getpid()}.json"  # in the order of the writing
        content = dataclasses.asdict(record)
        about = {"digest": record.digest, "stage": stage, "pipeline": pipeline, "parent": parent}
        files.write_json(SPOOL / name, {**about, "record": content})


def waiting() -> Iterator[Spooled]:
    """The records that are still to be sent, the oldest first."""
    for path in sorted(SPOOL.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        fields = content["record"]
        fields["datasets"] = [Dataset(**one) for one in fields["datasets"]]
        fields["metrics"] = [(name, value, step) for name, value, step in fields["metrics"]]
        about = [content[key] for key in ("digest", "stage", "pipeline", "parent")]
        yield Spooled(path, Record(**fields), *about)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock: one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sending() -> AbstractContextManager[None]:
    """Hold the right to send, so that no two processes make the same run."""
    return held(SPOOL)
