"""The card of a registered model: what it is, what it was measured by, what it is not for."""

from collections.abc import Mapping
from typing import Any

from pixelproof.params.project import Params
from pixelproof.paths import IMAGES
from pixelproof.reporting.wording import bounded_percent, estimate
from pixelproof.system import files
from pixelproof.tracking import records, stage_records


def figures_table(verdict: Mapping[str, Any]) -> str:
    """The figures of the models that a verdict is about, as a Markdown table."""
    lines = ["| model | clean accuracy % | errors at the reference % | Pi |", "|---|---|---|---|"]
    for name, figures in verdict.get("models", {}).items():
        rate, pi = figures.get("error_rate"), figures.get("pi")
        cells = [
            name,
            bounded_percent(figures["clean_accuracy"]),
            bounded_percent(rate, 2) if rate else "-",
            estimate(pi) if pi else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rules_table(verdict: Mapping[str, Any]) -> str:
    """The rules of a verdict, as a Markdown table; empty where there are none."""
    rules = [*verdict.get("evidence", ()), *verdict.get("rules", ())]
    if not rules:
        return ""
    rows = [f"| {'holds' if rule['holds'] else '**fails**'} | {rule['words']} |" for rule in rules]
    return "\n".join(["| | rule |", "|---|---|", *rows])


def model_card(params: Params, name: str, verdict: Mapping[str, Any]) -> str:
    """The card of a model, in Markdown.

    Args:
        params: Of the pipeline that made it.
        name: Of the baseline or arm.
        verdict: What the gate said, and on which draws.
    """
    splits = files.read_json(IMAGES / "manifest.json")["splits"]
    made = stage_records.model_params(params, name)
    trained = ", ".join(
        f"{key} {made[key]}" for key in ("classifier", "weights", "n", "values", "epochs", "seed")
    )
    against = verdict.get("champion")
    met = f" against version {against}" if against else ""
    point = params.compare.reference
    counts = f"{splits['train']['images']} to train, {splits['held_out']['images']} held out"
    parts = [
        # The first line stands in the registry's list of versions.
        f"**{verdict['outcome']}**: {name}{met}, at {point.n} changed pixels "
        f"(`{point.experiment}`), {params.gate.draws if params.gate else 0} fresh draws an image.",
        figures_table(verdict),
        rules_table(verdict),
        f"**Made by** pixelproof: {trained}. Images of {params.select.side} px, {counts}; data "
        f"`{records.data_digest(params) or 'not tracked'}`.",
        "**For** images of the same kind from the same cameras, given as raw uint8 RGB. It was "
        "hardened against pixels that change at random, as dead, hot or stuck ones do; it is no "
        "defence against an adversary who knows the model.",
    ]
    return "\n\n".join(part for part in parts if part)
