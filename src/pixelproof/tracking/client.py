"""Runs in MLflow: the only import of it, and none before there is something to send.

Whatever is sent is looked for first, under tags that tell it: to send a record twice, in two
processes or after a lost reply, leaves one run.
"""

import datetime
import json
import logging
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pixelproof.errors import DataError, IntegrityError, ParameterError, ServiceError
from pixelproof.params.project import load_params
from pixelproof.params.validation import NAME
from pixelproof.tracking import outbox, records
from pixelproof.tracking.outbox import Spooled
from pixelproof.tracking.records import Record
from pixelproof.tracking.store import WITHOUT, Store, experiment_name, follow_move, plain, server_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run, RunTag

OWNER = "pixelproof.owner"  # host and process that a pipeline run ends with
NOTE = "mlflow.note.content"  # what the page shows as a run's description
SERVED = (  # the modules that `pixelproof.models.pyfunc` imports (a test compares)
    "__init__.py",
    "core/__init__.py",
    "core/counter_random.py",
    "core/pixel_changes.py",
    "data/__init__.py",
    "data/imagenet.py",
    "data/images.py",
    "errors.py",
    "models/__init__.py",
    "models/architectures.py",
    "models/class_names.py",
    "models/classifier.py",
    "models/own_code.py",
    "models/pyfunc.py",
    "params/__init__.py",
    "params/attack.py",
    "params/baselines.py",
    "params/compare.py",
    "params/compute.py",
    "params/evaluate.py",
    "params/finetune.py",
    "params/gate.py",
    "params/generate.py",
    "params/models.py",
    "params/project.py",
    "params/select.py",
    "params/validation.py",
    "system/__init__.py",
    "system/files.py",
)
PACKAGE = Path(__file__).parent.parent
HEAD_END = "\n\n---\n\n"  # ends what `describe` puts at its head
SOURCES = ("src", "params.yaml", "dvc.yaml", "*.dvc")  # what a run is made from


NEVER = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")


class RefusedError(ServiceError):
    """The store is in order, and will never take this record."""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _common_tags() -> dict[str, str]:
    tags = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": _git("rev-parse", "HEAD"),
        "git.changed": "yes" if _git("status", "--porcelain", "--", *SOURCES) else "no",
        "dvc.data": records.data_digest(load_params()),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _alive(owner: str) -> bool:
    """Whether a process `host:pid` may still be at work; of another host nobody knows."""
    host, _, pid = owner.rpartition(":")
    return host != socket.gethostname() or Path(f"/proc/{pid}").exists()


class Tracker:
    """An open store."""

    def __init__(self, store: Store) -> None:
        """Open the store: make its database and the experiment where they are missing.

        Raises:
            ServiceError: It does not answer, or refuses.
        """
        # By default one call to a dead server takes four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):  # tables made, revisions applied, …
            logging.getLogger(noisy).setLevel(logging.ERROR)

        self.store = store
        # Processes that make a fresh database at once crash: one opens it after the other.
        with self._guarded(), outbox.held(store.folder) if store.folder else nullcontext():
            follow_move(store, experiment_name())
            self._client = MlflowClient(store.uri)
            self.experiment = self._find_experiment()
        self._children: dict[str, dict[str, Run]] = {}
        self.ran: list[str] = []

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
            said = re.sub(r"//[^/@\s]+@", "//…@", str(error))  # a password in an address
            reason = said.strip().split("\n")[0][:300]
            raise ServiceError(f"MLflow at {plain(self.store.uri)}: {reason}; {WITHOUT}") from error

    @contextmanager
    def _process_wide(self) -> Iterator[None]:
        """Make the store the process's own one: MLflow looks up `models:/…` in no other."""
        import mlflow

        before = os.environ.get("MLFLOW_TRACKING_URI", "")
        mlflow.set_tracking_uri(self.store.uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)

    def _find_experiment(self) -> str:
        name = experiment_name()
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                raise ServiceError(
                    f"MLflow at {plain(self.store.uri)}: the experiment {name} is deleted; "
                    "restore it, or name another in MLFLOW_EXPERIMENT_NAME"
                )
            return str(found.experiment_id)
        location = (self.store.folder / "artifacts").as_uri() if self.store.folder else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the page's layout
        return str(self._client.create_experiment(name, location, kind))

    def address(self, run: str) -> str:
        """The page of a run: on the server, or on that of `make ui`."""
        local = self.store.folder is not None
        server = "http://127.0.0.1:5000" if local else server_of(self.store.uri)
        page = f"{server}/#/experiments/{self.experiment}/runs/{run}"
        return f"{page}?workflowType=machine_learning"

    def _search(self, tags: Mapping[str, str], **keys: Any) -> list["Run"]:
        words = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self._client.search_runs([self.experiment], words, max_results=1000, **keys)
        return list(found)

    def _find_or_make(self, tags: Mapping[str, str], name: str, started: float) -> "Run":
        """The run with these tags; made where there is none, and once however often it is asked."""
        order = ["attributes.start_time ASC"]
        found = self._search(tags, order_by=order)
        if not found:
            everything = {**tags, **_common_tags()}
            self._client.create_run(self.experiment, round(1000 * started), everything, name)
            # A reply that was lost on its way may have made it twice.
            found = self._search(tags, order_by=order)
            for twin in found[1:]:
                self._client.delete_run(twin.info.run_id)
        return found[0]

    def _pipeline_run(self, pipeline: str, started: float) -> "Run":
        """The run of a pipeline; where it is new, those that were left running are closed."""
        tags = {"pixelproof.pipeline": pipeline, "pixelproof.kind": "pipeline"}
        name = time.strftime("pipeline %Y-%m-%d %H:%M", time.localtime(started))
        run = self._find_or_make(tags, name, started)
        if OWNER not in run.data.tags:  # a stage of a bare `dvc repro` asks, a child of it
            owner = f"{socket.gethostname()}:{os.getppid()}"
            self._client.set_tag(run.info.run_id, OWNER, owner)
        for other in self._search({"pixelproof.kind": "pipeline"}):
            owner = other.data.tags.get(OWNER, "")
            if other.info.status == "RUNNING" and owner and not _alive(owner):
                self._client.set_terminated(other.info.run_id, "KILLED")
        return run

    def begin(self, pipeline: str, source: str) -> str:
        """Find or make the run of a pipeline; returns its id.

        Args:
            pipeline: What tells it from others (see `records.pipeline_key`).
            source: What starts it.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded(), outbox.sending():
            run = self._pipeline_run(pipeline, time.time())
            run_id = str(run.info.run_id)
            if run.info.status != "FINISHED":
                self._client.set_tag(run_id, OWNER, f"{socket.gethostname()}:{os.getpid()}")
                self._client.set_tag(run_id, "mlflow.source.name", source)
                self._client.update_run(run_id, "RUNNING")
        return run_id

    def end(self, run_id: str, status: str, stages: Sequence[str]) -> None:
        """Close the run of a pipeline; one to which nothing was added stays as it is.

        Args:
            run_id: Of the pipeline's run.
            status: FINISHED, FAILED or KILLED.
            stages: All stages, to tell those that ran from those that were cached.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            before = self._client.get_run(run_id)
            if before.info.status == status == "FINISHED" and not self.ran:
                return
            if self.ran:
                cached = [name for name in stages if name not in self.ran]
                self._client.set_tag(run_id, "stages.ran", ", ".join(self.ran))
                self._client.set_tag(run_id, "stages.cached", ", ".join(cached))
            self._client.set_terminated(run_id, status)

    def describe(self, run_id: str, words: str) -> None:
        """Put words at the head of a run's description, in place of earlier ones of this kind.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            note = self._client.get_run(run_id).data.tags.get(NOTE, "")
            rest = note.partition(HEAD_END)[2] if HEAD_END in note else note
            self._client.set_tag(run_id, NOTE, f"{words}{HEAD_END}{rest}"[:5000])

    def create_version(self, name: str, model: str, run: str, tags: Mapping[str, str]) -> None:
        """Register a logged model as a new version of a name, which is made where it is missing.

        Raises:
            ServiceError: The store does not answer, or refuses.
        """
        with self._guarded(), self._process_wide():
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            self._client.create_model_version(
                name, f"models:/{model}", run or None, dict(tags), model_id=model
            )

    def find_pipeline(self, pipeline: str) -> str | None:
        """The id of the run of a pipeline; None where there is none.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            tags = {"pixelproof.pipeline": pipeline, "pixelproof.kind": "pipeline"}
            found = self._search(tags, order_by=["attributes.start_time ASC"])
        return str(found[0].info.run_id) if found else None

    def keep_model(self, record: Record, pipeline: str) -> tuple[str, str]:
        """Log the classifier of a record where it is not; the ids of the model and of its run.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded(), outbox.sending():
            parent = str(self._pipeline_run(pipeline, record.started).info.run_id)
            run_id = str(self._run_of(record, parent).info.run_id)
            return self._log_model(record, run_id), run_id

    def measure(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add a point, now, to the curves of a run.

        Raises:
            ServiceError: The store does not answer.
        """
        from mlflow.entities import Metric

        now = time.time()
        points = [Metric(key, one, round(1000 * now), round(now)) for key, one in metrics.items()]
        with self._guarded():
            self._client.log_batch(run_id, points)

    def find_model(self, name: str, weights: str) -> tuple[str, str] | None:
        """The ids of a logged model and of the run it came from; None where it is not logged.

        Raises:
            ServiceError: The store does not answer.
        """
        words = f"tags.`pixelproof.sha256` = '{weights}' AND name = '{name}'"
        with self._guarded():
            for found in self._client.search_logged_models([self.experiment], words):
                if str(found.status) == "READY":
                    return str(found.model_id), str(found.source_run_id)
        return None

    def download(self, model_id: str, folder: Path) -> None:
        """Bring the files of a logged model into a folder; nothing of them is run.

        Raises:
            ServiceError: The store does not answer, or has no such model.
        """
        from mlflow.artifacts import download_artifacts

        with self._guarded(), self._process_wide():
            download_artifacts(f"models:/{model_id}", dst_path=str(folder))

    def keep(self, run_id: str, path: Path) -> None:
        """Keep a file with a run.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            self._client.log_artifact(run_id, str(path))

    def prune(self, keep: int) -> tuple[list[str], list[str]]:
        """Delete all but the newest pipeline runs; returns the ids of the runs and models gone.

        A logged model stays while a run that stays, or a registered version, needs it. In a
        local store all is gone for good; what a server keeps of it is its own affair.

        Raises:
            ServiceError: The store does not answer, or refuses.
        """
        with self._guarded(), outbox.sending():
            pipelines = self._search(
                {"pixelproof.kind": "pipeline"}, order_by=["attributes.start_time DESC"]
            )
            registered = {one.run_id for one in self._client.search_model_versions()}
            gone: list[str] = []
            for pipeline in pipelines[keep:]:
                parent = str(pipeline.info.run_id)
                children = self._search({"mlflow.parentRunId": parent})
                family = [parent, *(str(run.info.run_id) for run in children)]
                if not registered & set(family):  # a version points to its run
                    gone += family
            for run_id in gone:
                self._client.delete_run(run_id)
            models = self._unused_models()
            for model_id in models:
                self._client.delete_logged_model(model_id)
            if self.store.folder is not None and (gone or models):
                self._collect(gone, models)
        return gone, models

    def ledgers(self, run_id: str, folder: Path) -> tuple[list[str], bool]:
        """Bring the ledgers of a run, and the parameters they were made with, into a folder.

        Args:
            run_id: Of a pipeline's run, or of one model's.
            folder: Gets `params.yaml` and `MODEL.parquet`.

        Returns:
            The models, in their order, and whether the run is one model's.

        Raises:
            DataError: The run has no ledgers.
            ParameterError: There is no such run, or it is another kind of run.
            ServiceError: The store does not answer.
        """
        with self._guarded():
            words = f"attributes.run_id = '{run_id}'"
            found = list(self._client.search_runs([self.experiment], words))
            kind = found[0].data.tags.get("pixelproof.kind") if found else None
            if kind not in ("pipeline", "model"):
                raise ParameterError(
                    f"{run_id}: expected the run of a pipeline or a model, got "
                    f"{f'one of {kind}' if found else 'no run'} in {plain(self.store.uri)}"
                )
            parent = found[0].data.tags.get("mlflow.parentRunId", run_id)
            if kind == "pipeline":
                tags = {"mlflow.parentRunId": run_id, "pixelproof.kind": "model"}
                found = self._search(tags, order_by=["attributes.start_time ASC"])
            models = [(one.info.run_id, one.data.tags.get("pixelproof.run", "")) for one in found]
            for _, name in models:
                if not NAME.fullmatch(name):  # it becomes the name of a file
                    raise DataError(f"{run_id}: expected runs of named models, got {name!r}")
            wanted = [(parent, "params.yaml"), *((one, f"{name}.parquet") for one, name in models)]
            for run, path in wanted:
                if path not in {one.path for one in self._client.list_artifacts(run)}:
                    raise DataError(f"{run_id}: {path} was not kept with the run; run it again")
                self._client.download_artifacts(run, path, str(folder))
        return [name for _, name in models], kind == "model"

    def about(self, run_id: str) -> tuple[dict[str, str], str]:
        """The tags of a run, and the day on which it started.

        Raises:
            ServiceError: The store does not answer.
        """
        with self._guarded():
            run = self._client.get_run(run_id)
        day = datetime.datetime.fromtimestamp(run.info.start_time / 1000).date().isoformat()
        return dict(run.data.tags), day

    def _unused_models(self) -> list[str]:
        runs = self._client.search_runs([self.experiment], max_results=50_000)
        needed = {run.data.tags.get("pixelproof.model") for run in runs}
        versions = self._client.search_model_versions()
        # MLflow's database does not keep the model of a version.
        needed |= {one.model_id or one.tags.get("pixelproof.model") for one in versions}
        models = self._client.search_logged_models([self.experiment])
        ours = (one for one in models if "pixelproof.sha256" in one.tags)
        return [one.model_id for one in ours if one.model_id not in needed]

    def _collect(self, runs: Sequence[str], models: Sequence[str]) -> None:
        """Let MLflow delete runs and models, which so far are only marked, with their files."""
        command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", self.store.uri]
        command += ["--tracking-uri", self.store.uri]
        for option, found in (("--run-ids", runs), ("--logged-model-ids", models)):
            if found:
                command += [option, ",".join(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceError(f"mlflow gc: {done.stderr.strip().splitlines()[-1]}")

    def flush(self) -> int:
        """Send what waits, the oldest first; returns how much it was.

        A record that is damaged, or that the store will never take, is set aside and named.

        Raises:
            ServiceError: The store does not answer; what was not sent waits on.
        """
        sent = 0
        with outbox.sending():
            for path in outbox.waiting():
                try:
                    one = outbox.read(path)
                    with self._guarded():
                        self._deliver(one)
                except (IntegrityError, RefusedError) as error:
                    outbox.set_aside(path, str(error))
                    continue
                path.unlink()
                sent += 1
                if one.stage and one.stage not in self.ran:
                    self.ran.append(one.stage)
        return sent

    def _deliver(self, one: Spooled) -> None:
        """Send a record; tells one that is refused from a store that is not in order."""
        from mlflow.exceptions import MlflowException

        try:
            self._send(one)
        except MlflowException as error:
            if error.error_code not in NEVER:
                raise
            found = self._client.get_experiment(self.experiment)  # raises where nothing answers
            if found is None or found.lifecycle_stage != "active":
                raise
            raise RefusedError(str(error).partition("\n")[0]) from None

    def _check_parent(self, parent: str) -> "Run":
        """The run above a record's; the store would take the children of none, too."""
        found = self._client.get_run(parent)
        if found.info.lifecycle_stage != "active":
            raise RefusedError(f"its run {parent} is deleted")
        return found

    def _parent(self, one: Spooled) -> str:
        return one.parent or str(self._pipeline_run(one.pipeline, one.record.started).info.run_id)

    def _run_of(self, record: Record, parent: str) -> "Run":
        if record.kind == "pipeline":
            return self._check_parent(parent)
        children = self._children.setdefault(parent, {})
        if not children:
            self._check_parent(parent)
            for run in self._search({"mlflow.parentRunId": parent}):
                children[run.data.tags.get("pixelproof.run", "")] = run
        if record.run not in children:
            tags = {
                "mlflow.parentRunId": parent,
                "pixelproof.kind": record.kind,
                "pixelproof.run": record.run,
            }
            children[record.run] = self._find_or_make(tags, record.run, record.started)
        return children[record.run]

    def _send(self, one: Spooled) -> None:
        record, parent = one.record, self._parent(one)
        run = self._run_of(record, parent)
        run_id, told = run.info.run_id, f"pixelproof.told.{record.part}"
        before, intact = run.data.tags.get(told), one.intact
        # DVC moves what a stage has made into its cache, so that a file may be away for a moment.
        digest = one.digest if intact else f"{one.digest} without files"
        if before in (one.digest, digest):
            return
        model = self._log_model(record, run_id) if record.model and intact else None
        model = model or run.data.tags.get("pixelproof.model")
        if before != f"{one.digest} without files":
            self._log_datasets(record, run_id)
            self._log_figures(record, run, model)
        if record.kind == "pipeline":
            self._link_comparison(run_id, record)
        for path in record.artifacts if intact else ():
            self._client.log_artifact(run_id, path)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run_id, "FINISHED", round(1000 * record.ended))
        tags = {told: digest} | ({"pixelproof.model": model} if model else {})
        self._client.log_batch(run_id, tags=self._tags(tags))  # last: else it is sent again
        if record.kind != "pipeline":
            self._children[parent][record.run] = self._client.get_run(run_id)

    def _link_comparison(self, run_id: str, record: Record) -> None:
        """Put a way to the page that compares the models into the description."""
        children = self._search({"mlflow.parentRunId": run_id, "pixelproof.kind": "model"})
        runs = quote(json.dumps([run.info.run_id for run in children]))
        experiments = quote(json.dumps([self.experiment]))
        link = f"[Compare the models](#/compare-runs?runs={runs}&experiments={experiments})"
        note = record.tags.get(NOTE, "")
        self._client.set_tag(run_id, NOTE, f"{note}\n\n{link}")

    def _tags(self, tags: Mapping[str, str]) -> list["RunTag"]:
        from mlflow.entities import RunTag

        return [RunTag(key, value) for key, value in tags.items()]

    def _log_figures(self, record: Record, run: "Run", model: str | None) -> None:
        """Log parameters, metrics and tags in one call; figures of evaluation go to the model."""
        from mlflow.entities import Metric, Param

        data = record.datasets[0] if record.datasets else None
        about = {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
        evaluated = model and record.part != "curve"
        to_model = {"model_id": model, "run_id": run.info.run_id, **about} if evaluated else {}
        now = round(1000 * time.time())
        metrics = [Metric(key, value, now, step, **to_model) for key, value, step in record.metrics]
        params = [
            Param(key, str("" if value is None else value)[:6000])
            for key, value in record.params.items()
            if key not in run.data.params  # what a run was made with never changes
        ]
        for start in range(1000, len(metrics), 1000):  # as much as one call takes
            self._client.log_batch(run.info.run_id, metrics[start : start + 1000])
        tags = self._tags(record.tags)
        self._client.log_batch(run.info.run_id, metrics[:1000], params, tags)

    def _log_datasets(self, record: Record, run_id: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    one.name,
                    one.digest,
                    source_type="dvc",
                    source=json.dumps({"uri": one.source}),
                    profile=json.dumps(one.profile),
                ),
                [InputTag("mlflow.data.context", one.context)],
            )
            for one in record.datasets
        ]
        if inputs:
            self._client.log_inputs(run_id, inputs)

    def _log_model(self, record: Record, run_id: str) -> str:
        """The id of the logged model with these weights: kept once, whichever run it came from."""
        from mlflow.entities import LoggedModelOutput

        folder = Path(str(record.model))
        about = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        weights = about["sha256"]
        if known := self.find_model(record.run, weights):
            outputs = self._client.get_run(run_id).outputs
            held = {one.model_id for one in outputs.model_outputs} if outputs else set()
            if known[0] not in held:  # MLflow refuses to be told twice
                self._client.log_outputs(run_id, [LoggedModelOutput(known[0], 0)])
            return known[0]
        params = {key: str(value) for key, value in record.params.items()}
        model = self._client.create_logged_model(
            self.experiment,
            record.run,
            source_run_id=run_id,
            tags={"pixelproof.sha256": weights},
            params=params,
            model_type="classifier",
        )
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "model"
            _save_model(path, folder, about["architecture"], model.model_id, run_id)
            self._client.log_model_artifacts(model.model_id, str(path))
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        return str(model.model_id)


def _save_model(path: Path, folder: Path, architecture: str, model_id: str, run_id: str) -> None:
    """Write a model as MLflow loads it: the weights, what serves them, and no pickle."""
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    code = [str(_copy_served(path.with_name("served") / "pixelproof"))]
    requirements = ["mlflow", "numpy", "pandas", "pillow", "ruamel.yaml", "safetensors"]
    requirements += ["simplejpeg", "torch", "torchvision"]
    if architecture.startswith("efficientnet_lite"):
        requirements.append("efficientnet-lite-pytorch")
    if architecture.startswith("python:"):
        top = Path(architecture.removeprefix("python:").partition(":")[0].partition(".")[0])
        code += [str(one) for one in (top, top.with_suffix(".py")) if one.exists()]
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1))]),
        outputs=Schema([ColSpec("string", "prediction"), ColSpec("double", "probability")]),
    )
    mlflow.pyfunc.save_model(
        path,
        loader_module="pixelproof.models.pyfunc",
        data_path=str(folder),
        code_paths=code,
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        signature=signature,
        input_example=np.zeros((1, 8, 8, 3), np.uint8),
        pip_requirements=[_pinned(name) for name in requirements],
    )


def _copy_served(target: Path) -> Path:
    """Copy the part of this package that a served model needs, which trains nothing."""
    for name in SERVED:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, copy)
    return target


def _pinned(name: str) -> str:
    from importlib.metadata import version

    return f"{name}=={version(name).partition('+')[0]}"
