"""Where runs are kept, and whether the store answers; without importing MLflow."""

import os
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pixelproof.errors import ParameterError, ServiceError

TRACKING = "PIXELPROOF_TRACKING"  # off: no tracking
EXPERIMENT = "pixelproof"
CHECK_SECONDS = 8.0
WITHOUT = f"start it, set MLFLOW_TRACKING_URI, or go on without: {TRACKING}=off"


@dataclass(frozen=True)
class Store:
    """Where runs are kept.

    Attributes:
        uri: As MLflow takes it.
        folder: Of the database and the artifacts, where they lie on this machine.
    """

    uri: str
    folder: Path | None


def experiment_name() -> str:
    """What the experiment is called: as MLflow's own variable says, else as the project."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def enabled() -> bool:
    """Whether runs are tracked at all."""
    return os.environ.get(TRACKING, "").lower() not in ("off", "0", "no", "false")


def _project() -> Path:
    """The folder of the project: above the copy that DVC runs an experiment of its queue in."""
    here = Path.cwd()
    if not (here / "params.yaml").is_file():
        raise ParameterError(f"{here}: expected the folder that holds params.yaml; run from there")
    parts = here.parts
    for at in range(len(parts) - 2):
        if parts[at : at + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:at])
    return here


def find_store() -> Store:
    """The store that `MLFLOW_TRACKING_URI` names, else the project's own, `mlruns/mlflow.db`.

    Raises:
        ParameterError: The address is one that MLflow refuses, or is relative to another folder
            than the project's.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    scheme, _, rest = uri.partition(":")
    if not uri:
        folder = _project() / "mlruns"
        return Store(f"sqlite:///{folder / 'mlflow.db'}", folder)
    if scheme == "sqlite":
        path = Path(rest.removeprefix("///").partition("?")[0])
        if not path.is_absolute():
            try:
                path = _project() / path
            except ParameterError:
                raise ParameterError(
                    f"MLFLOW_TRACKING_URI: expected an absolute address, sqlite:////folder/{path}, "
                    f"or to be run from the project's folder; got {uri} in {Path.cwd()}"
                ) from None
        return Store(f"sqlite:///{path}", path.parent)
    if scheme == "file" or not rest:
        raise ParameterError(
            f"MLFLOW_TRACKING_URI: expected a server (http://…) or a database (sqlite:////…), got "
            f"{uri}: MLflow keeps no runs in plain folders any more"
        )
    return Store(uri, None)


def require_absolute() -> None:
    """Check that the store is the same from every folder, as runs in a worktree need it.

    Raises:
        ParameterError: `MLFLOW_TRACKING_URI` names none, or one that is relative to a folder.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://", "sqlite:////")):
        raise ParameterError(
            "MLFLOW_TRACKING_URI: expected an absolute address, http://… or sqlite:////…, since "
            f"this run works in a worktree of its own; got {plain(uri)!r}"
        )


def check_store() -> Store:
    """The store, if it can be reached; asks a server for its health, at most twice.

    Raises:
        ParameterError: As `find_store`.
        ServiceError: A server does not answer, or the database's file is none; names it and the
            way to go on without.
    """
    store = find_store()
    if not store.uri.startswith(("http://", "https://")):
        _check_database(store)
        return store
    reason = ""
    server = server_of(store.uri)
    for _ in range(2):
        try:
            with urllib.request.urlopen(f"{server}/health", timeout=CHECK_SECONDS):
                return store
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):  # it is there; what it thinks of us shows later
                return store
            reason = str(error)
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "reason", error))
        time.sleep(0.5)
    raise ServiceError(f"MLflow at {plain(store.uri)} does not answer ({reason}); {WITHOUT}")


def _check_database(store: Store) -> None:
    """Refuse a file that is no database, before any work is done."""
    path = store.folder / "mlflow.db" if store.folder else None
    if path is None or not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(16)
    if head not in (b"", b"SQLite format 3\0"):
        raise ServiceError(
            f"{path}: expected MLflow's database, got another file; move it away, or go on "
            f"without: {TRACKING}=off"
        )


# What MLflow keeps as absolute addresses of files.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_move(store: Store, experiment: str) -> None:
    """Mend the addresses of a database whose folder was moved or copied to another place.

    MLflow keeps absolute ones, so that runs of a project that was moved would lose their files.

    Args:
        store: A database on this machine.
        experiment: The name of the project's experiment.
    """
    if store.folder is None or not (store.folder / "mlflow.db").is_file():
        return
    here = (store.folder / "artifacts").as_uri()
    with closing(sqlite3.connect(store.folder / "mlflow.db", timeout=30)) as database, database:
        known = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "experiments" not in known:
            return
        row = database.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)
        ).fetchone()
        if row is None or row[0] == here or not row[0].startswith("file://"):
            return
        for table, column in _ADDRESSES:
            if table in known:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR {column} LIKE ? || '/%'",
                    (here, len(row[0]) + 1, row[0], row[0]),
                )


def server_of(uri: str) -> str:
    """The address of a server, without the name and the password in it."""
    parts = urllib.parse.urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def plain(uri: str) -> str:
    """An address without the password in it."""
    parts = urllib.parse.urlsplit(uri)
    return uri.replace(f"{parts.username}:{parts.password}@", "…@") if parts.password else uri
