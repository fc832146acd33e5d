"""The stages one after the other on the toy set, in this process; then what each left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pixelproof
from pixelproof.cli import main
from pixelproof.data.adversarial_sets import load_adversarial_set
from pixelproof.data.image_set import load_images
from pixelproof.data.reading import read_image, to_array
from pixelproof.evaluation.ledger import read_ledger
from pixelproof.params.project import load_params
from tests.conftest import ROOT, enter_project, write_params

STEPS = [
    ["select"],
    ["baseline", "baseline"],
    ["generate"],
    ["finetune", "clean"],
    ["finetune", "stuck-8"],
    ["attack", "baseline"],
    ["evaluate", "baseline"],
    ["evaluate", "clean"],
    ["evaluate", "stuck-8"],
    ["compare"],
]


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after all stages."""
    with pytest.MonkeyPatch.context() as patch:
        root = enter_project(tmp_path_factory.mktemp("stages"), patch)
        for step in STEPS:
            assert main.main(["stage", *step]) == 0
    return root


@pytest.fixture
def finished(run_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; the working directory."""
    shutil.copytree(run_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXELPROOF_TRACKING", "off")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_each_stage_leaves_what_the_next_needs(finished: Path) -> None:
    held_out = load_images(Path("artifacts/images"), "held_out", load_params().select)
    train = load_images(Path("artifacts/images"), "train", load_params().select)
    for name in ("baseline", "clean", "stuck-8"):
        folder = Path("artifacts/models", name)
        assert {path.name for path in folder.iterdir()} == {
            "model.safetensors",
            "classifier.json",
            "seen.txt",
        }
        assert len((folder / "seen.txt").read_text().split()) == len(train.ids)
        curve = pd.read_csv(f"plots/curves/{name}.csv")
        assert list(curve.columns) == ["epoch", "loss", "accuracy", "learning_rate"]
        assert len(curve) == (4 if name == "baseline" else 2)
    assert not Path("artifacts/checkpoints/clean").exists()
    assert not list(Path("artifacts").rglob("*.partial"))

    examples = load_adversarial_set(Path("artifacts/adversarial/baseline"))
    about = json.loads(Path("artifacts/adversarial/baseline/manifest.json").read_text())
    assert about["fooled"] == len(examples.ids) > 0
    assert about["success_rate"] == about["fooled"] / about["attacked"]
    rows = np.searchsorted(held_out.ids, examples.ids)
    moved = examples.examples.astype(int) - held_out.pixels[rows]
    assert abs(moved).max() == about["epsilon"] == 40

    whole = read_ledger(Path("artifacts/ledger/stuck-8.parquet"))
    assert set(whole["split"]) == {"held_out", "train"}
    ledger = whole[whole["split"] == "held_out"]
    clean = ledger[ledger["experiment"] == "clean"]
    assert len(clean) == len(held_out.ids)
    right = int((clean["prediction"] == clean["label"]).sum())
    for experiment, per_image in (("pixels", 2 * 3), ("stuck", 2 * 3), ("whitebox_fgsm", 2)):
        assert (ledger["experiment"] == experiment).sum() == right * per_image
    assert (ledger["experiment"] == "transfer_fgsm").sum() == len(examples.ids)
    assert ((ledger["margin"] >= 0) >= (ledger["prediction"] == ledger["label"])).all()
    own = read_ledger(Path("artifacts/ledger/baseline.parquet"))
    own = own[own["experiment"] == "transfer_fgsm"]
    assert (own["prediction"] != own["label"]).all(), "each example fools its original"

    digest = json.loads(Path("metrics/summary.json").read_text())
    assert set(digest["models"]) == {"baseline", "clean", "stuck-8"}
    assert digest["models"]["baseline"]["clean_accuracy"]["value"] > 0.8
    assert digest["held_out_images"] == len(held_out.ids)
    assert digest["left_out_as_seen"] == 0
    table = pd.read_csv("metrics/results.csv")
    assert len(table) == 3 * (1 + 2 + 2 + 2 + 1 + 2 + 2 + 1 + 3) + 2 + 2 + 3 * (1 + 2 + 2)
    assert list(pd.read_csv("metrics/boundary.csv")["model"]) == ["baseline", "clean", "stuck-8"]
    assert Path("plots/error_rates.svg").read_text().startswith("<?xml")


def test_the_worst_pixels_found_are_no_better_than_those_at_random(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_params()
    for model in params.models:
        ledger = read_ledger(Path(f"artifacts/ledger/{model}.parquet"))
        ledger = ledger[ledger["split"] == "held_out"]
        wrong = ledger["prediction"] != ledger["label"]

        def fooled(experiment: str, n: int, rows: Any = ledger, wrong: Any = wrong) -> set[str]:
            return set(rows[wrong & (rows["experiment"] == experiment) & (rows["n"] == n)]["image"])

        searched = set(ledger[ledger["experiment"] == "worst_stuck"]["image"])
        assert len(searched) == 10
        few, many = fooled("worst_stuck", 8), fooled("worst_stuck", 64)
        assert few <= many
        assert fooled("stuck", 8) & searched <= few
        assert fooled("stuck", 64) & searched <= many
        assert len(many) > 5, "where random ones fool it in none"

    table = pd.read_csv("metrics/results.csv")
    worst = table[(table["experiment"] == "worst_stuck") & (table["n"] == 64)].set_index("model")
    summary = json.loads(Path("metrics/summary.json").read_text())
    for model, entry in summary["models"].items():
        assert entry["pi_worst"]["n"] == 64
        assert entry["pi_worst"]["value"] == worst.loc[model, "pi"] > entry["pi"]["value"]
    assert main.main(["show"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "At random, 64 stuck pixels (25 %) change " in words
    page = Path("reports/index.html").read_text()
    assert "worst, 30 queries" in page
    assert "the worst 64 that a search finds" in page


def test_originals_alone_on_images_that_are_all_held_out(project: Path) -> None:
    def without_training(content: dict[str, Any]) -> None:
        content["select"]["split"] = "none"
        content["baselines"] = {
            name: {**content["baselines"]["baseline"], "epochs": 0, "seed": seed}
            for seed, name in enumerate(("one", "two"))
        }
        content["finetune"]["arms"] = {}
        content["models"] = {name: {"origin": name} for name in ("one", "two")}
        content["compare"]["control"] = None
        content["evaluate"] |= {"protocols": ["held_out"], "magnitude": None}

    write_params(Path("params.yaml"), without_training)
    for step in (
        ["select"],
        ["baseline", "one"],
        ["baseline", "two"],
        ["generate"],
        ["attack", "one"],
        ["attack", "two"],
        ["evaluate", "one"],
        ["evaluate", "two"],
    ):
        assert main.main(["stage", *step]) == 0
    code = main.main(["stage", "compare"])
    ledgers = [read_ledger(Path(f"artifacts/ledger/{name}.parquet")) for name in ("one", "two")]
    clean = [one[one["experiment"] == "clean"] for one in ledgers]
    assert all(len(one) == 80 for one in clean)
    right = [set(one.loc[one["prediction"] == one["label"], "image"]) for one in clean]
    common = len(right[0] & right[1])  # of two random networks, so there may be none
    assert code == (0 if common else 3)
    if common:
        digest = json.loads(Path("metrics/summary.json").read_text())
        assert digest["common_images"] == common
        assert main.main(["show"]) == 0


def test_a_second_run_gives_the_same_bytes(finished: Path) -> None:
    def contents() -> dict[str, bytes]:
        folders = [Path("artifacts"), Path("metrics"), Path("plots"), Path("reports")]
        paths = [path for one in folders for path in one.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in paths}

    before = contents()
    for step in STEPS:
        assert main.main(["stage", *step]) == 0
    assert contents() == before


def test_without_a_common_image_the_report_says_so(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("artifacts/ledger/clean.parquet")
    ledger = read_ledger(path)
    other = {"bad": "good", "good": "bad"}
    ledger["prediction"] = ledger["label"].map(other).astype("string")  # a model always wrong
    ledger.to_parquet(path, index=False)
    capsys.readouterr()
    assert main.main(["stage", "compare"]) == 3
    said = capsys.readouterr().err.splitlines()[-1].removeprefix("pixelproof: ")
    assert said.startswith("no held-out image is classified right by all of baseline, clean")
    assert "clean 0" in said
    assert said in Path("reports/index.html").read_text()


def test_what_a_person_sees(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["show"]) == 0
    shown = capsys.readouterr().out
    assert "stuck-8" in shown
    assert "with 64 stuck pixels (25 %), on " in shown
    assert "its control clean" in shown
    assert "of data (bad, good; 80 images); made on " in shown
    assert "Report:       reports/index.html" in shown
    weights = json.loads(Path("artifacts/models/stuck-8/classifier.json").read_text())["sha256"]
    words = {"words": "REJECTED: stuck-8", "weights": weights}
    Path("artifacts/gate").mkdir()
    Path("artifacts/gate/verdict.json").write_text(json.dumps(words))
    assert main.main(["show"]) == 0
    assert "The gate, on fresh draws: REJECTED: stuck-8" in capsys.readouterr().out
    Path("artifacts/gate/verdict.json").write_text(json.dumps({**words, "weights": "0" * 64}))
    assert main.main(["show"]) == 0
    assert "The gate" not in capsys.readouterr().out, "it was of other weights"
    assert "metrics/results.csv" in shown

    Path("data/broken.png").write_bytes(b"")
    good = "data/good/000.png"
    assert main.main(["predict", "artifacts/models/stuck-8", good, "data/broken.png"]) == 3
    out, err = capsys.readouterr()
    path, name, probability = out.strip().split("\t")
    assert path == good
    array = to_array(read_image(Path(good)).image, 16, "stretch")
    classifier = pixelproof.load(Path("artifacts/models/stuck-8"))
    import torch

    answer = classifier(torch.from_numpy(array[None])).softmax(dim=1)[0].detach()
    assert name == classifier.classes[int(answer.argmax())]
    assert float(probability) == pytest.approx(float(answer.max()), abs=1e-4)
    assert "data/broken.png" in err

    odd = Path(os.fsdecode(b"data/\xff\n.png"))
    shutil.copy(good, odd)
    assert main.main(["predict", "artifacts/models/stuck-8", str(odd)]) == 0
    assert capsys.readouterr().out.startswith("data/\\xff\\n.png\t")

    arguments = ["--draws", "stuck", "--n", "8", "--images", "3"]
    assert main.main(["export", "changed", *arguments]) == 0
    written = {str(one.relative_to("changed")) for one in Path("changed").rglob("*.png")}
    images = load_images(Path("artifacts/images"), "held_out", load_params().select)
    expected = set()
    for row, name in enumerate(images.paths[:3]):
        unchanged, changed = (
            f"{name.removesuffix('.png')}-{kind}.png" for kind in ("unchanged", "stuck-8px-draw0")
        )
        expected |= {unchanged, changed}
        first, second = (
            np.asarray(Image.open(Path("changed") / one)).transpose(2, 0, 1)
            for one in (unchanged, changed)
        )
        assert np.array_equal(first, images.pixels[row])
        assert 1 <= (first != second).any(axis=0).sum() <= 8
    assert written == expected
    assert main.main(["export", "changed"]) == 3, "an existing folder stays as it is"
    assert main.main(["export", "other", "--n", "65"]) == 2
    assert "--n: expected 1 to 64, got 65" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("results.csv", None, 3),
        ("results.csv", "", 5),
        ("results.csv", "a,b\n1,2\n", 5),
        ("summary.json", "{}", 5),
    ],
)
def test_results_that_are_none_are_named(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None, code: int
) -> None:
    shutil.copytree(ROOT / "metrics", "metrics")
    assert main.main(["show"]) == 0
    path = Path("metrics", name)
    path.unlink() if content is None else path.write_text(content)
    capsys.readouterr()
    assert main.main(["show"]) == code
    assert capsys.readouterr().err.startswith(f"pixelproof: metrics/{name}: ")


def test_what_cannot_be_written_is_told_before_the_training(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["stage", "select"]) == 0
    Path("plots").write_text("in the way")
    capsys.readouterr()
    assert main.main(["stage", "baseline", "baseline"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("pixelproof: plots/curves/baseline.csv: cannot be written: ")
    assert not list(Path("artifacts/checkpoints").rglob("state.pt"))


def test_who_reads_may_stop_reading(finished: Path) -> None:
    command = [sys.executable, "-m", "pixelproof.cli"]
    for arguments in (["predict", "artifacts/models/clean", "data/good"], ["show"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [*command, *arguments], stdout=write, stderr=subprocess.PIPE, check=False
        )
        os.close(write)
        assert done.stderr == b""
        assert done.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["stage", "finetune", "stuck-9"], 2, "did you mean 'stuck-8'"),
        (["stage", "finetune"], 2, "expected one of ['clean', 'stuck-8'] after it, got None"),
        (["stage", "select", "x"], 2, "expected nothing after it, got 'x'"),
        (["stage", "generate"], 3, "artifacts/images/manifest.json: missing; run `dvc repro`"),
        (["predict", "no\nwhere\x1b", "x.png"], 3, r"no\nwhere\x1b: expected a model"),
        (["show"], 3, "metrics/summary.json: missing"),
        (["predict", "nowhere", "x.png"], 3, "nowhere: expected a model folder"),
    ],
)
def test_errors_are_one_line_with_a_code(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    expected: str,
) -> None:
    assert main.main(arguments) == code
    err = capsys.readouterr().err
    assert expected in err
    assert len(err.splitlines()) == 1
    assert main.main(["--debug", *arguments]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_new_head_is_told_of_and_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def foreign(content: dict[str, Any]) -> None:
        content["baselines"]["baseline"]["classes"] = ["dented", "sound"]

    write_params(Path("params.yaml"), foreign)
    for step in STEPS[:2]:
        assert main.main(["stage", *step]) == 0
    why = "the classifier knows none of them"
    line = f"baseline baseline: a new head for the 2 classes of the images: {why}\n"
    assert line in capsys.readouterr().err
    about = json.loads(Path("artifacts/models/baseline/classifier.json").read_text())
    assert about["source"]["head_because"] == why


@pytest.mark.parametrize(
    "step", [["select"], ["baseline", "baseline"], ["finetune", "clean"], ["compare"]]
)
def test_defects_that_the_images_do_not_have_are_named_before_any_work(
    project: Path, capsys: pytest.CaptureFixture[str], step: list[str]
) -> None:
    def foreign(content: dict[str, Any]) -> None:
        content["compare"]["defects"] = ["defective"]

    if step != ["select"]:
        assert main.main(["stage", "select"]) == 0
    before = set(Path().rglob("*"))
    write_params(Path("params.yaml"), foreign)
    assert main.main(["stage", *step]) == 2
    expected = "compare.defects: expected classes of data/ (bad, good), got 'defective'; name in"
    assert expected in capsys.readouterr().err
    assert set(Path().rglob("*")) == before
