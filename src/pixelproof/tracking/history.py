"""Looking back: two runs in MLflow, or two git revisions, against each other."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pixelproof.errors import DataError, ParameterError
from pixelproof.evaluation.ledger import read_ledger
from pixelproof.params.validation import NAME
from pixelproof.paths import LEDGER
from pixelproof.reporting.before_after import Against, Side, compare_sides
from pixelproof.reporting.provenance import Origin, data_folder, revision_origin, run_origin
from pixelproof.reporting.text import align
from pixelproof.reporting.wording import in_points, p_value
from pixelproof.tracking.client import OLDEST_FIRST, Tracker
from pixelproof.tracking.store import check_store, plain

RUN_ID = re.compile(r"[0-9a-f]{32}")  # of MLflow; a git commit has 40


def compare_results(first: str, second: str) -> str:
    """What changed from one result to another, as a table.

    Args:
        first: A git revision, or the id of an MLflow run: of a pipeline, or of one model.
        second: Another; the two may be of different kinds.

    Raises:
        DataError: The ledgers of one of them cannot be had.
        ParameterError: There is no such revision or run, or nothing to compare.
        ServiceError: MLflow does not answer.
    """
    with tempfile.TemporaryDirectory() as temporary:
        side_a, side_b = (
            _from_run(name, Path(temporary, str(at)))
            if RUN_ID.fullmatch(name)
            else _from_revision(name, Path(temporary, str(at)))
            for at, name in enumerate((first, second))
        )
        return _text(side_a, side_b, compare_sides(side_a, side_b))


def _text(first: Side, second: Side, comparisons: list[Against]) -> str:
    head = ["model", "experiment", "A %", "B %", "B − A, points", "p", "images × draws", "", "why"]
    rows = [head]
    for compared in comparisons:
        gap = compared.difference
        sizes = [f"{i} × {d}" for i, d in zip(compared.images, compared.draws, strict=True)]
        rows.append(
            [
                compared.model,
                compared.setting,
                *(f"{100 * rate:.2f}" for rate in compared.rates),
                in_points(gap.value, gap.low, gap.high, 2),
                p_value(gap.p_value),
                " | ".join(dict.fromkeys(sizes)),
                "paired" if compared.paired else "unpaired",
                compared.why,
            ]
        )
    lines = [f"A = {first.name}, B = {second.name}: error rates, B minus A; below 0: B errs less."]
    for letter, side in (("A", first), ("B", second)):
        lines += [f"{letter}: {words}" for words in side.origin]
    if first.reference != second.reference:
        points = [f"{n} {experiment}" for experiment, n in (first.reference, second.reference)]
        lines.append(f"Reference points differ ({points[0]}, {points[1]}): compared at A's.")
    alone = {
        side.name: [name for name in side.ledgers if name not in other.ledgers]
        for side, other in ((first, second), (second, first))
    }
    if not (first.one_model and second.one_model):
        lines += [
            f"In {name} alone: {', '.join(models)}." for name, models in alone.items() if models
        ]
    lines += ["", align(rows), ""]
    lines.append("Images that the models compared get right unchanged; `clean` counts all held-out")
    lines.append("ones. 95 % intervals by image, or by part where images are grouped; p-values are")
    lines.append("not adjusted for their number.")
    return "\n".join(lines)


def _read_params(path: Path, name: str) -> Mapping[str, Any]:
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"{name}: expected a params.yaml: {problem}") from None
    if not isinstance(content, dict):
        raise DataError(f"{name}: expected keys and values in params.yaml, got {content!r}")
    return content


def _from_run(run_id: str, folder: Path) -> Side:
    """The ledgers that MLflow keeps with the models' runs."""
    store = check_store()
    folder.mkdir()
    tracker = Tracker(store)
    models, one_model = _download_ledgers(tracker, run_id, folder)
    ledgers = {name: read_ledger(folder / f"{name}.parquet") for name in models}
    params = _read_params(folder / "params.yaml", run_id)
    origin = run_origin(*tracker.about(run_id), data_folder(params))
    return Side(run_id, ledgers, params, one_model, _origin_lines(origin))


def _download_ledgers(tracker: Tracker, run_id: str, folder: Path) -> tuple[list[str], bool]:
    """Download the ledgers of a run, and the parameters they were made with, into a folder.

    Args:
        tracker: Of the store.
        run_id: Of a pipeline's run, or of one model's.
        folder: Gets `params.yaml` and `MODEL.parquet`.

    Returns:
        The models, in their order, and whether the run is one model's.

    Raises:
        DataError: The run has no ledgers.
        ParameterError: There is no such run, or it is another kind of run.
        ServiceError: The store does not answer.
    """
    with tracker.service() as client:
        runs = list(client.search_runs([tracker.experiment], f"attributes.run_id = '{run_id}'"))
        kind = runs[0].data.tags.get("pixelproof.kind") if runs else None
        if kind not in ("pipeline", "model"):
            raise ParameterError(
                f"{run_id}: expected the run of a pipeline or a model, got "
                f"{f'one of {kind}' if runs else 'no run'} in {plain(tracker.store.uri)}"
            )
        parent = runs[0].data.tags.get("mlflow.parentRunId", run_id)
        if kind == "pipeline":
            tags = {"mlflow.parentRunId": run_id, "pixelproof.kind": "model"}
            runs = tracker.search(tags, OLDEST_FIRST)
        models = {run.data.tags.get("pixelproof.run", ""): run.info.run_id for run in runs}
        for name in models:
            if not NAME.fullmatch(name):  # it becomes the name of a file
                raise DataError(f"{run_id}: expected runs of named models, got {name!r}")
        wanted = [(parent, "params.yaml")]
        wanted += [(model_run, f"{name}.parquet") for name, model_run in models.items()]
        for holder, path in wanted:
            if path not in {file.path for file in client.list_artifacts(holder)}:
                raise DataError(f"{run_id}: {path} was not kept with the run; run it again")
            client.download_artifacts(holder, path, str(folder))
    return list(models), kind == "model"


def _from_revision(revision: str, folder: Path) -> Side:
    """The ledgers that DVC keeps of a git revision, from its cache or a remote."""
    folder.mkdir()
    params = folder / "params.yaml"
    params.write_bytes(_stored(revision, Path("params.yaml")))
    content = _read_params(params, revision)
    models = content.get("models")
    if not isinstance(models, dict | list) or not models:  # a list in earlier revisions
        raise DataError(f"{revision}: expected models in its params.yaml, got {models!r}")
    ledgers = {}
    for model in models:
        if not NAME.fullmatch(str(model)):  # it becomes the name of a file
            raise DataError(f"{revision}: expected names of models in params.yaml, got {model!r}")
        path = folder / f"{model}.parquet"
        path.write_bytes(_stored(revision, LEDGER / f"{model}.parquet"))
        ledgers[str(model)] = read_ledger(path)
    origin = revision_origin(revision, content)
    return Side(revision, ledgers, content, origin=_origin_lines(origin))


def _origin_lines(origin: Origin) -> tuple[str, ...]:
    return (f"{origin.data}; {origin.made}", *origin.differs)


def _stored(revision: str, path: Path) -> bytes:
    """A file of a revision, from git or from DVC."""
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        content: bytes = dvc.api.read(str(path), rev=revision, mode="rb")
    except SCMError:
        raise ParameterError(
            f"{revision}: expected a git revision, or the id of an MLflow run (32 hexadecimal "
            "digits)"
        ) from None
    except (DvcException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} of {revision}: neither in DVC's cache nor in a remote ({reason}); `dvc fetch "
            f"--all-commits`, or check {revision} out, `dvc repro` and compare again"
        ) from None
    return content
