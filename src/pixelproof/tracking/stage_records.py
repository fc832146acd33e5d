"""The record of each stage, read from the files that it leaves."""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelproof.data.drawn_changes import draws_name
from pixelproof.params.finetune import Arm
from pixelproof.params.project import Params
from pixelproof.paths import ADVERSARIAL, CHANGES, IMAGES, LEDGER, METRICS, MODELS, PLOTS
from pixelproof.system import files
from pixelproof.tracking.metrics import bounded, clean_metrics, result_metrics
from pixelproof.tracking.records import Dataset, Record, data_digest

if TYPE_CHECKING:
    import pandas as pd


def _images(params: Params, context: str) -> list[Dataset]:
    manifest = files.read_json(IMAGES / "manifest.json")
    split = {"training": "train", "evaluation": "held_out"}[context]
    part = manifest["splits"][split]
    profile = {"images": part["images"], "by_class": part["by_class"], "split": split}
    digest = data_digest(params) or part["sha256"][:36]
    return [Dataset(f"data-{split}", digest, f"{params.select.data}.dvc", context, profile)]


def _draws(folder: Path, name: str, context: str) -> list[Dataset]:
    entry = files.read_json(folder / "manifest.json")["draws"][name]
    profile = {key: entry[key] for key in ("values", "area", "n", "draws")}
    digest = entry["sha256"][:36]
    return [Dataset(f"changes-{name}", digest, str(folder / f"{name}.npy"), context, profile)]


def select(params: Params) -> Record:
    """The images that were read, and what was left out."""
    manifest = files.read_json(IMAGES / "manifest.json")
    metrics = [
        (f"images_{split}", float(part["images"]), 0) for split, part in manifest["splits"].items()
    ]
    left_out = ("quarantined", "duplicates", "warnings")
    metrics += [(key, float(len(manifest[key])), 0) for key in left_out]
    section = dataclasses.asdict(params.select)
    group = section.pop("group")
    shown = {**section, "group": json.dumps(group) if group else None}
    datasets = [*_images(params, "training"), *_images(params, "evaluation")]
    return Record("select", "data", "select", shown, metrics, datasets=datasets)


def generate(params: Params) -> Record:
    """The small-distance samples that were drawn."""
    metrics = []
    for part in ("train", "test"):
        for name, entry in files.read_json(CHANGES / part / "manifest.json")["draws"].items():
            share = float(entry["share_of_pixels_left_equal"])
            metrics.append((f"pixels_left_equal/{part}/{name}", share, 0))
            metrics.append((f"n/{part}/{name}", float(entry["n"]), 0))
    shown = dataclasses.asdict(params.generate)
    return Record(
        "generate", "data", "generate", shown, metrics, datasets=_images(params, "training")
    )


def attack(params: Params, name: str) -> Record:
    """The adversarial examples that fool an original."""
    manifest = files.read_json(ADVERSARIAL / name / "manifest.json")
    metrics = [(key, float(manifest[key]), 0) for key in ("attacked", "fooled", "success_rate")]
    shown = {"model": name, "attack": manifest["attack"], "epsilon": manifest["epsilon"]}
    datasets = _images(params, "evaluation")
    return Record(f"attack-{name}", "data", "attack", shown, metrics, datasets=datasets)


def model_params(params: Params, name: str) -> dict[str, Any]:
    """How a model was made, by the same names for originals and arms, so that runs compare."""
    baseline = params.baselines[params.origin(name)]
    arm = params.finetune.arms.get(name, Arm(params.origin(name)))
    recipe = baseline if name in params.baselines else params.finetune
    keys = ("epochs", "learning_rate", "batch_size", "seed")
    return {
        "arm": name if name in params.finetune.arms else "original",
        "n": arm.n,
        "values": arm.values if arm.n else "none",
        "area": arm.area or params.select.side,
        "mix": arm.mix,
        "train": arm.train,
        "augment": arm.augment,
        "fresh": params.finetune.fresh,
        "positions": params.generate.positions,
        **{key: getattr(recipe, key) for key in keys},
        **({} if arm.seed is None else {"seed": arm.seed}),
        "baseline": params.origin(name),
        "classifier": baseline.classifier,
        "weights": baseline.weights,
        "side": params.select.side,
    }


def training(params: Params, name: str) -> Record:
    """A model: how it was trained, and the classifier itself."""
    about = files.read_json(MODELS / name / "classifier.json")
    trained = about["source"].get("trained", {})
    tags = {f"trained.{key}": str(value) for key, value in trained.items()}
    datasets = _images(params, "training")
    if name not in params.baselines and params.finetune.arms[name].n:
        datasets += _draws(CHANGES / "train", name, "training")
    return Record(
        name,
        "model",
        "training",
        model_params(params, name),
        tags=tags,
        datasets=datasets,
        model=str(MODELS / name),
    )


def curve(name: str) -> Record:
    """The training curve; recorded after the accuracy, since MLflow shows first what came first."""
    with (PLOTS / "curves" / f"{name}.csv").open(encoding="utf-8") as file:
        metrics = [
            (f"train/{key}", float(row[key]), int(row["epoch"]))
            for row in csv.DictReader(file)
            for key in ("loss", "accuracy", "learning_rate")
        ]
    return Record(name, "model", "curve", metrics=metrics)


def evaluation(params: Params, name: str) -> Record:
    """The accuracy on the unchanged held-out images, with the ledger, to compare with later."""
    from pixelproof.evaluation.ledger import read_ledger
    from pixelproof.reporting.results import clean_figures
    from pixelproof.reporting.rows import of_split

    path = LEDGER / f"{name}.parquet"
    ledger = read_ledger(path)
    figures = clean_figures(of_split(ledger, "held_out"))
    tags = {f"evaluated.{key}": str(value) for key, value in ledger.attrs.items()}
    datasets = _images(params, "evaluation")
    for draws in dict.fromkeys(draws_name(grid.values, grid.area) for grid in params.grids):
        datasets += _draws(CHANGES / "test", draws, "evaluation")
    return Record(
        name,
        "model",
        "evaluation",
        metrics=clean_metrics(figures),
        tags=tags,
        datasets=datasets,
        artifacts=[str(path)],
    )


def comparison(params: Params) -> Iterator[Record]:
    """What `compare` found: of each model, and of the pipeline as a whole."""
    from pixelproof.reporting.text import read_results

    summary, table = read_results(METRICS)
    for name, entry in summary["models"].items():
        metrics = [*clean_metrics(entry), *bounded("pi", entry["pi"])]
        metrics += bounded("error_rate", entry["error_rate"])
        for other in ("versus_control", "versus_baseline"):
            if other in entry:
                metrics += bounded(other, entry[other], "difference")
                metrics.append((f"{other}_p_value", float(entry[other]["p_value"]), 0))
        metrics += result_metrics(table[table["model"] == name])
        yield Record(
            name, "model", "comparison", metrics=metrics, datasets=_images(params, "evaluation")
        )
    yield _pipeline(params, summary, table)


def _pipeline(params: Params, summary: Mapping[str, Any], table: "pd.DataFrame") -> Record:
    from pixelproof.reporting.text import result_markdown
    from pixelproof.reporting.verdict import verdict

    point = summary["reference"]
    shown = {
        "models": ", ".join(params.models),
        "side": params.select.side,
        "reference": f"{point['n']} {point['values']}",
        "control": summary["control"],
        "draws": params.evaluate.draws,
        "positions": params.generate.positions,
        "unknown_seen": ", ".join(summary.get("unknown_seen", [])),
    }
    counts = ("common_images", "held_out_images", "left_out_as_seen")
    metrics = [(key, float(summary[key]), 0) for key in counts]
    said = verdict(summary)
    tags = {
        "verdict": said,
        "mlflow.note.content": f"{said}\n\n{result_markdown(summary, table)}",
    }
    names = (
        "metrics/results.csv",
        "metrics/summary.json",
        "metrics/boundary.csv",
        "metrics/attacks.csv",
        "plots/error_rates.svg",
        "params.yaml",
        "reports/index.html",
        "reports/summary.md",
    )
    kept = [name for name in names if Path(name).is_file()]
    return Record("", "pipeline", "comparison", shown, metrics, tags, artifacts=kept)


def of_stage(params: Params, stage: str, item: str | None) -> list[Record]:
    """The records of a stage that has just ended."""
    if stage == "compare":  # the last stage: records those that did not run again, too
        return of_everything(params)
    if stage == "evaluate":
        return [evaluation(params, str(item)), curve(str(item))]
    made: dict[str, Callable[[], Record]] = {
        "select": lambda: select(params),
        "generate": lambda: generate(params),
        "baseline": lambda: training(params, str(item)),
        "finetune": lambda: training(params, str(item)),
        "attack": lambda: attack(params, str(item)),
    }
    return [made[stage]()] if stage in made else []


def of_everything(params: Params) -> list[Record]:
    """All records of a finished pipeline, whichever stages ran this time."""
    return [
        select(params),
        generate(params),
        *(attack(params, name) for name in params.baselines),
        *(training(params, name) for name in params.models),
        *(evaluation(params, name) for name in params.models),
        *(curve(name) for name in params.models),
        *comparison(params),
    ]
