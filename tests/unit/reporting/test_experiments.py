"""An attack and an experiment that are added by their entries alone reach every reader."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from pixelproof.cli.stage import execute
from pixelproof.errors import DataError
from pixelproof.evaluation import experiments as measured
from pixelproof.evaluation.ledger import read_ledger
from pixelproof.evaluation.measurement import Measurement, Strength
from pixelproof.evaluation.prediction import without_ids
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import DeviceImages
from pixelproof.params.evaluate import Evaluate
from pixelproof.params.project import Params
from pixelproof.promotion.fresh_draws import Trial
from pixelproof.promotion.gate import Verdict, decide
from pixelproof.reporting import experiments as described
from pixelproof.reporting.before_after import Side, compare_sides
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.gradient_masking import gradient_checks
from pixelproof.reporting.results import results
from pixelproof.reporting.rows import common_images
from pixelproof.reporting.text import read_results, result_table
from pixelproof.reporting.verdict import judge
from pixelproof.tracking.stage_records import comparison
from tests.conftest import ROOT, write_data, write_params

EPSILON, QUERIES, ROWS = 40, 3, (1, 4)
SETTINGS = ("draws", "batch_size", "engine", "protocols", "attacks")  # no experiment by themselves


# The parameters of the two: a key of the section `evaluate` each.
@dataclass(frozen=True)
class Noise:
    epsilon: tuple[int, ...]
    queries: int


@dataclass(frozen=True)
class DeadRows:
    n: tuple[int, ...]


@dataclass(frozen=True)
class Extended(Evaluate):
    noise: Noise | None = None
    dead_rows: DeadRows | None = None


# How they are measured.
def noise(section: Noise) -> Iterator[Strength]:
    """Random signs, drawn again until they fool or the queries are used up."""
    for epsilon in section.epsilon:
        examples = without_ids(noisy, epsilon=epsilon, queries=section.queries)
        yield Strength(examples, {"epsilon": epsilon, "steps": section.queries}, section.queries)


def noisy(
    model: Classifier, images: Tensor, labels: Tensor, *, epsilon: int, queries: int
) -> Tensor:
    best = images.clone()
    for query in range(queries):
        generator = torch.Generator().manual_seed(query)
        signs = torch.randint(0, 2, images.shape, generator=generator) * 2 - 1
        drawn = (images.int() + epsilon * signs).clamp(0, 255).to(torch.uint8)
        with torch.inference_mode():
            fooled = model(drawn).argmax(dim=1) != labels
        best[fooled] = drawn[fooled]
    return best


def dead_rows(measurement: Measurement, name: str) -> None:
    """The first rows of the sensor are black."""
    for n in getattr(measurement.evaluate, name).n:
        changed = measurement.images.pixels[measurement.right].copy()
        changed[:, :, :n] = 0
        images = DeviceImages(changed, measurement.device)
        judged = measurement.predict(images, measurement.targets[measurement.right])
        measurement.add(name, measurement.right, judged, n=n, draw=0)


MEASURED = {"noise": measured.attack(noise), "dead_rows": measured.Experiment(dead_rows)}

# What their readers know of them.
DESCRIBED = {
    "noise": described.Experiment(
        over="epsilon",
        axis="epsilon of the noise",
        figure="curve",
        counted="queries",
        table=described.EXPERIMENTS["gradient_free"].table,
        label=lambda setting, side: f"noise, {setting['steps']} queries",
        column=described.Column("noise %", "noise", "noisy images", "the worst of a few"),
        gated=True,
        required=True,
        follows="queries",
        sentence="noise of {steps} queries",
        norm="linf",
        sees="scores",
    ),
    "dead_rows": described.Experiment(
        over="n",
        axis="dead rows",
        figure="curve",
        table=described.Table("Dead rows", "The first rows are black."),
        gated=True,
    ),
}


@pytest.fixture(scope="module")
def entries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in MEASURED:
            patch.setitem(measured.EXPERIMENTS, name, MEASURED[name])
            patch.setitem(described.EXPERIMENTS, name, DESCRIBED[name])
        yield


def quick(content: dict[str, Any]) -> None:
    """Those of the toy's experiments that the two stand beside, and short training."""
    unasked = ("magnitude", "area", "adversarial_pixels", "gradient_free", "boundary")
    content["evaluate"] |= {"draws": 2, "protocols": ["held_out"], **dict.fromkeys(unasked)}
    content["evaluate"]["attacks"] = {
        "strong": {"attack": "pgd", "epsilon": 40, "steps": 4, "restarts": 2, "images": 20},
        "few": {"attack": "jsma", "n": 64},
        "late": {"attack": "cw", "epsilon": 900, "seconds": 1e-6},
    }
    content["baselines"]["baseline"]["epochs"] = 2
    content["finetune"]["epochs"] = 1


@pytest.fixture(scope="module")
def params(entries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Params]:
    """The toy experiment with both, run; its folder is the working directory."""
    root, before, threads = tmp_path_factory.mktemp("toy"), Path.cwd(), torch.get_num_threads()
    torch.set_num_threads(1)  # more would wait for each other on images this small
    write_data(root / "data")
    loaded = write_params(root / "params.yaml", quick)
    shutil.copy(ROOT / "tests" / "support" / "tiny_network.py", root)
    asked = {one.name: getattr(loaded.evaluate, one.name) for one in fields(Evaluate)}
    section = Extended(**asked, noise=Noise((EPSILON,), QUERIES), dead_rows=DeadRows(ROWS))
    extended = replace(loaded, evaluate=section)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        os.chdir(root)
        try:
            for stage in extended.stages:
                name, _, item = stage.partition("@")
                execute(name, extended, item or None)
            yield extended
        finally:
            os.chdir(before)
            torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ledgers(params: Params) -> dict[str, pd.DataFrame]:
    return {name: read_ledger(Path(f"artifacts/ledger/{name}.parquet")) for name in params.models}


def held_out(ledger: pd.DataFrame) -> pd.DataFrame:
    return ledger[ledger["split"] == "held_out"]


def judged(ledgers: dict[str, pd.DataFrame], params: Params, *without: str) -> Verdict:
    kept = [
        ledger[~ledger["experiment"].isin(without)] for ledger in map(held_out, ledgers.values())
    ]
    return decide(kept[2], kept[0], kept[1], params)


def test_each_experiment_has_its_three_parts() -> None:
    keys = [one.name for one in fields(Evaluate) if one.name not in SETTINGS]
    tables = (measured.EXPERIMENTS, described.EXPERIMENTS)
    assert [set(table) - set(MEASURED) for table in tables] == [{"clean", *keys}] * 2


def test_one_without_words_is_refused(entries: None) -> None:
    row = {"image": "0", "label": "a", "prediction": "a", "experiment": "unheard", "draw": 0}
    settings = dict.fromkeys(["epsilon", "steps", "n", "values", "area"])
    with pytest.raises(DataError, match="unheard"):
        results({"model": pd.DataFrame([{**row, **settings}])}, ["0"], 16)


def test_they_are_in_every_ledger(params: Params, ledgers: dict[str, pd.DataFrame]) -> None:
    for ledger in ledgers.values():
        rows = ledger[ledger["experiment"] == "noise"]
        assert set(rows["epsilon"]) == {EPSILON}
        assert set(rows["steps"]) == {QUERIES}
        assert set(ledger.loc[ledger["experiment"] == "dead_rows", "n"]) == set(ROWS)
        assert (rows["split"] == "held_out").all()


def test_the_gate_measures_them_on_fresh_draws(params: Params) -> None:
    ledger = Trial(params, seed=9).measure(Path("artifacts/models/baseline"), "champion")
    assert {"noise", "dead_rows", "whitebox_fgsm", "stuck"} < set(ledger["experiment"])
    of_original = {name for name, one in measured.EXPERIMENTS.items() if one.of_original}
    assert not set(ledger["experiment"]) & (of_original | {"pixels", "magnitude", "area"})


def test_a_challenger_alone_is_asked_whether_it_hides_its_gradient(params: Params) -> None:
    trial, models = Trial(params, seed=9), Path("artifacts/models")
    compared = set(trial.measure(models / "baseline", "champion")["experiment"])
    asked = set(trial.measure(models / "stuck-8", "challenger", probed=True)["experiment"])
    probes = {"bim:unbounded", "pgd:restarts", "repeated", "gradient_free"}
    assert asked - compared == probes
    lent = trial.borrow(models / "stuck-8", "challenger", ["champion"])
    assert set(lent["experiment"]) == {"transfer_champion"}
    asked_of = {(row.epsilon, row.steps) for row in lent.itertuples()}
    assert asked_of == {(10, 5), (40, 5)}


def test_they_are_rows_of_the_results(params: Params) -> None:
    table = pd.read_csv("metrics/results.csv")
    noisy, dead = (table[table["experiment"] == name] for name in ("noise", "dead_rows"))
    assert list(noisy["model"]) == list(params.models)
    assert set(noisy["steps"]) == {QUERIES}
    assert len(dead) == len(ROWS) * len(params.models)
    assert table.loc[dead.index, "pi"].isna().all()


def test_the_gate_has_a_rule_for_them(params: Params, ledgers: dict[str, pd.DataFrame]) -> None:
    assert params.gate is not None
    wide = replace(params.gate, images=1, draws=1, accuracy_margin=0.9, attack_margin=0.9)
    verdict = judged(ledgers, replace(params, gate=wide))
    names = {rule.name for rule in verdict.rules}
    assert f"noise_epsilon{EPSILON}_steps{QUERIES}" in names
    assert {f"dead_rows_n{n}" for n in ROWS} < names


def test_the_gate_and_the_verdict_want_what_is_required(
    params: Params, ledgers: dict[str, pd.DataFrame]
) -> None:
    verdict = judged(ledgers, params, "noise")
    assert verdict.outcome == "NOT ENOUGH EVIDENCE"
    assert "missing: noise" in verdict.reasons
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert "`evaluate.noise`" not in judge(summary, "stuck-8").why
    attacks = summary["models"]["stuck-8"]["cost"]["attacks"]
    del attacks[f"noise_epsilon{EPSILON}_steps{QUERIES}"]
    assert "`evaluate.noise`" in judge(summary, "stuck-8").why


def test_they_are_tracked(params: Params) -> None:
    record = next(one for one in comparison(params) if one.run == "baseline")
    metrics = {(name, step) for name, _, step in record.metrics}
    assert (f"noise/error_rate_epsilon{EPSILON}_queries{QUERIES}", 0) in metrics
    assert {("by_n/dead_rows_error_rate", n) for n in ROWS} < metrics


def test_the_report_shows_them(params: Params) -> None:
    page = Path("reports/index.html").read_text()
    assert f"<td>noise, {QUERIES} queries</td>" in page, "in the table of the attacks"
    assert "<h3>Dead rows</h3>" in page, "a table of its own"
    assert f"<td>fooled in noise, {QUERIES} queries, epsilon {EPSILON}/255</td>" in page
    figure = Path("plots/error_rates.svg").read_text()
    for words in ("noise", "epsilon of the noise", "dead_rows", "dead rows"):
        assert f"<!-- {words} -->" in figure
        assert f"<!-- {words} -->" in page


def test_attacks_by_name_reach_the_same_readers(
    params: Params, ledgers: dict[str, pd.DataFrame]
) -> None:
    for ledger in ledgers.values():
        assert set(ledger.loc[ledger["experiment"] == "pgd:strong", "epsilon"]) == {40}
        assert "cw:late" not in set(ledger["experiment"])
    table = pd.read_csv("metrics/results.csv")
    assert list(table.loc[table["experiment"] == "jsma:few", "n"]) == [64] * len(params.models)
    attacks = pd.read_csv("metrics/attacks.csv").set_index(["model", "attack"])
    assert attacks.loc[("baseline", "noise"), "queries"] == QUERIES
    strong = attacks.loc[("baseline", "pgd:strong")]
    assert (strong["norm"], strong["budget"], strong["steps"]) == ("linf", 40, 4)
    assert strong["images"] + strong["wrong_unchanged"] == 20
    assert strong["mean_linf"] == 40
    late = attacks.loc[("baseline", "cw:late")]
    assert late["images"] == 0 < late["not_attacked"]
    assert late["problem"] == "its 1e-06 seconds were over"
    page = Path("reports/index.html").read_text()
    assert "<td>pgd:strong</td>" in page
    assert "<h3>Robust accuracy</h3>" in page
    record = next(one for one in comparison(params) if one.run == "baseline")
    names = {name for name, _, _ in record.metrics}
    assert "pgd:strong/error_rate_epsilon40_steps4" in names
    side = Side("A", {"baseline": ledgers["baseline"]}, {})
    compared = {one.setting for one in compare_sides(side, replace(side, name="B"))}
    assert "pgd:strong epsilon 40 4 steps" in compared


def test_robust_accuracy_is_the_worst_of_all_attacks(params: Params) -> None:
    summary = json.loads(Path("metrics/summary.json").read_text())
    found = {
        (entry["norm"], entry["budget"]): entry
        for entry in summary["models"]["baseline"]["robust_accuracy"]
    }
    assert ("l2", 900) not in found, "no image was attacked in time"
    linf = found["linf", 40]
    assert set(linf["attacks"]) >= {"whitebox_iterated, 5 steps", "pgd:strong, 4 steps"}
    most = max(counts["fooled"] for counts in linf["attacks"].values())
    assert linf["fooled"] >= most + linf["wrong_unchanged"]
    assert linf["images"] == 20
    assert linf["robust"]["value"] == pytest.approx(1 - linf["fooled"] / 20)


def test_masked_gradients_are_sought_with_them(
    params: Params, ledgers: dict[str, pd.DataFrame]
) -> None:
    kept = {name: held_out(ledger) for name, ledger in ledgers.items()}
    _, table = read_results(Path("metrics"))
    nothing = pd.DataFrame()
    known = Comparison(params, kept, common_images(kept), table, nothing, {})
    checks = [check.words for check in gradient_checks(known)]
    words = f"{QUERIES} queries without a gradient fool no more than 5 steps, at epsilon {EPSILON}"
    assert checks.count(words) == len(params.models)


def test_the_terminal_has_its_column(params: Params) -> None:
    text = result_table(*read_results(Path("metrics")))
    assert "noise %" in text.splitlines()[0]
    words = f"Wrong on noisy images: noise, the worst of a few (epsilon {EPSILON}/255)."
    assert words in " ".join(text.split())


def test_two_results_are_compared_in_them(params: Params, ledgers: dict[str, pd.DataFrame]) -> None:
    side = Side("A", {"baseline": ledgers["baseline"]}, {})
    found = {one.setting for one in compare_sides(side, replace(side, name="B"))}
    assert f"noise epsilon {EPSILON} {QUERIES} queries" in found
