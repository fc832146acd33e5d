"""Answers of a server on disk, by what was asked, so that nothing is asked twice."""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from pixelproof.errors import DataError

_FORMAT = "CREATE TABLE IF NOT EXISTS answers (question BLOB PRIMARY KEY, answer TEXT NOT NULL)"
_AT_ONCE = 500  # questions a query, below SQLite's limit


def default_path(server: str) -> Path:
    """Where the answers of a server are kept while it is asked, in the person's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    name = hashlib.sha256(server.encode()).hexdigest()[:16]
    return cache / "pixelproof" / "score" / f"{name}.sqlite"


class LedgerError(DataError):
    """A ledger cannot be used; the answers themselves are as they must be."""


class AnswerLedger:
    """A file of answers; what was kept before a process was killed is there."""

    def __init__(self, path: Path, server: str) -> None:
        """Open the file, made where it is missing.

        Args:
            path: Of the file.
            server: Whose answers it holds.

        Raises:
            LedgerError: It cannot be written, is another file, or holds another server's answers.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(_FORMAT)
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{path}: expected a ledger of answers: {error}") from None
        owner = self.find([b"server"]).get(b"server")
        if owner not in (None, server):
            raise LedgerError(f"{path}: expected the answers of {server}, got those of {owner}")
        self.keep([(b"server", server)])
        (rows,) = self._database.execute("SELECT COUNT(*) FROM answers").fetchone()
        self.found = int(rows) - 1
        """How many answers an earlier run has left."""

    def find(self, questions: Sequence[bytes]) -> dict[bytes, str]:
        """The answers that are known, by question."""
        known: dict[bytes, str] = {}
        for start in range(0, len(questions), _AT_ONCE):
            part = questions[start : start + _AT_ONCE]
            holes = ",".join("?" * len(part))
            query = f"SELECT question, answer FROM answers WHERE question IN ({holes})"
            known |= dict(self._database.execute(query, part).fetchall())
        return known

    def keep(self, rows: Iterable[tuple[bytes, str]]) -> None:
        """Write answers down, by question.

        Raises:
            LedgerError: The disk is full.
        """
        try:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: cannot be written: {error}") from None

    def close(self, delete: bool) -> None:
        """Close the file, and delete it where it has served its purpose."""
        self._database.close()
        if delete:
            for end in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
