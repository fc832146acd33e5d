"""Deletes old pipeline runs and the logged models that nothing needs any more."""

import subprocess
import sys
from collections.abc import Sequence

from pixelproof.errors import ServiceError
from pixelproof.tracking import outbox
from pixelproof.tracking.client import NEWEST_FIRST, Tracker


def prune_runs(tracker: Tracker, keep: int) -> tuple[list[str], list[str]]:
    """Delete all but the newest pipeline runs.

    A logged model stays while a run that stays, or a registered version, needs it. In a local
    store everything is deleted for good; a server decides itself what it keeps.

    Args:
        tracker: Of the store.
        keep: How many pipeline runs stay.

    Returns:
        The ids of the deleted runs and of the deleted models.

    Raises:
        ServiceError: The store does not answer, or refuses.
    """
    with tracker.service() as client, outbox.sending():
        pipelines = tracker.search({"pixelproof.kind": "pipeline"}, NEWEST_FIRST)
        registered = {version.run_id for version in client.search_model_versions()}
        runs: list[str] = []
        for pipeline in pipelines[keep:]:
            parent = str(pipeline.info.run_id)
            children = tracker.search({"mlflow.parentRunId": parent})
            family = [parent, *(str(run.info.run_id) for run in children)]
            if not registered & set(family):  # a version points to its run
                runs += family
        for run_id in runs:
            client.delete_run(run_id)
        models = _unused_models(tracker)
        for model_id in models:
            client.delete_logged_model(model_id)
        if tracker.store.folder is not None and (runs or models):
            _collect(tracker.store.uri, runs, models)
    return runs, models


def _unused_models(tracker: Tracker) -> list[str]:
    with tracker.service() as client:
        runs = client.search_runs([tracker.experiment], max_results=50_000)
        versions = client.search_model_versions()
        models = client.search_logged_models([tracker.experiment])
    needed = {run.data.tags.get("pixelproof.model") for run in runs}
    # MLflow's database does not keep the model of a version.
    needed |= {version.model_id or version.tags.get("pixelproof.model") for version in versions}
    ours = (model for model in models if "pixelproof.sha256" in model.tags)
    return [model.model_id for model in ours if model.model_id not in needed]


def _collect(uri: str, runs: Sequence[str], models: Sequence[str]) -> None:
    """Let MLflow delete runs and models that so far are only marked, with their files."""
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri]
    command += ["--tracking-uri", uri]
    for option, ids in (("--run-ids", runs), ("--logged-model-ids", models)):
        if ids:
            command += [option, ",".join(ids)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        raise ServiceError(f"mlflow gc: {completed.stderr.strip().splitlines()[-1]}")
