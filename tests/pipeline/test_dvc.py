"""The whole chain through `dvc repro` on the toy set, and what a change runs again."""

import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT, draw_image
from tests.support.repository import ENVIRONMENT, run, run_with, running
from tests.support.toys import STAGES, Toys, ran
from tests.support.waiting import wait


def repro(root: Path, *options: str) -> set[str]:
    """Run the pipeline; returns the stages that ran."""
    return ran(run(root, "dvc", "repro", *options, off=True))


def edit(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert text.count(old) == 1
    (root / "params.yaml").write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def repository(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's layout with toy images and parameters, run once."""
    return toys.committed(tmp_path_factory.mktemp("repository"))


def test_nothing_to_do(repository: Path) -> None:
    assert repro(repository) == set()
    table = pd.read_csv(repository / "metrics" / "results.csv")
    assert set(table["model"]) == {"baseline", "clean", "stuck-8"}


def test_a_changed_arm_runs_again_with_its_evaluation_alone(repository: Path) -> None:
    edit(repository, "n: 8, values: stuck}", "n: 8, values: stuck, mix: 0.25}")
    # The arms are among the parameters of `generate`; the bytes it draws stay as they are.
    assert repro(repository) == {"generate", "finetune@stuck-8", "evaluate@stuck-8", "compare"}


def test_changed_test_draws_retrain_nothing(repository: Path) -> None:
    edit(repository, "test_seed: 6", "test_seed: 60")
    stages = repro(repository)
    assert "generate" in stages
    assert "evaluate@baseline" in stages
    assert not {stage for stage in stages if stage.startswith(("baseline", "finetune", "attack"))}


def test_a_changed_byte_in_the_data_is_noticed(repository: Path) -> None:
    victim = repository / "data" / "bad" / "000.png"
    victim.unlink()
    draw_image(0, 12345).save(victim)
    assert repro(repository, "select") == {"select"}
    victim.unlink()
    draw_image(0, 0).save(victim)
    assert repro(repository) == set(), "DVC's run cache has it"


def test_images_of_another_size_are_refused_and_the_advice_makes_new_ones(repository: Path) -> None:
    edit(repository, "side: 16", "side: 12")
    said = run(repository, "pixelproof", "stage", "generate", code=5, off=True)
    assert "expected images of select.side = 12, got those of 16" in said
    remedy, rest = re.findall("`(.+?)`", said)
    assert "Running stage 'select'" in run(repository, *remedy.split(), off=True)
    run(repository, "pixelproof", "stage", "generate", off=True)
    assert rest == "dvc repro"
    edit(repository, "side: 12", "side: 16")
    repro(repository)


def test_the_documents_table_of_experiments_shows_what_it_names(repository: Path) -> None:
    page = (ROOT / "docs" / "team.md").read_text()
    (line,) = re.findall(r"^dvc exp show .*$", page, re.MULTILINE)
    said = run(repository, *shlex.split(line), "--md").splitlines()
    table = [[one.strip() for one in row.split("|")[1:-1]] for row in said if "|" in row]
    head, _, workspace = table[:3]
    models = [f"models.{name}" for name in ("baseline", "clean", "stuck-8")]
    figures = [f"{one}.{key}.value" for one in models for key in ("clean_accuracy", "pi")]
    assert head == ["Experiment", *figures, "finetune.epochs"]
    assert workspace[0] == "workspace"
    assert all(workspace)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_stage_dies_with_the_dvc_that_started_it(repository: Path, shell: str) -> None:
    if not Path(shell).exists():
        pytest.skip(f"no {shell} here")
    edit(repository, "epochs: 4", "epochs: 4000")
    checkpoints = repository / "artifacts" / "checkpoints" / "baseline"
    shutil.rmtree(checkpoints, ignore_errors=True)
    environment = ENVIRONMENT | {
        "SHELL": shell,
        "PIXELPROOF_TRACKING": "off",
    }  # dvc runs a stage through it
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=repository, env=environment, stdout=subprocess.DEVNULL
    )
    wait(lambda: list(checkpoints.glob("*/state.pt")))
    assert running(repository, "stage baseline"), "in the midst of the training"
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait(lambda: not running(repository, "stage baseline"), 20)
    assert not list((repository / "artifacts" / "models").glob("*baseline*"))
    edit(repository, "epochs: 4000", "epochs: 4")
    repro(repository)


def test_links_into_dvcs_cache_do_as_well_as_copies(repository: Path) -> None:
    expected = (repository / "metrics" / "results.csv").read_bytes()
    run(repository, "dvc", "config", "cache.type", "symlink")
    run(repository, "dvc", "checkout", "-q", "--relink")
    assert (repository / "data" / "bad" / "000.png").is_symlink()
    # Cold, and with another order of sets than before: what depends on that would differ.
    cold = ENVIRONMENT | {"PIXELPROOF_TRACKING": "off", "PYTHONHASHSEED": "7"}
    assert ran(run_with(cold, repository, "dvc", "repro", "-f")) == STAGES
    for name in ("images/train.npy", "models/clean/model.safetensors", "ledger/clean.parquet"):
        assert (repository / "artifacts" / name).is_symlink()
    assert (repository / "metrics" / "results.csv").read_bytes() == expected
    assert "Nothing is damaged" in run(repository, "pixelproof", "repair")
    foreign = repository / "data" / "bad" / "foreign.png"
    foreign.symlink_to("/etc/hostname")
    said = run(repository, "pixelproof", "stage", "select", code=3, off=True)
    assert "foreign.png: a link that leaves" in said
    foreign.unlink()
