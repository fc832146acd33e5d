"""Registers a model of the workspace as a version, with its origin and its Pi."""

import dataclasses
import os
import time
from collections.abc import Mapping
from pathlib import Path

from pixelproof.params.project import Params
from pixelproof.paths import IMAGES, MODELS
from pixelproof.promotion.actor import FLOW_RUN
from pixelproof.promotion.fresh_draws import reference, weights_of
from pixelproof.promotion.registry import Registry
from pixelproof.promotion.version import Version
from pixelproof.system import files, git
from pixelproof.tracking import records, stage_records
from pixelproof.tracking.sending import Sender

PI_TAGS = ("pi", "pi_low", "pi_high", "pi.reference")  # what `monitor` compares with
HELD_OUT = "pi.held_out"  # how many held-out images there were then


def register(params: Params, registry: Registry, name: str, pi: Mapping[str, float]) -> Version:
    """Register a model of the workspace.

    Args:
        params: Of the pipeline that made it.
        registry: Of the model.
        name: Of the baseline or arm.
        pi: Its Pi, measured alone: `value`, `low` and `high`.

    Raises:
        ServiceError: MLflow does not answer.
    """
    record = dataclasses.replace(stage_records.training(params, name), started=time.time())
    pipeline = records.pipeline_key(params)
    model, run = Sender(registry.tracker).keep_model(record, pipeline)
    tags = _origin_tags(params, name, registry.tracker.find_pipeline(pipeline) or "")
    version = registry.register(weights_of(MODELS / name), model, run, tags)
    values = (*(f"{pi[key]:.6g}" for key in ("value", "low", "high")), reference(params))
    held_out = files.read_json(IMAGES / "manifest.json")["splits"]["held_out"]["images"]
    registry.note(version, {**dict(zip(PI_TAGS, values, strict=True)), HELD_OUT: str(held_out)})
    return version


def _origin_tags(params: Params, name: str, pipeline: str) -> dict[str, str]:
    """Where a version comes from."""
    tags = {
        "model": name,
        "git.commit": git.head(),
        "git.changed": "yes" if git.sources_changed() else "no",
        "dvc.data": records.data_digest(params),
        "dvc.lock": files.sha256(Path("dvc.lock")) if Path("dvc.lock").is_file() else "",
        "params": files.sha256(Path("params.yaml")),
        "mlflow.pipeline_run": pipeline,
        "prefect.flow_run": os.environ.get(FLOW_RUN, ""),
    }
    return {key: value for key, value in tags.items() if value}
