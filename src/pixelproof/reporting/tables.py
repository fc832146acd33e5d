"""The tables of the page: every experiment, in the layout of the paper's tables."""

from typing import Any

import pandas as pd

from pixelproof.core.statistics.ranks import rank_intervals
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.gradient_masking import Check
from pixelproof.reporting.wording import points, share

ATTACKS = ("whitebox_fgsm", "whitebox_iterated", "gradient_free")
WARNINGS = {"masking": "MASKED?", "convergence": "not converged"}  # of checks that fail
Table = dict[str, Any]


def _rate(row: pd.Series) -> str:
    bounds = f"[{100 * row['error_low']:.2f}, {100 * row['error_high']:.2f}]"
    total = int(row["images"]) * int(row["draws"])
    return f"{100 * row['error_rate']:.2f} % {bounds} · {int(row['wrong'])} of {total}"


def _grid(table: pd.DataFrame, by: str, title: str, note: str, heads: dict[Any, str]) -> Table:
    """A table in the paper's layout: a row a model (and level), a column a setting."""
    columns = list(dict.fromkeys(table[by]))
    rows = []
    for key, group in table.groupby(["model", "row"], sort=False):
        cells = {row[by]: _rate(row) for _, row in group.iterrows()}
        rows.append([str(one) for one in key if one] + [cells.get(one, "-") for one in columns])
    names = ["model"] + ([""] if rows and len(rows[0]) > len(columns) + 1 else [])
    return {"title": title, "note": note, "head": names + [heads[one] for one in columns]} | {
        "rows": rows
    }


def _by_n(rows: pd.DataFrame, side: int, title: str, note: str) -> Table:
    heads = {n: f"n = {n} ({share(n, side)})" for n in rows["n"]}
    return _grid(rows, "n", title, note, heads)


def _by_epsilon(rows: pd.DataFrame, title: str, note: str) -> Table:
    return _grid(rows, "epsilon", title, note, {e: f"epsilon {e}/255" for e in rows["epsilon"]})


def tables(comparison: Comparison, checks: list[Check]) -> list[Table]:
    """All experiments, in the layout of the paper's tables."""
    found = [_beyond_control(comparison), _cost(comparison), _ranking(comparison)]
    found += [*_changed(comparison), *_attacks(comparison)]
    if len(comparison.boundary):
        found.append(_boundary(comparison))
    return [*found, _masking(checks)]


def _changed(comparison: Comparison) -> list[Table]:
    """The experiments that change pixels at random."""
    every, side = comparison.table.assign(row=""), comparison.params.select.side
    held = every[every["protocol"] == "held_out"]
    paper = every[every["protocol"] == "paper"]
    offset = "± " + held["values"].astype("string").str.replace("offset:", "")
    box = held["area"].map(lambda one: f"{one} × {one} ({one / side:.3g})", na_action="ignore")
    training = (
        "Protocol paper: other changes of the very images that were trained on, as in the "
        "paper's Table 10. It says nothing about new images."
    )
    layout = [
        (
            held[held["experiment"] == "pixels"],
            "Changed pixels (Tables 6 and 10)",
            "Any value in each channel. Wrong, of the common images and draws.",
        ),
        (
            held[held["experiment"] == "stuck"],
            "Stuck pixels",
            "Dead or hot pixels: 0 or 255 in all channels.",
        ),
        *(
            (
                paper[paper["experiment"] == one],
                f"Training images, {one} (Table 10 as printed)",
                training,
            )
            for one in ("pixels", "stuck")
        ),
        (
            held.assign(row=offset)[held["experiment"] == "magnitude"],
            "Magnitude (Table 7)",
            "The value moves by up to so much, clipped to 0..255.",
        ),
        (
            held.assign(row=box)[held["experiment"] == "area"],
            "Area (Table 8)",
            "Changes lie in a centred square of this side in pixels, and as a share of the side.",
        ),
        (
            held[held["experiment"] == "adversarial_pixels"],
            "FGSM examples with changed pixels (Table 9)",
            "FGSM examples that fool the model, then n pixels changed at random: still wrong.",
        ),
    ]
    return [_by_n(rows, side, title, note) for rows, title, note in layout if len(rows)]


def _attacks(comparison: Comparison) -> list[Table]:
    """FGSM examples of the original, and the attacks on each model itself."""
    table = comparison.table.assign(row="")
    found = []
    transfer = table[table["experiment"] == "transfer_fgsm"]
    if len(transfer):
        note = "Wrong on FGSM examples that fool its original. Any other network recovers some."
        found.append(_by_epsilon(transfer, "FGSM examples of the original (Table 11)", note))
    own = [table[table["experiment"] == one] for one in ATTACKS]
    rows = pd.concat(own).sort_values("epsilon", kind="stable")
    if len(rows):
        how = [_how(*one) for one in zip(rows["experiment"], rows["steps"], strict=True)]
        note = (
            "Wrong, of the common images that were attacked. Queries: the Square Attack, which "
            "asks for scores and needs no gradient."
        )
        found.append(_by_epsilon(rows.assign(row=how), "Attacks on each model itself", note))
    return found


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
                adjusted = f"{one['p_value_holm']:.2g}" if "p_value_holm" in one else "-"
                total = f"{one['images']} × {one['draws']}"
                rows.append(
                    [
                        model,
                        name,
                        points(one, 2),
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


def _cost(comparison: Comparison) -> Table:
    """Clean accuracy and attacks on each hardened model itself, beside the gate's margins."""
    summary, rows = comparison.summary, []
    names = {"versus_baseline": "its original", "versus_control": summary["control"]}
    for model, entry in summary["models"].items():
        cost = entry.get("cost", {"accuracy": {}, "attacks": {}})
        for key, one in cost["accuracy"].items():
            row = [model, "clean accuracy", names[key], points(one), str(one["images"])]
            rows.append(row)
        for one in cost["attacks"].values():
            what = (
                f"fooled in {_how(one['experiment'], one['steps'])}, epsilon {one['epsilon']}/255"
            )
            rows.append([model, what, "its original", points(one), str(one["images"])])
    allowed = summary.get("margins", {"accuracy": 0, "attack": 0})
    return {
        "title": "What hardening costs",
        "note": "In points, paired by image, with one-sided bounds at 5 % as the gate has them. It "
        f"allows accuracy to fall by less than {100 * allowed['accuracy']:g} points, and attacks "
        f"on the model itself to fool it less than {100 * allowed['attack']:g} points more often.",
        "head": ["model", "what", "minus", "points", "images"],
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
