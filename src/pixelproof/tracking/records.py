"""What there is to say of a run, read from the files that the stages leave; no tracking here.

A record is told by its content: the same files give the same record, so that telling it twice
changes nothing, and a stage that ran long ago is told as well as one that ran now.
"""

import csv
import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelproof.core.pixel_changes import parse_values
from pixelproof.data.drawn_changes import draws_name
from pixelproof.params.finetune import Arm
from pixelproof.params.project import Params
from pixelproof.paths import ADVERSARIAL, CHANGES, IMAGES, LEDGER, METRICS, MODELS, PLOTS
from pixelproof.reporting.experiments import described
from pixelproof.reporting.provenance import data_hash
from pixelproof.system import files

if TYPE_CHECKING:
    import pandas as pd

COMPARED_N = 64  # the paper's largest number of changed pixels, told beside the reference point


@dataclass(frozen=True)
class Dataset:
    """Which images a run saw.

    Attributes:
        name: What it is called.
        digest: Of its bytes; of the user's images the hash that DVC tracks.
        source: Where it lies.
        context: `training` or `evaluation`.
        profile: How many there are of what.
    """

    name: str
    digest: str
    source: str
    context: str
    profile: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A part of what a run has to show.

    Attributes:
        run: The run's name; empty for the pipeline's own.
        kind: `model`, `data` or `pipeline`.
        part: Which part of the run this is.
        params: What a person compares runs by.
        metrics: (name, value, step).
        tags: What else there is to know.
        datasets: The images it saw.
        artifacts: Files to keep with the run.
        model: The folder of the classifier that came out, or None.
        started: Seconds since 1970.
        ended: Seconds since 1970.
    """

    run: str
    kind: str
    part: str
    params: dict[str, Any] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    model: str | None = None
    started: float = 0.0
    ended: float = 0.0

    @property
    def digest(self) -> str:
        """A hash of the content; when it was made is none of it."""
        content = dataclasses.asdict(dataclasses.replace(self, started=0.0, ended=0.0))
        content["artifacts"] = [files.sha256(Path(one)) for one in self.artifacts]
        if self.model:
            content["model"] = files.read_json(Path(self.model) / "classifier.json")
        return files.content_hash(content)


def data_digest(params: Params) -> str:
    """The hash of the images that DVC tracks; empty where it tracks none."""
    return data_hash(params.select.data)


def pipeline_key(params: Params) -> str:
    """What tells one pipeline run from another: parameters, images, stages and their code.

    The git commit is none of it: to commit `dvc.lock` or a line of documentation makes no other
    run, and code that is changed without a commit does.
    """
    content = dataclasses.asdict(params)
    del content["compute"], content["gate"]
    stages = Path("dvc.yaml")
    text = stages.read_text(encoding="utf-8") if stages.is_file() else ""
    sources = sorted(set(re.findall(r"- (src/\S+)$", text, re.MULTILINE)))
    hashes = [files.sha256(Path(one)) for one in sources if Path(one).is_file()]
    return files.content_hash([content, data_digest(params), text, hashes])


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
    """How a model came to be: the same names for originals and arms, so that they compare."""
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
    """How a model was learning; told after its accuracy, since MLflow opens on what came first."""
    with (PLOTS / "curves" / f"{name}.csv").open(encoding="utf-8") as file:
        metrics = [
            (f"train/{key}", float(row[key]), int(row["epoch"]))
            for row in csv.DictReader(file)
            for key in ("loss", "accuracy", "learning_rate")
        ]
    return Record(name, "model", "curve", metrics=metrics)


def evaluation(params: Params, name: str) -> Record:
    """What a model is worth on the unchanged held-out images; the ledger, to look back at."""
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
        metrics=_clean(figures),
        tags=tags,
        datasets=datasets,
        artifacts=[str(path)],
    )


def _bounded(
    name: str, entry: Mapping[str, Any], key: str = "value"
) -> list[tuple[str, float, int]]:
    found = {name: entry[key], f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
    return [(one, float(value), 0) for one, value in found.items()]


def _clean(figures: Mapping[str, Any]) -> list[tuple[str, float, int]]:
    metrics = _bounded("clean_accuracy", figures["clean_accuracy"])
    metrics += _bounded("balanced_accuracy", figures["balanced_accuracy"])
    for label, entry in figures["recall"].items():
        metrics.append((f"recall/{_plain(label)}", float(entry["value"]), 0))
    return metrics


def _plain(name: str) -> str:
    """A name of letters that every tracking store takes."""
    kept = "".join(
        one if one.isascii() and (one.isalnum() or one in "_-. ") else "_" for one in name
    )
    return kept if kept == name else f"{kept}-{files.content_hash(name)[:6]}"


def _rows(table: "pd.DataFrame") -> Iterator[tuple[str, float, int]]:
    """Error rates and Pi as curves over n, offset or side; Pi at n = 64; error rates of attacks."""
    for row in table.to_dict("records"):
        entry, name = described(row["experiment"]), row["experiment"]
        if row["protocol"] == "paper":
            name = f"protocol_paper/{name}"
        rate = float(row["error_rate"])
        counted = f"_{entry.counted}{row['steps']}" if entry.counted else ""
        if entry.over == "values":
            _, offset = parse_values(row["values"])
            yield f"by_offset/{name}_n{row['n']}{counted}_error_rate", rate, offset
        elif entry.over == "area":
            yield f"by_side/{name}_n{row['n']}{counted}_error_rate", rate, int(row["area"])
        elif entry.over == "n":
            yield f"by_n/{name}{counted}_error_rate", rate, int(row["n"])
            yield from _pi(f"{name}{counted}", row)
        elif entry.over == "epsilon":
            yield f"{name}/error_rate_epsilon{row['epsilon']}{counted}", rate, 0


def _pi(name: str, row: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    if math.isfinite(row["pi"]):
        yield f"by_n/{name}_pi", float(row["pi"]), int(row["n"])
        if row["n"] == COMPARED_N:
            bounds = {"value": row["pi"], "low": row["pi_low"], "high": row["pi_high"]}
            yield from _bounded(f"{name}/pi_n{COMPARED_N}", bounds)


def comparison(params: Params) -> Iterator[Record]:
    """What `compare` found: of each model, and of the pipeline as a whole."""
    from pixelproof.reporting.report import read_results

    summary, table = read_results(METRICS)
    for name, entry in summary["models"].items():
        metrics = [*_clean(entry), *_bounded("pi", entry["pi"])]
        metrics += _bounded("error_rate", entry["error_rate"])
        for other in ("versus_control", "versus_baseline"):
            if other in entry:
                metrics += _bounded(other, entry[other], "difference")
                metrics.append((f"{other}_p_value", float(entry[other]["p_value"]), 0))
        metrics += _rows(table[table["model"] == name])
        yield Record(
            name, "model", "comparison", metrics=metrics, datasets=_images(params, "evaluation")
        )
    yield _pipeline(params, summary, table)


def _pipeline(params: Params, summary: Mapping[str, Any], table: "pd.DataFrame") -> Record:
    from pixelproof.reporting.report import result_markdown
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
        "plots/error_rates.svg",
        "params.yaml",
        "reports/index.html",
        "reports/summary.md",
    )
    kept = [name for name in names if Path(name).is_file()]
    return Record("", "pipeline", "comparison", shown, metrics, tags, artifacts=kept)


def of_stage(params: Params, stage: str, item: str | None) -> list[Record]:
    """What a stage that has just ended has to show."""
    if stage == "compare":  # the last one: what was not run again is told, too
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
    """All records of a pipeline that has gone through, whichever stages ran this time."""
    return [
        select(params),
        generate(params),
        *(attack(params, name) for name in params.baselines),
        *(training(params, name) for name in params.models),
        *(evaluation(params, name) for name in params.models),
        *(curve(name) for name in params.models),
        *comparison(params),
    ]
