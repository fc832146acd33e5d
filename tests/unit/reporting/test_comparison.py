from typing import Any

import numpy as np
import pandas as pd
import pytest

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.errors import DataError, IntegrityError
from pixelproof.evaluation.ledger import COLUMNS, LedgerWriter, read_ledger, wrong_by_image
from pixelproof.params.project import Params, parse_params
from pixelproof.reporting.results import RESULT_COLUMNS, results
from pixelproof.reporting.rows import common_images, without
from pixelproof.reporting.summary import summary
from pixelproof.reporting.text import result_table
from pixelproof.reporting.verdict import verdict

CLASSES = ["bad", "good"]


def params(**changes: Any) -> Params:
    arm = {"baseline": "base"}
    return parse_params(
        {
            "select": {"side": 16},
            "baselines": {"base": {"classifier": "efficientnet_lite0"}},
            "finetune": {"arms": {"clean": arm, "hard": {**arm, "n": 8, "values": "stuck"}}},
            "models": {
                "base": {"origin": "base"},
                "clean": {"origin": "base"},
                "hard": {"origin": "base"},
            },
            "evaluate": {"draws": 3, "stuck": {"n": [8, 64]}},
            "compare": {"reference": {"experiment": "stuck", "n": 64}, "resamples": 400},
            **changes,
        }
    )


def ledger(wrong_clean: list[int], rate: float, seed: int, count: int = 60) -> pd.DataFrame:
    """A model that is wrong on some images unchanged, and at a rate on changed ones."""
    random = np.random.default_rng(seed)
    writer = LedgerWriter(CLASSES)
    names = np.array([f"{at:016x}" for at in range(count)], dtype=object)
    truth = np.arange(count) % 2
    labels = np.array(CLASSES, dtype=object)[truth]
    margin = np.zeros(count, np.float32)
    clean = truth.copy()
    clean[wrong_clean] ^= 1
    writer.add("clean", names, labels, clean, margin, split="held_out", n=0, draw=0)
    right = np.flatnonzero(clean == truth)
    for draw in range(3):
        for n in (8, 64):
            flipped = random.random(len(right)) < rate * n / 64
            setting = {"n": n, "values": "stuck", "area": 16, "draw": draw, "split": "held_out"}
            predicted = truth[right] ^ flipped
            writer.add("stuck", names[right], labels[right], predicted, margin[right], **setting)
    fooled = np.array([1, 5, 9])
    setting = {"epsilon": 4, "steps": 1, "draw": 0, "split": "held_out"}
    writer.add(
        "transfer_fgsm", names[fooled], labels[fooled], truth[fooled], margin[fooled], **setting
    )
    return pd.concat(writer._parts, ignore_index=True)


@pytest.fixture
def ledgers() -> dict[str, pd.DataFrame]:
    return {
        "base": ledger([0, 1], 0.5, 1),
        "clean": ledger([1, 2], 0.5, 2),
        "hard": ledger([3], 0.05, 3),
    }


def test_the_common_set_is_what_all_models_get_right(ledgers: dict[str, pd.DataFrame]) -> None:
    common = common_images(ledgers)
    assert common_images(ledgers, 1) == common[:1]
    assert common == [f"{at:016x}" for at in range(4, 60)]


def test_no_common_image(ledgers: dict[str, pd.DataFrame]) -> None:
    none_right = {**ledgers, "hard": ledger(list(range(60)), 0.1, 4)}
    with pytest.raises(DataError, match=r"right by all of base, clean, hard, .* hard 0\)"):
        common_images(none_right)
    with pytest.raises(DataError, match="no training image is"):
        common_images(none_right, split="training")


def test_every_figure_follows_from_its_counts(ledgers: dict[str, pd.DataFrame]) -> None:
    common = common_images(ledgers)
    table = results(ledgers, common, 16)
    assert list(table.columns) == RESULT_COLUMNS
    assert len(table) == 3 * (1 + 2 + 1)
    for row in table.to_dict("records"):
        assert row["error_rate"] == pytest.approx(row["wrong"] / (row["images"] * row["draws"]))
        assert row["error_low"] <= row["error_rate"] <= row["error_high"]
        assert row["protocol"] == "held_out"
        if row["experiment"] == "stuck":
            assert (row["images"], row["draws"]) == (56, 3)
            for key, rate in (("pi", "error_rate"), ("pi_low", "error_low")):
                assert row[key] == pytest.approx(pixel_index(row[rate], row["n"], 16, "stuck", 16))
        else:
            assert np.isnan(row["pi"])
    by = table.set_index(["model", "experiment", "n"])
    assert by.loc[("base", "clean", 0), "images"].item() == 60
    assert by.loc[("base", "clean", 0), "wrong"].item() == 2
    fooled = table[table["experiment"] == "transfer_fgsm"]
    assert fooled["images"].tolist() == [3, 3, 3]


def test_wrong_is_counted_as_in_a_plain_loop(ledgers: dict[str, pd.DataFrame]) -> None:
    common = common_images(ledgers)
    table = results(ledgers, common, 16).set_index(["model", "n"])
    for model, rows in ledgers.items():
        count = 0
        for row in rows.itertuples():
            chosen = row.experiment == "stuck" and row.n == 64 and row.image in common
            count += chosen and row.prediction != row.label
        assert table.loc[(model, 64), "wrong"].item() == count


def test_the_summary_compares_at_the_reference(ledgers: dict[str, pd.DataFrame]) -> None:
    common = common_images(ledgers)
    digest = summary(ledgers, common, params())
    assert digest["reference"] == {"experiment": "stuck", "n": 64, "values": "stuck", "area": 16}
    models = digest["models"]
    assert "versus_baseline" not in models["base"]
    assert "versus_control" not in models["clean"]
    rows = {m: one[(one["experiment"] == "stuck") & (one["n"] == 64)] for m, one in ledgers.items()}
    wrong = {model: wrong_by_image(one, common) for model, one in rows.items()}
    against = models["hard"]["versus_control"]
    assert against["difference"] == pytest.approx(wrong["hard"].mean() - wrong["clean"].mean())
    assert against["low"] < against["difference"] < against["high"] < 0
    assert (against["images"], against["draws"]) == (56, 3)
    assert models["hard"]["error_rate"] == rate_interval(wrong["hard"])._asdict()
    assert models["base"]["clean_accuracy"]["value"] == pytest.approx(58 / 60)
    assert models["base"]["recall"]["bad"]["value"] == pytest.approx(29 / 30)
    flips = models["base"]["flips"]
    assert sum(sum(one.values()) for one in flips.values()) == wrong["base"].sum()
    assert set(flips) == {"bad", "good"}
    assert "bad" not in flips["bad"]


def test_images_that_a_model_has_seen_are_left_out(ledgers: dict[str, pd.DataFrame]) -> None:
    left = without(ledgers["base"], {f"{7:016x}"})
    assert f"{7:016x}" not in set(left["image"])
    assert left["image"].nunique() == 59


def test_a_missing_draw_is_an_error(ledgers: dict[str, pd.DataFrame]) -> None:
    rows = ledgers["hard"]
    holes = rows.drop(rows[(rows["experiment"] == "stuck")].index[5])
    with pytest.raises(IntegrityError, match="lacks a draw"):
        results({"hard": holes}, common_images(ledgers), 16)


def test_words_say_what_the_figures_do(ledgers: dict[str, pd.DataFrame]) -> None:
    common = common_images(ledgers)
    counts = {"common_images": len(common), "held_out_images": 60}
    digest = {**summary(ledgers, common, params()), **counts}
    assert "with 64 stuck pixels (25 %), on 56 images, it errs 0." in verdict(digest)
    assert "times as often as its control clean" in verdict(digest)
    assert "was not compared when this was made" in verdict(digest), "of an earlier version"
    text = result_table(digest, results(ledgers, common, 16))
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["base", "clean", "hard"]
    same = {**ledgers, "hard": ledgers["clean"]}
    digest = {**summary(same, common_images(same), params()), "common_images": len(common)}
    assert "it cannot be told apart from its control" in verdict(digest)


def test_a_ledger_is_read_as_it_was_written(tmp_path: Any, ledgers: Any) -> None:
    path = tmp_path / "ledger" / "x.parquet"
    writer = LedgerWriter(CLASSES)
    names = np.array(["a", "b"], dtype=object)
    margin = np.array([1.5, -2], np.float32)
    writer.add("clean", names, names, np.array([0, 1]), margin, split="held_out", n=0, draw=0)
    writer.write(path, {"device": "cpu", "threads": 2})
    found = read_ledger(path)
    assert list(found.columns) == list(COLUMNS)
    assert found["prediction"].tolist() == CLASSES
    assert found["epsilon"].isna().all()
    assert found.attrs == {"device": "cpu", "threads": 2}
    with pytest.raises(DataError, match=r"y\.parquet: missing"):
        read_ledger(path.with_name("y.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match="expected a ledger"):
        read_ledger(path)
