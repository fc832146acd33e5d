"""The report: one self-contained page that is readable without a server or a network."""

import io
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pandas as pd

from pixelproof import files
from pixelproof.claims import Claim
from pixelproof.comparison import Comparison
from pixelproof.core.statistics import rank_intervals
from pixelproof.gallery import gallery, paths_by_id
from pixelproof.images import ImageSet
from pixelproof.masking import Check
from pixelproof.report import draw_intervals, result_markdown, verdict
from pixelproof.template import FAILED, PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGRESSED = 12
DIRECTIONS = 10  # of flips, the most frequent
KEYS = ("value", "low", "high")
ATTACKS = ("whitebox_fgsm", "whitebox_iterated", "gradient_free")
WARNINGS = {"masking": "MASKED?", "convergence": "not converged"}  # of checks that fail
_INK = "#010203"  # what figures are drawn in, replaced by the page's own colour
Table = dict[str, Any]


def write_page(
    comparison: Comparison,
    claims: list[Claim],
    checks: list[Check],
    images: ImageSet,
    manifest: dict[str, Any],
    weights: dict[str, str],
    path: Path,
) -> None:
    """Write the report.

    Args:
        comparison: What is known of all models.
        claims: The paper's claims, tested.
        checks: Whether gradients are masked.
        images: The held-out images.
        manifest: Of the images, as `select` wrote it.
        weights: By model the SHA-256 of its weights.
        path: Of the HTML file; written whole or not at all.
    """
    summary = comparison.summary
    text = _template(PAGE).render(
        verdict=verdict(summary),
        summary=summary,
        claims=claims,
        hero=_svg(_forest(comparison)),
        tables=[*_tables(comparison), _masking(checks)],
        figures=_svg(_error_rates(comparison)),
        distances=_distances(comparison),
        gallery=gallery(comparison, images, manifest),
        flips=_flips(comparison),
        regressed=_regressed(comparison, manifest),
        sensor=_sensor(comparison, manifest),
        manifest=manifest,
        weights=weights,
        params=asdict(comparison.params),
        versions={name: version(name) for name in ("pixelproof", "torch", "torchvision", "numpy")},
    )
    files.write_text(path, text)


def failed_page(reason: str) -> str:
    """A page that says why there is no result."""
    return _template(FAILED).render(reason=reason)


def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters["slug"] = lambda words: re.sub(r"\W+", "-", words.lower())
    return environment.from_string(text)


def markdown(comparison: Comparison, claims: list[Claim]) -> str:
    """The result in short, for a pull request."""
    lines = [verdict(comparison.summary), "", result_markdown(comparison.summary, comparison.table)]
    lines += ["", "| the paper's claim | here | found |", "| --- | --- | --- |"]
    lines += [f"| {one.words} | {one.status} | {one.found or one.reason} |" for one in claims]
    return "\n".join(lines) + "\n"


def _svg(figure: "Figure") -> str:
    """A figure as SVG text that takes the page's colours; the same figure gives the same text."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_style()):  # which holds the seed of the names in it
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def _style() -> Any:
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plain = {"svg.hashsalt": "pixelproof", "svg.fonttype": "path", "font.size": 10}
    return {**dict.fromkeys(keys, _INK), **plain}


def _forest(comparison: Comparison) -> "Figure":
    """Each model's error rate at the reference point, as a dot with its interval."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    models = comparison.summary["models"]
    with mpl.rc_context(_style()):
        figure = Figure(figsize=(5.5, 0.9 + 0.38 * len(models)), layout="constrained")
        axis = figure.subplots()
        rates = {model: entry["error_rate"] for model, entry in models.items()}
        draw_intervals(
            axis, {model: [100 * rate[key] for key in KEYS] for model, rate in rates.items()}
        )
        axis.set_xlabel("wrong, % of the common images (95 % interval)")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _error_rates(comparison: Comparison) -> "Figure":
    import matplotlib as mpl

    from pixelproof.report import error_rates_figure

    with mpl.rc_context(_style()):
        return error_rates_figure(comparison.table, comparison.params)


def _distances(comparison: Comparison) -> str:
    """The distances to the boundary as a figure; empty where they were not measured."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    table = comparison.boundary.set_index("model")[["median", "low", "high"]]
    if table.empty or not np.isfinite(table.to_numpy(dtype=float)).all():
        return ""
    with mpl.rc_context(_style()):
        figure = Figure(figsize=(8, 0.9 + 0.38 * len(table)), layout="constrained")
        axis = figure.subplots()
        draw_intervals(axis, {str(model): list(row) for model, row in table.iterrows()})
        axis.set_xlabel("first-order distance to the decision boundary (median, 95 % interval)")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _rate(row: pd.Series) -> str:
    bounds = f"[{100 * row['error_low']:.2f}, {100 * row['error_high']:.2f}]"
    total = int(row["images"]) * int(row["draws"])
    return f"{100 * row['error_rate']:.2f} % {bounds} · {int(row['wrong'])} of {total}"


def _grid(table: pd.DataFrame, by: str, title: str, note: str, words: str = "n = {}") -> Table:
    """A table in the paper's layout: a row a model (and level), a column a setting."""
    columns = list(dict.fromkeys(table[by]))
    rows = []
    for key, group in table.groupby(["model", "row"], sort=False):
        cells = {row[by]: _rate(row) for _, row in group.iterrows()}
        rows.append([str(one) for one in key if one] + [cells.get(one, "-") for one in columns])
    names = ["model"] + ([""] if rows and len(rows[0]) > len(columns) + 1 else [])
    head = [*names, *(words.format(one) for one in columns)]
    return {"title": title, "note": note, "head": head, "rows": rows}


def _tables(comparison: Comparison) -> list[Table]:
    """All experiments, in the layout of the paper's tables."""
    every = comparison.table.assign(row="")
    held = every[every["protocol"] == "held_out"]
    of = dict(iter(held.groupby("experiment", sort=False)))
    paper = every[(every["protocol"] == "paper") & every["experiment"].isin(["pixels", "stuck"])]
    tables = [_beyond_control(comparison), _ranking(comparison)]
    if "pixels" in of:
        note = "Any value in each channel. Wrong, of the common images and draws."
        tables.append(_grid(of["pixels"], "n", "Changed pixels (Tables 6 and 10)", note))
    if "stuck" in of:
        note = "Dead or hot pixels: 0 or 255 in all channels."
        tables.append(_grid(of["stuck"], "n", "Stuck pixels", note))
    note = (
        "Protocol paper: other changes of the very images that were trained on, as in the "
        "paper's Table 10. It says nothing about new images."
    )
    for experiment, rows in paper.groupby("experiment", sort=False):
        title = f"Training images, {experiment} (Table 10 as printed)"
        tables.append(_grid(rows, "n", title, note))
    if "magnitude" in of:
        rows = of["magnitude"]
        rows = rows.assign(row="± " + rows["values"].str.replace("offset:", ""))
        note = "The value moves by up to so much, clipped to 0..255."
        tables.append(_grid(rows, "n", "Magnitude (Table 7)", note))
    if "area" in of:
        rows, side = of["area"], comparison.params.select.side
        rows = rows.assign(row=rows["area"].map(lambda box: f"{box} × {box} ({box / side:.3g})"))
        note = "Changes lie in a centred square of this side in pixels, and as a share of the side."
        tables.append(_grid(rows, "n", "Area (Table 8)", note))
    if "adversarial_pixels" in of:
        note = "FGSM examples that fool the model, then n pixels changed at random: still wrong."
        tables.append(
            _grid(
                of["adversarial_pixels"], "n", "FGSM examples with changed pixels (Table 9)", note
            )
        )
    if "transfer_fgsm" in of:
        note = "Wrong on FGSM examples that fool its original. Any other network recovers some."
        rows = of["transfer_fgsm"]
        tables.append(
            _grid(
                rows, "epsilon", "FGSM examples of the original (Table 11)", note, "epsilon {}/255"
            )
        )
    attacks = [of[one] for one in ATTACKS if one in of]
    if attacks:
        rows = pd.concat(attacks).sort_values("epsilon", kind="stable")
        how = [_how(*one) for one in zip(rows["experiment"], rows["steps"], strict=True)]
        note = (
            "Wrong, of the common images that were attacked. Queries: the Square Attack, which "
            "asks for scores and needs no gradient."
        )
        title = "Attacks on each model itself"
        tables.append(_grid(rows.assign(row=how), "epsilon", title, note, "epsilon {}/255"))
    if len(comparison.boundary):
        tables.append(_boundary(comparison))
    return tables


def _how(experiment: str, steps: int) -> str:
    if experiment == "gradient_free":
        return f"{steps} queries"
    return "one step" if steps == 1 else f"{steps} steps"


def _beyond_control(comparison: Comparison) -> Table:
    rows = []
    for model, entry in comparison.summary["models"].items():
        for name, key in (
            ("its original", "versus_baseline"),
            (comparison.summary["control"], "versus_control"),
        ):
            if key in entry:
                one = entry[key]
                bounds = f"[{100 * one['low']:+.2f}, {100 * one['high']:+.2f}]"
                adjusted = f"{one['p_value_holm']:.2g}" if "p_value_holm" in one else "-"
                total = f"{one['images']} × {one['draws']}"
                rows.append(
                    [
                        model,
                        name,
                        f"{100 * one['difference']:+.2f} {bounds}",
                        f"{one['p_value']:.2g}",
                        adjusted,
                        total,
                    ]
                )
    return {
        "title": "What hardening did beyond the control",
        "note": "Difference of the error rates at the reference point in points, paired by image; "
        "p by sign flips, adjusted over the arms (Holm).",
        "head": ["model", "minus", "points", "p", "p, Holm", "images × draws"],
        "rows": rows,
    }


def _ranking(comparison: Comparison) -> Table:
    compare, summary = comparison.params.compare, comparison.summary
    wrong = {model: comparison.at_reference(model) for model in summary["models"]}
    ranks = rank_intervals(wrong, resamples=compare.resamples, seed=compare.seed)
    rows = []
    for model in sorted(ranks, key=lambda one: ranks[one].value):
        entry, rank = summary["models"][model], ranks[model]
        pi, clean = entry["pi"], entry["clean_accuracy"]
        rows.append(
            [
                model,
                f"{pi['value']:.2f} [{pi['low']:.2f}, {pi['high']:.2f}]",
                f"{rank.value:.0f} [{rank.low:.0f} to {rank.high:.0f}]",
                f"{int(wrong[model].sum())} of {wrong[model].size}",
                f"{int(wrong[model].any(axis=1).sum())} of {len(wrong[model])}",
                _accuracy(clean),
                " · ".join(
                    f"{label} {100 * one['value']:.1f} %" for label, one in entry["recall"].items()
                )
                if len(entry["recall"]) <= 6
                else f"balanced {100 * entry['balanced_accuracy']['value']:.1f} %",
            ]
        )
    return {
        "title": "Pixel-index Pi (Table 5)",
        "note": "At the reference point; comparable at the same n, values and area only. "
        "The rank's interval is a bootstrap by image.",
        "head": [
            "model",
            "Pi",
            "rank",
            "wrong",
            "images that ever flip",
            "clean accuracy",
            "recall",
        ],
        "rows": rows,
    }


def _masking(checks: list[Check]) -> Table:
    """Failed checks one by one; of those that hold, how many."""
    rows = []
    for model in dict.fromkeys(one.model for one in checks):
        own = [one for one in checks if one.model == model]
        failed = [one for one in own if not one.holds]
        rows += [[model, WARNINGS[one.about], f"fails: {one.words}", one.found] for one in failed]
        if not failed:
            rows.append([model, "no sign", f"all {len(own)} checks hold", ""])
    return {
        "title": "Masked gradients",
        "note": "Attacks that follow the gradient prove nothing where it is hidden. The checks: "
        "more epsilon and more steps fool no fewer; a model's own examples beat borrowed ones; "
        "an attack without a gradient fools no more than one by gradient; no gradient is zero. "
        "Where twice the steps fool more, the attack has not converged: take the larger figure.",
        "head": ["model", "", "checks", "found"],
        "rows": rows,
    }


def _accuracy(entry: Any) -> str:
    value, low, high = (100 * entry[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _boundary(comparison: Comparison) -> Table:
    rows = []
    for _, one in comparison.boundary.iterrows():
        gap = one["difference_to_baseline"]
        rows.append(
            [
                one["model"],
                str(one["images"]),
                f"{one['median']:.3f} [{one['low']:.3f}, {one['high']:.3f}]",
                "-" if pd.isna(gap) else f"{gap:+.3f}",
                "-" if pd.isna(gap) else f"{one['p_value']:.2g}",
            ]
        )
    return {
        "title": "Distance to the decision boundary (Equations 3 to 6)",
        "note": "First-order Euclidean distance where a value spans 0 to 1; the paper: it grows.",
        "head": ["model", "images", "median", "mean difference to its original", "p"],
        "rows": rows,
    }


def _flips(comparison: Comparison) -> list[dict[str, Any]]:
    """Flips by direction: the missed defects first, then those to a defect, then the others."""
    summary, defects = comparison.summary, comparison.params.compare.defects
    directions: dict[tuple[str, str], dict[str, int]] = {}
    for model, entry in summary["models"].items():
        for label, taken in entry["flips"].items():
            for prediction, count in taken.items():
                directions.setdefault((label, prediction), {})[model] = count
    trials = _trials(comparison)
    chosen = sorted(directions.items(), key=lambda one: -sum(one[1].values()))[:DIRECTIONS]
    rows = []
    for (label, prediction), counts in chosen:
        missed, alarm = label in defects, prediction in defects
        kind = "" if missed == alarm else "missed defect" if missed else "false alarm"
        cells = []
        for model in summary["models"]:
            count, total = counts.get(model, 0), trials[label]
            cells.append(f"{count} of {total} ({100 * count / total:.1f} %)")
        rows.append({"label": label, "prediction": prediction, "kind": kind, "cells": cells})
    order = ["missed defect", "false alarm", ""]
    return sorted(rows, key=lambda one: (order.index(one["kind"]), one["label"]))


def _trials(comparison: Comparison) -> dict[str, int]:
    """How many changed images there are of each class at the reference point, draws counted."""
    ledger = next(iter(comparison.ledgers.values()))
    clean = ledger[(ledger["experiment"] == "clean") & ledger["image"].isin(comparison.common)]
    draws = comparison.params.evaluate.draws
    return {
        str(label): draws * int(count) for label, count in clean["label"].value_counts().items()
    }


def _regressed(comparison: Comparison, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """By hardened model: which images flip more often than under its original."""
    paths, found = paths_by_id(manifest), []
    for model, arm in comparison.params.finetune.arms.items():
        gap = comparison.at_reference(model).mean(axis=1)
        gap = gap - comparison.at_reference(arm.baseline).mean(axis=1)
        worst = np.argsort(-gap, kind="stable")[:REGRESSED]
        names = [
            f"{paths[comparison.common[at]]} ({100 * gap[at]:+.0f} points)"
            for at in worst
            if gap[at] > 0
        ]
        better, worse = int((gap < 0).sum()), int((gap > 0).sum())
        found.append({"model": model, "better": better, "worse": worse, "names": names})
    return found


def _sensor(comparison: Comparison, manifest: dict[str, Any]) -> str:
    """How wide one changed pixel is on the sensor."""
    side = comparison.params.select.side
    widths = np.array([one["width"] for one in manifest["images"]])
    heights = np.array([one["height"] for one in manifest["images"]])
    if comparison.params.select.fit != "stretch":
        widths = heights = np.minimum(widths, heights)
    share = 7 / 8 if comparison.params.select.fit == "imagenet" else 1.0
    across, down = (share * float(np.median(one)) / side for one in (widths, heights))
    return (
        f"One changed pixel stands for {across:.2g} × {down:.2g} pixels of the camera "
        f"(median image {np.median(widths):.0f} × {np.median(heights):.0f}, resized to {side}); "
        "a single faulty pixel of the camera is weaker than that."
    )
