"""Compare all models on the images that none has seen and all get right unchanged."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pixelproof.data.image_set import hex_id, load_images
from pixelproof.errors import DataError
from pixelproof.evaluation.attack_records import read_attacks
from pixelproof.evaluation.ledger import read_ledger
from pixelproof.models.metadata import seen_images, seen_is_known
from pixelproof.params.project import Params
from pixelproof.paths import ATTACKS, IMAGES, LEDGER, METRICS, MODELS, OTHERS, PLOTS
from pixelproof.reporting.attacks import attack_table
from pixelproof.reporting.boundary import boundary
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.figures import draw_error_rates
from pixelproof.reporting.gradient_masking import gradient_checks, masked
from pixelproof.reporting.page import failed_page, markdown, write_page
from pixelproof.reporting.paper_claims import claims
from pixelproof.reporting.repetitions import methods
from pixelproof.reporting.results import results
from pixelproof.reporting.robust_accuracy import robust_accuracy
from pixelproof.reporting.rows import (
    Ledgers,
    common_images,
    groups_of,
    of_split,
    with_groups,
    without,
)
from pixelproof.reporting.summary import summary
from pixelproof.reporting.tradeoff import costs, margins
from pixelproof.system import files

REPORTS = Path("reports")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with files.atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def _common(ledgers: Ledgers, params: Params, split: str = "held-out") -> list[str]:
    """The common images; if there are none, the report says so before the error is raised."""
    try:
        return common_images(ledgers, params.compare.images, split)
    except DataError as error:
        files.write_text(REPORTS / "index.html", failed_page(str(error)))
        raise


def _made_from(params: Params, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures were made from, by content alone: the same in every clone."""
    abouts = {model: files.read_json(MODELS / model / "classifier.json") for model in params.models}
    return {
        "data": {
            "path": params.select.data,
            "images": manifest["found"],
            "classes": len(manifest["classes"]),
            "content": files.content_hash(manifest),
        },
        "weights": {model: about["sha256"] for model, about in abouts.items()},
        "ledgers": {model: files.sha256(LEDGER / f"{model}.parquet") for model in params.models},
    }


def _held_out(params: Params, held: Ledgers, ledgers: Ledgers) -> dict[str, Any]:
    """Which images were measured: how many, of how many parts, and whether they choose."""
    every, left = (
        set.union(*(set(ledger["image"]) for ledger in each.values())) for each in (held, ledgers)
    )
    found: dict[str, Any] = {
        "held_out_images": len(left),
        "left_out_as_seen": len(every - left),
    }
    if params.select.group is not None:
        groups = groups_of(next(iter(ledgers.values())), sorted(left))
        found["held_out_parts"] = 0 if groups is None else int(groups.max()) + 1
    if params.select.validation is not None:
        found["validation"] = params.select.validation
    return found


def _set_others_aside(models: Collection[str]) -> None:
    """Move models, ledgers and attacks of other studies out of the way.

    DVC hashes those folders as a whole: what another profile or a removed arm has left there
    would count as an input, and get into dvc.lock.
    """
    for folder in (MODELS, LEDGER, ATTACKS):
        for path in sorted(folder.glob("*")):
            if path.stem not in models and not path.name.startswith("."):
                target = OTHERS / folder.name / path.name
                files.discard(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)


def _attacks(
    params: Params, seen: Collection[str], digest: Mapping[str, Any], whole: Ledgers
) -> pd.DataFrame:
    """What `metrics/attacks.csv` holds; the summary gets the robust accuracy of each model."""
    stored = {model: read_attacks(ATTACKS / f"{model}.parquet") for model in params.models}
    records = {
        model: without(with_groups(rows, whole[model]), seen) for model, rows in stored.items()
    }
    robust = {model: robust_accuracy(rows) for model, rows in records.items()}
    for model, found in robust.items():
        digest["models"][model].update({"robust_accuracy": found} if found else {})
    return attack_table(records, robust)


def run(*, params: Params) -> None:
    """Write the figures into `metrics/` and `plots/`, and the report into `reports/`."""
    images = load_images(IMAGES, "held_out", params.select)
    params.check_classes(images.classes)
    _set_others_aside(params.models)
    manifest = files.read_json(IMAGES / "manifest.json")
    seen = {hex_id(image) for model in params.models for image in seen_images(MODELS / model)}
    whole = {model: read_ledger(LEDGER / f"{model}.parquet") for model in params.models}
    held = {model: of_split(ledger, "held_out") for model, ledger in whole.items()}
    ledgers = {model: without(ledger, seen) for model, ledger in held.items()}
    common = _common(ledgers, params)
    table = results(ledgers, common, params.select.side)
    if params.paper_grids:
        train = {model: of_split(ledger, "train") for model, ledger in whole.items()}
        shared = _common(train, params, "training")
        paper = results(train, shared, params.select.side, "paper")
        table = pd.concat([table, paper], ignore_index=True)
    digest = {
        **summary(ledgers, common, params),
        "common_images": len(common),
        **_held_out(params, held, ledgers),
        "unknown_seen": [model for model in params.models if not seen_is_known(MODELS / model)],
        "margins": margins(params),
        "made_from": _made_from(params, manifest),
    }
    distances = boundary(ledgers, common, params)
    _write_table(table, METRICS / "results.csv")
    _write_table(distances, METRICS / "boundary.csv")
    attacks = _attacks(params, seen, digest, whole)
    _write_table(attacks, METRICS / "attacks.csv")
    draw_error_rates(table, params, PLOTS / "error_rates.svg")
    comparison = Comparison(params, ledgers, common, table, distances, digest, attacks)
    if repeated := methods(comparison):
        digest["methods"] = repeated
    tested, checks = claims(comparison), gradient_checks(comparison)
    for model, entry in digest["models"].items():
        entry["masked_gradients"] = masked(checks, model)
    for model, cost in costs(comparison).items():
        digest["models"][model]["cost"] = cost
    files.write_json(METRICS / "summary.json", digest)
    files.write_text(REPORTS / "summary.md", markdown(comparison, tested))
    write_page(comparison, tested, checks, images, manifest, REPORTS / "index.html")
