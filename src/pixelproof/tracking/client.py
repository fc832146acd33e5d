"""The connection to MLflow's store, and the runs in it.

MLflow takes seconds to import, so it is imported only once there is something to send. Each run
has tags that identify it and is looked up by them before it is made, so that a record that is sent
twice, by two processes or after a lost reply, leaves one run.
"""

import datetime
import logging
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pixelproof.errors import ServiceError
from pixelproof.params.project import load_params
from pixelproof.system import git
from pixelproof.tracking import outbox, records
from pixelproof.tracking.store import WITHOUT, Store, experiment_name, follow_move, plain, server_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OWNER = "pixelproof.owner"  # host and process that a pipeline run ends with
NOTE = "mlflow.note.content"  # what the page shows as a run's description
HEAD_END = "\n\n---\n\n"  # ends what `describe` puts at the head of a description
OLDEST_FIRST, NEWEST_FIRST = "attributes.start_time ASC", "attributes.start_time DESC"
SETTINGS = {
    # By default one call to a dead server takes four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def _common_tags() -> dict[str, str]:
    tags = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git.head(),
        "git.changed": "yes" if git.sources_changed() else "no",
        "dvc.data": records.data_digest(load_params()),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _alive(owner: str) -> bool:
    """Whether the process `host:pid` may still run; processes on other hosts count as alive."""
    host, _, pid = owner.rpartition(":")
    return host != socket.gethostname() or Path(f"/proc/{pid}").exists()


class Tracker:
    """An open store."""

    def __init__(self, store: Store) -> None:
        """Open the store; its database and the experiment are made where they are missing.

        Raises:
            ServiceError: It does not answer, or refuses.
        """
        for variable, value in SETTINGS.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):  # they report each table and revision
            logging.getLogger(noisy).setLevel(logging.ERROR)

        self.store = store
        # Processes that make a fresh database at the same time crash: they open it in turn.
        with self._guarded(), outbox.held(store.folder) if store.folder else nullcontext():
            follow_move(store, experiment_name())
            self._client = MlflowClient(store.uri)
            self.experiment = self._find_experiment()

    @contextmanager
    def service(self) -> Iterator["MlflowClient"]:
        """Lend MLflow's client; what it raises becomes a ServiceError that names the address."""
        with self._guarded():
            yield self._client

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, OSError, SQLAlchemyError, sqlite3.Error) as error:
            message = re.sub(r"//[^/@\s]+@", "//…@", str(error))  # a password in an address
            reason = message.strip().split("\n")[0][:300]
            raise ServiceError(f"MLflow at {plain(self.store.uri)}: {reason}; {WITHOUT}") from error

    @contextmanager
    def process_wide(self) -> Iterator[None]:
        """Make this the store of the whole process: MLflow looks up `models:/…` in no other."""
        import mlflow

        before = os.environ.get("MLFLOW_TRACKING_URI", "")
        mlflow.set_tracking_uri(self.store.uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)

    def _find_experiment(self) -> str:
        name = experiment_name()
        existing = self._client.get_experiment_by_name(name)
        if existing is not None:
            if existing.lifecycle_stage == "deleted":
                raise ServiceError(
                    f"MLflow at {plain(self.store.uri)}: the experiment {name} is deleted; "
                    "restore it, or name another in MLFLOW_EXPERIMENT_NAME"
                )
            return str(existing.experiment_id)
        location = (self.store.folder / "artifacts").as_uri() if self.store.folder else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the page's layout
        return str(self._client.create_experiment(name, location, kind))

    def address(self, run: str) -> str:
        """The page of a run: on the server, or on that of `pixelproof ui`."""
        local = self.store.folder is not None
        server = "http://127.0.0.1:5000" if local else server_of(self.store.uri)
        page = f"{server}/#/experiments/{self.experiment}/runs/{run}"
        return f"{page}?workflowType=machine_learning"

    def search(self, tags: Mapping[str, str], order: str | None = None) -> list["Run"]:
        """The runs of the experiment that have these tags.

        Raises:
            ServiceError: The store does not answer.
        """
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        order_by = [order] if order else None
        with self._guarded():
            return list(
                self._client.search_runs(
                    [self.experiment], query, max_results=1000, order_by=order_by
                )
            )

    def find_or_make(self, tags: Mapping[str, str], name: str, started: float) -> "Run":
        """The run with these tags, made where there is none; idempotent.

        Raises:
            ServiceError: The store does not answer.
        """
        runs = self.search(tags, OLDEST_FIRST)
        if not runs:
            everything = {**tags, **_common_tags()}
            with self._guarded():
                self._client.create_run(self.experiment, round(1000 * started), everything, name)
                # Where a reply was lost on its way, there may be two of them.
                runs = self.search(tags, OLDEST_FIRST)
                for twin in runs[1:]:
                    self._client.delete_run(twin.info.run_id)
        return runs[0]

    def pipeline_run(self, pipeline: str, started: float) -> "Run":
        """The run of a pipeline; pipeline runs that dead processes have left open are closed.

        Raises:
            ServiceError: The store does not answer.
        """
        tags = {"pixelproof.pipeline": pipeline, "pixelproof.kind": "pipeline"}
        name = time.strftime("pipeline %Y-%m-%d %H:%M", time.localtime(started))
        run = self.find_or_make(tags, name, started)
        with self._guarded():
            if OWNER not in run.data.tags:  # a stage of a bare `dvc repro` asks: DVC's child
                owner = f"{socket.gethostname()}:{os.getppid()}"
                self._client.set_tag(run.info.run_id, OWNER, owner)
            for other in self.search({"pixelproof.kind": "pipeline"}):
                owner = other.data.tags.get(OWNER, "")
                if other.info.status == "RUNNING" and owner and not _alive(owner):
                    self._client.set_terminated(other.info.run_id, "KILLED")
        return run

    def begin(self, pipeline: str, source: str) -> str:
        """Find or make the run of a pipeline; returns its id.

        Args:
            pipeline: The key of the pipeline run (see `records.pipeline_key`).
            source: What starts it.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded(), outbox.sending():
            run = self.pipeline_run(pipeline, time.time())
            run_id = str(run.info.run_id)
            if run.info.status != "FINISHED":
                self._client.set_tag(run_id, OWNER, f"{socket.gethostname()}:{os.getpid()}")
                self._client.set_tag(run_id, "mlflow.source.name", source)
                self._client.update_run(run_id, "RUNNING")
        return run_id

    def end(self, run_id: str, status: str, stages: Sequence[str], ran: Sequence[str]) -> None:
        """Close the run of a pipeline; a finished run to which nothing was added stays as it is.

        Args:
            run_id: Of the pipeline's run.
            status: FINISHED, FAILED or KILLED.
            stages: The names of all stages.
            ran: Those that ran; the others were cached.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            before = self._client.get_run(run_id)
            if before.info.status == status == "FINISHED" and not ran:
                return
            if ran:
                cached = [name for name in stages if name not in ran]
                self._client.set_tag(run_id, "stages.ran", ", ".join(ran))
                self._client.set_tag(run_id, "stages.cached", ", ".join(cached))
            self._client.set_terminated(run_id, status)

    def describe(self, run_id: str, words: str) -> None:
        """Put words at the head of a run's description; they replace earlier ones of this kind.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            note = self._client.get_run(run_id).data.tags.get(NOTE, "")
            rest = note.partition(HEAD_END)[2] if HEAD_END in note else note
            self._client.set_tag(run_id, NOTE, f"{words}{HEAD_END}{rest}"[:5000])

    def find_pipeline(self, pipeline: str) -> str | None:
        """The id of the run of a pipeline; None where there is none.

        Raises:
            ServiceError: The store does not answer.
        """
        tags = {"pixelproof.pipeline": pipeline, "pixelproof.kind": "pipeline"}
        runs = self.search(tags, OLDEST_FIRST)
        return str(runs[0].info.run_id) if runs else None

    def measure(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add a point, now, to the curves of a run.

        Raises:
            ServiceError: The store does not answer.
        """
        from mlflow.entities import Metric

        now = time.time()
        points = [
            Metric(key, value, round(1000 * now), round(now)) for key, value in metrics.items()
        ]
        with self._guarded():
            self._client.log_batch(run_id, points)

    def keep(self, run_id: str, path: Path) -> None:
        """Keep a file with a run.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            self._client.log_artifact(run_id, str(path))

    def about(self, run_id: str) -> tuple[dict[str, str], str]:
        """The tags of a run, and the day on which it started.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            run = self._client.get_run(run_id)
        day = datetime.datetime.fromtimestamp(run.info.start_time / 1000).date().isoformat()
        return dict(run.data.tags), day
