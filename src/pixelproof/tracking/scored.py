"""MLflow's models as targets of `pixelproof score`, and its answers as runs."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pixelproof.errors import DataError, IntegrityError, ParameterError, ServiceError
from pixelproof.models.metadata import METADATA
from pixelproof.scoring.functions import callable_target
from pixelproof.scoring.result import Score
from pixelproof.scoring.target import Target, TargetOptions
from pixelproof.tracking.client import SETTINGS
from pixelproof.tracking.store import check_store, experiment_name, plain

OURS = "pixelproof.models.pyfunc"  # the module that loads a classifier of ours


def _connect() -> str:
    """Set MLflow to the store in use, and return its address.

    Raises:
        ParameterError: There is none.
        ServiceError: It does not answer.
    """
    for variable, value in SETTINGS.items():
        os.environ.setdefault(variable, value)
    import mlflow

    try:
        store = check_store()
    except ParameterError as error:
        raise ParameterError(f"{error}, or set MLFLOW_TRACKING_URI") from None
    mlflow.set_tracking_uri(store.uri)
    return store.uri


def model_target(uri: str, options: TargetOptions) -> Target:
    """A model of MLflow, `models:/NAME@ALIAS` or `runs:/ID/PATH`.

    A classifier of ours is read without running code that was logged; any other is MLflow's
    pyfunc, which runs what was logged with it.

    Raises:
        IntegrityError: It is another's model, and not trusted.
        ServiceError: The store has no such model.
    """
    folder = tempfile.TemporaryDirectory(prefix="pixelproof-")
    try:
        target = _loaded(uri, Path(folder.name), options)
    except BaseException:
        folder.cleanup()
        raise
    # Another's code may read its files later.
    return replace(target, close=lambda used: folder.cleanup())


def _loaded(uri: str, folder: Path, options: TargetOptions) -> Target:
    """A model whose files are brought into a folder."""
    store = _connect()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        path = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        flavors = Model.load(str(path)).flavors
    except (MlflowException, OSError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise ServiceError(f"{uri}: MLflow at {plain(store)}: {reason}") from None
    if flavors.get("python_function", {}).get("loader_module") == OURS:
        from pixelproof.models.loading import load_classifier
        from pixelproof.scoring.networks import own_target

        found = sorted(path.rglob(METADATA))
        if len(found) != 1:
            raise DataError(f"{uri}: expected one {METADATA} in its files, got {len(found)}")
        classifier = load_classifier(found[0].parent, trust_code=options.trust)
        return own_target(classifier, uri, options)
    if not options.trust:
        raise IntegrityError(
            f"{uri}: MLflow runs the code that was logged with a model; say --trust where you "
            "know whose it is"
        )
    return _pyfunc(path, uri, options)


def _pyfunc(path: Path, uri: str, options: TargetOptions) -> Target:
    """Any model of MLflow that takes one tensor of images, as its signature says."""
    import mlflow.pyfunc

    try:
        model = mlflow.pyfunc.load_model(str(path))
    except Exception as error:  # whatever the code that was logged raises
        reason = str(error).strip().split("\n")[0][:300]
        raise DataError(f"{uri}: MLflow cannot load it: {reason}") from None
    schema = model.metadata.get_input_schema()
    if schema is None or not schema.is_tensor_spec() or len(schema.inputs) != 1:
        return callable_target(model.predict, uri, options)
    (spec,) = schema.inputs
    if spec.type != np.uint8:
        raise ParameterError(
            f"{uri}: expected a model of uint8 images, got one of {spec.type}; wrap it in a "
            "function, package.module:function, that owns its normalisation"
        )
    asked = options.preprocessing
    layout = asked.layout or ("nchw" if len(spec.shape) == 4 and spec.shape[1] == 3 else "nhwc")
    fixed = [length for length in spec.shape[2:3] if length > 0]
    if fixed and asked.side not in (None, fixed[0]):
        raise ParameterError(f"{uri}: expected images of side {fixed[0]}, got --side {asked.side}")
    side = fixed[0] if fixed else asked.side
    shape = replace(asked, layout=layout, side=side)
    return callable_target(model.predict, uri, replace(options, preprocessing=shape))


def log_score(score: Score, files: Sequence[Path]) -> str:
    """Log an answer as a run: settings, rates and Pi by n, and the files that were written.

    Returns:
        Where the run is.

    Raises:
        ServiceError: The store does not answer.
    """
    store = _connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    setting = {
        key: getattr(score, key)
        for key in ("model", "images", "preprocessing", "side", "values", "area", "draws", "seed")
    }
    metrics: dict[str, float] = {"queries": score.queries, "seconds": score.seconds}
    if score.clean:
        metrics["clean_error"] = score.clean.error.value
    try:
        experiment = mlflow.set_experiment(experiment_name())
        with mlflow.start_run(experiment_id=experiment.experiment_id, run_name="score") as run:
            mlflow.log_params(setting)
            mlflow.log_metrics(metrics)
            for row in score.rows:
                name = "worst_" if row.worst else ""
                figures = {
                    f"{name}error": row.error.value,
                    f"{name}pi": row.pi.value if row.pi else 0,
                }
                mlflow.log_metrics(figures, step=row.n)
            mlflow.log_dict(score.as_json(), "score.json")
            for file in files:
                mlflow.log_artifact(str(file))
    except (MlflowException, OSError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise ServiceError(f"MLflow at {plain(store)}: {reason}") from None
    return f"run {run.info.run_id} in {plain(store)}"
