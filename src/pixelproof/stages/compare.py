"""Compare all models on the images that none has seen and all get right unchanged."""

from pixelproof import files
from pixelproof.classifiers import seen_images
from pixelproof.comparison import common_images, results, summary, without
from pixelproof.images import hex_id
from pixelproof.layout import LEDGER, METRICS, MODELS, PLOTS
from pixelproof.ledger import read_ledger
from pixelproof.params import Params
from pixelproof.report import draw_error_rates


def run(params: Params) -> None:
    """Write `metrics/results.csv`, `metrics/summary.json` and `plots/error_rates.svg`."""
    seen = {hex_id(one) for model in params.models for one in seen_images(MODELS / model)}
    whole = {model: read_ledger(LEDGER / f"{model}.parquet") for model in params.models}
    ledgers = {model: without(ledger, seen) for model, ledger in whole.items()}
    common = common_images(ledgers, params.compare.images)
    table = results(ledgers, common, params.select.size)
    held_out = {model: set(ledger["image"]) for model, ledger in whole.items()}
    counted = set.union(*held_out.values())
    digest = {
        **summary(ledgers, common, params),
        "common_images": len(common),
        "held_out_images": len(counted - seen),
        "left_out_as_seen": len(counted & seen),
    }
    with files.atomic(METRICS / "results.csv") as temporary:
        table.to_csv(temporary, index=False)
    files.write_json(METRICS / "summary.json", digest)
    draw_error_rates(table, params, PLOTS / "error_rates.svg")
