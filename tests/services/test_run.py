"""What a person starts: the tracked run, and the page of the runs."""

import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pixelproof.operations import run as workflow
from pixelproof.params.project import load_params
from tests.conftest import ROOT
from tests.support.repository import ENVIRONMENT, run, running
from tests.support.servers import free_port
from tests.support.toys import Toys
from tests.support.waiting import busy, wait


@pytest.fixture(scope="module")
def repository(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.fresh(tmp_path_factory.mktemp("workflow"))


def edit(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert text.count(old) == 1
    (root / "params.yaml").write_text(text.replace(old, new))


def status(root: Path) -> list[str]:
    """Of the pipeline runs, the newest first."""
    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    found = client.search_runs(["1"], "tags.`pixelproof.kind` = 'pipeline'")
    return [str(one.info.status) for one in found]


def start_training(root: Path) -> "subprocess.Popen[bytes]":
    """A run that is in the midst of the training of the original."""
    checkpoints = root / "artifacts" / "checkpoints"
    shutil.rmtree(checkpoints, ignore_errors=True)
    process = subprocess.Popen(
        ["pixelproof", "run"], cwd=root, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    wait(lambda: list(checkpoints.glob("*/*/state.pt")), 120)
    assert running(root, "stage baseline")
    return process


@pytest.mark.parametrize(
    ("number", "code", "left"),
    [(signal.SIGKILL, -9, "RUNNING"), (signal.SIGTERM, 143, "KILLED")],
)
def test_nothing_outlives_the_run(
    repository: Path, number: signal.Signals, code: int, left: str
) -> None:
    edit(repository, "epochs: 4", f"epochs: {4000 + number}")
    process = start_training(repository)
    process.send_signal(number)
    assert process.wait(15 * busy()) == code
    wait(lambda: not running(repository, ""), 20)
    assert status(repository)[0] == left
    edit(repository, f"epochs: {4000 + number}", "epochs: 4")


def test_a_failing_stage_and_what_was_left_running(repository: Path) -> None:
    edit(repository, "weights: none", "weights: missing.pt")
    out = run(repository, "pixelproof", "run", code=1)
    assert "missing.pt: no such file of weights" in out
    assert "a stage failed, see above" in out
    assert "Traceback" not in out
    assert status(repository) == ["FAILED", "KILLED", "KILLED"]
    edit(repository, "weights: missing.pt", "weights: none")


def test_a_gpu_is_pointed_out_under_the_default_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(ROOT / "params.yaml")
    monkeypatch.setattr(workflow, "DEMO", ROOT / "profiles" / "elpv.yaml")
    monkeypatch.setattr(workflow, "GPU", tmp_path / "none")
    assert workflow._hint(params) is None
    monkeypatch.setattr(workflow, "GPU", tmp_path)
    hint = workflow._hint(params)
    assert hint is not None
    assert "profile use resnet101" in hint
    assert "\n" not in hint
    assert workflow._hint(load_params(ROOT / "profiles" / "tables.yaml")) is None


def test_a_pipeline_that_dvc_alone_has_left_is_closed_later(repository: Path) -> None:
    run(repository, "dvc", "repro", "-q", "-f", "-s", "select", cold=True)
    assert status(repository)[0] == "RUNNING"
    edit(repository, "resamples: 500", "resamples: 400")
    run(repository, "dvc", "repro", "-q", "-f", "-s", "select", cold=True)
    assert status(repository)[:2] == ["RUNNING", "KILLED"]


def test_the_page_opens_on_the_experiment(repository: Path) -> None:
    port = free_port()
    command = ["pixelproof", "ui", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=repository, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/#/experiments/1/runs" in line
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=300) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGINT)  # as Ctrl-C
        try:
            process.communicate(timeout=20 * busy())
        finally:
            process.kill()  # it leaves nothing behind where this fails
    assert process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=300)
