"""Sends the records of the outbox to MLflow: runs, metrics, datasets, files and models."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from pixelproof.errors import IntegrityError, ServiceError
from pixelproof.tracking import outbox
from pixelproof.tracking.client import NOTE, Tracker
from pixelproof.tracking.logged_models import log_model
from pixelproof.tracking.outbox import Spooled
from pixelproof.tracking.records import Record

if TYPE_CHECKING:
    from mlflow.entities import Run, RunTag

NEVER = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")
METRICS_A_CALL = 1000  # as many as MLflow takes


class RefusedError(ServiceError):
    """The store works, and will never take this record."""


class Sender:
    """Sends what waits in the outbox.

    Attributes:
        ran: The stages whose records were sent.
    """

    def __init__(self, tracker: Tracker) -> None:
        """Send to an open store."""
        self.tracker = tracker
        self.ran: list[str] = []
        self._children: dict[str, dict[str, Run]] = {}

    def flush(self) -> int:
        """Send what waits, the oldest first; returns the number of records sent.

        A record that is damaged, or that the store will never take, is set aside and named.

        Raises:
            ServiceError: The store does not answer; what was not sent stays in the outbox.
        """
        sent = 0
        with outbox.sending():
            for path in outbox.waiting():
                try:
                    spooled = outbox.read(path)
                    self._deliver(spooled)
                except (IntegrityError, RefusedError) as error:
                    outbox.set_aside(path, str(error))
                    continue
                path.unlink()
                sent += 1
                if spooled.stage and spooled.stage not in self.ran:
                    self.ran.append(spooled.stage)
        return sent

    def keep_model(self, record: Record, pipeline: str) -> tuple[str, str]:
        """Log the classifier of a record unless it is logged; the ids of the model and its run.

        Raises:
            ServiceError: The store does not answer.
        """
        with outbox.sending():
            parent = str(self.tracker.pipeline_run(pipeline, record.started).info.run_id)
            run_id = str(self._run_of(record, parent).info.run_id)
            return log_model(self.tracker, record, run_id), run_id

    def _deliver(self, spooled: Spooled) -> None:
        """Send a record; tells a record that is refused from a store that does not work."""
        from mlflow.exceptions import MlflowException

        try:
            with self.tracker.service():
                self._send(spooled)
        except ServiceError as error:
            cause = error.__cause__
            if not isinstance(cause, MlflowException) or cause.error_code not in NEVER:
                raise
            with self.tracker.service() as client:  # raises where nothing answers
                experiment = client.get_experiment(self.tracker.experiment)
            if experiment is None or experiment.lifecycle_stage != "active":
                raise
            raise RefusedError(str(cause).partition("\n")[0]) from None

    def _send(self, spooled: Spooled) -> None:
        record, parent = spooled.record, self._parent(spooled)
        run = self._run_of(record, parent)
        run_id, sent = run.info.run_id, f"pixelproof.told.{record.part}"
        before, intact = run.data.tags.get(sent), spooled.intact
        # DVC moves what a stage has made into its cache, so that a file may be away for a moment.
        without_files = f"{spooled.digest} without files"
        digest = spooled.digest if intact else without_files
        if before in (spooled.digest, digest):
            return
        model = log_model(self.tracker, record, run_id) if record.model and intact else None
        model = model or run.data.tags.get("pixelproof.model")
        if before != without_files:
            self._log_datasets(record, run_id)
            self._log_figures(record, run, model)
        with self.tracker.service() as client:
            if record.kind == "pipeline":
                self._link_comparison(run_id, record)
            for path in record.artifacts if intact else ():
                client.log_artifact(run_id, path)
            if run.info.status != "FINISHED":
                client.set_terminated(run_id, "FINISHED", round(1000 * record.ended))
            tags = {sent: digest} | ({"pixelproof.model": model} if model else {})
            client.log_batch(run_id, tags=_tags(tags))  # last: else it is sent again
            if record.kind != "pipeline":
                self._children[parent][record.run] = client.get_run(run_id)

    def _parent(self, spooled: Spooled) -> str:
        if spooled.parent:
            return spooled.parent
        run = self.tracker.pipeline_run(spooled.pipeline, spooled.record.started)
        return str(run.info.run_id)

    def _check_parent(self, parent: str) -> "Run":
        """The run above a record's own; the store would take children of a deleted run, too."""
        with self.tracker.service() as client:
            run = client.get_run(parent)
        if run.info.lifecycle_stage != "active":
            raise RefusedError(f"its run {parent} is deleted")
        return run

    def _run_of(self, record: Record, parent: str) -> "Run":
        if record.kind == "pipeline":
            return self._check_parent(parent)
        children = self._children.setdefault(parent, {})
        if not children:
            self._check_parent(parent)
            for run in self.tracker.search({"mlflow.parentRunId": parent}):
                children[run.data.tags.get("pixelproof.run", "")] = run
        if record.run not in children:
            tags = {
                "mlflow.parentRunId": parent,
                "pixelproof.kind": record.kind,
                "pixelproof.run": record.run,
            }
            children[record.run] = self.tracker.find_or_make(tags, record.run, record.started)
        return children[record.run]

    def _link_comparison(self, run_id: str, record: Record) -> None:
        """Add a link to the page that compares the models to the description of the run."""
        children = self.tracker.search({"mlflow.parentRunId": run_id, "pixelproof.kind": "model"})
        runs = quote(json.dumps([run.info.run_id for run in children]))
        experiments = quote(json.dumps([self.tracker.experiment]))
        link = f"[Compare the models](#/compare-runs?runs={runs}&experiments={experiments})"
        note = record.tags.get(NOTE, "")
        with self.tracker.service() as client:
            client.set_tag(run_id, NOTE, f"{note}\n\n{link}")

    def _log_figures(self, record: Record, run: "Run", model: str | None) -> None:
        """Log parameters, metrics and tags; metrics of an evaluation go to the model, too."""
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
            if key not in run.data.params  # MLflow refuses to change a parameter
        ]
        run_id, first = run.info.run_id, metrics[:METRICS_A_CALL]
        with self.tracker.service() as client:
            for start in range(METRICS_A_CALL, len(metrics), METRICS_A_CALL):
                client.log_batch(run_id, metrics[start : start + METRICS_A_CALL])
            client.log_batch(run_id, first, params, _tags(record.tags))

    def _log_datasets(self, record: Record, run_id: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    dataset.name,
                    dataset.digest,
                    source_type="dvc",
                    source=json.dumps({"uri": dataset.source}),
                    profile=json.dumps(dataset.profile),
                ),
                [InputTag("mlflow.data.context", dataset.context)],
            )
            for dataset in record.datasets
        ]
        if inputs:
            with self.tracker.service() as client:
                client.log_inputs(run_id, inputs)


def _tags(tags: Mapping[str, str]) -> list["RunTag"]:
    from mlflow.entities import RunTag

    return [RunTag(key, value) for key, value in tags.items()]
