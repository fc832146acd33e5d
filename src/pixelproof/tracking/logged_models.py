"""Logged models: a classifier in MLflow's store, with the code that serves it and no pickle."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pixelproof.tracking.client import Tracker
from pixelproof.tracking.records import Record

SERVED = (  # the modules that `pixelproof.models.pyfunc` imports (a test compares)
    "__init__.py",
    "data/__init__.py",
    "data/imagenet.py",
    "data/reading.py",
    "errors.py",
    "models/__init__.py",
    "models/architectures.py",
    "models/class_names.py",
    "models/classifier.py",
    "models/metadata.py",
    "models/network.py",
    "models/pyfunc.py",
    "models/storage.py",
    "params/__init__.py",
    "params/validation.py",
    "system/__init__.py",
    "system/files.py",
    "system/own_modules.py",
)
PACKAGE = Path(__file__).parent.parent
REQUIREMENTS = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "safetensors",
    "simplejpeg",
    "torch",
    "torchvision",
)


def find_model(tracker: Tracker, name: str, weights: str) -> tuple[str, str] | None:
    """The ids of a logged model and of the run it came from; None where it is not logged.

    Args:
        tracker: Of the store.
        name: Of the baseline or arm.
        weights: The SHA-256 of its weights.

    Raises:
        ServiceError: The store does not answer.
    """
    query = f"tags.`pixelproof.sha256` = '{weights}' AND name = '{name}'"
    with tracker.service() as client:
        for model in client.search_logged_models([tracker.experiment], query):
            if str(model.status) == "READY":
                return str(model.model_id), str(model.source_run_id)
    return None


def log_model(tracker: Tracker, record: Record, run_id: str) -> str:
    """Log the classifier of a record under a run.

    Equal weights are kept once, whichever run they came from.

    Returns:
        The id of the logged model.

    Raises:
        ServiceError: The store does not answer.
    """
    from mlflow.entities import LoggedModelOutput

    folder = Path(str(record.model))
    about = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
    weights = about["sha256"]
    with tracker.service() as client:
        if known := find_model(tracker, record.run, weights):
            outputs = client.get_run(run_id).outputs
            linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
            if known[0] not in linked:  # MLflow refuses a second link
                client.log_outputs(run_id, [LoggedModelOutput(known[0], 0)])
            return known[0]
        model = client.create_logged_model(
            tracker.experiment,
            record.run,
            source_run_id=run_id,
            tags={"pixelproof.sha256": weights},
            params={key: str(value) for key, value in record.params.items()},
            model_type="classifier",
        )
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "model"
            _save_model(path, folder, about["architecture"], model.model_id, run_id)
            client.log_model_artifacts(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return str(model.model_id)


def download_model(tracker: Tracker, model_id: str, folder: Path) -> None:
    """Download the files of a logged model into a folder; none of its code is run.

    Raises:
        ServiceError: The store does not answer, or has no such model.
    """
    from mlflow.artifacts import download_artifacts

    with tracker.service(), tracker.process_wide():
        download_artifacts(f"models:/{model_id}", dst_path=str(folder))


def create_version(
    tracker: Tracker, name: str, model: str, run: str, tags: Mapping[str, str]
) -> None:
    """Register a logged model as a new version of a name, which is made where it is missing.

    Args:
        tracker: Of the store.
        name: Of the registered model.
        model: The id of the logged model.
        run: The id of the run that made it, or nothing.
        tags: Of the version.

    Raises:
        ServiceError: The store does not answer, or refuses.
    """
    with tracker.service() as client, tracker.process_wide():
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        client.create_model_version(
            name, f"models:/{model}", run or None, dict(tags), model_id=model
        )


def _save_model(path: Path, folder: Path, architecture: str, model_id: str, run_id: str) -> None:
    """Write a model folder as MLflow loads it: the weights and the code that serves them."""
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    code = [str(_copy_served(path.with_name("served") / "pixelproof"))]
    requirements = [*REQUIREMENTS]
    if architecture.startswith("efficientnet_lite"):
        requirements.append("efficientnet-lite-pytorch")
    if architecture.startswith("python:"):
        top = Path(architecture.removeprefix("python:").partition(":")[0].partition(".")[0])
        code += [str(source) for source in (top, top.with_suffix(".py")) if source.exists()]
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
    """Copy the part of this package that a served model needs."""
    for name in SERVED:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, copy)
    return target


def _pinned(name: str) -> str:
    return f"{name}=={version(name).partition('+')[0]}"
