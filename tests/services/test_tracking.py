"""Runs in a real MLflow, from a toy pipeline that real DVC runs."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image

from pixelproof.errors import ParameterError, ServiceError
from pixelproof.system import files
from pixelproof.tracking import outbox, session, store
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.records import Record
from pixelproof.tracking.sending import Sender
from tests.conftest import write_params
from tests.support.repository import ENVIRONMENT, run
from tests.support.servers import free_port, mlflow_command, proxy, server, wait_for
from tests.support.toys import Toys
from tests.support.waiting import busy

MODELS = ["baseline", "clean", "stuck-8"]
RUNS = sorted([*MODELS, "select", "generate", "attack-baseline"])


@pytest.fixture(scope="module")
def repository(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project whose pipeline has run once, tracked."""
    return toys.tracked(tmp_path_factory.mktemp("tracked"))


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")


def runs(root: Path) -> dict[str, Any]:
    """All runs by name; the pipeline's under the empty name."""
    found = client(root).search_runs(["1"], max_results=1000)
    named = {one.data.tags.get("pixelproof.run", ""): one for one in found}
    assert len(named) == len(found), "a run is there twice"
    return named


def history(root: Path) -> dict[tuple[str, str], int]:
    """How many points each metric of each run has."""
    store = client(root)
    return {
        (name, key): len(store.get_metric_history(one.info.run_id, key))
        for name, one in runs(root).items()
        for key in one.data.metrics
    }


def test_one_run_a_model_below_one_of_the_pipeline(repository: Path) -> None:
    found = runs(repository)
    parent = found.pop("")
    assert sorted(found) == RUNS
    assert {one.info.status for one in [parent, *found.values()]} == {"FINISHED"}
    assert {one.data.tags["mlflow.parentRunId"] for one in found.values()} == {parent.info.run_id}
    commit = run(repository, "git", "rev-parse", "HEAD").strip()
    assert {one.data.tags["mlflow.source.git.commit"] for one in found.values()} == {commit}
    assert "its control clean" in parent.data.tags["mlflow.note.content"]
    assert "| stuck-8 |" in parent.data.tags["mlflow.note.content"]
    assert len(parent.data.tags["stages.ran"].split(", ")) == 10
    assert parent.data.tags["stages.cached"] == ""


def test_models_compare_by_the_same_names(repository: Path) -> None:
    found = runs(repository)
    params = {name: found[name].data.params for name in MODELS}
    assert len({frozenset(one) for one in params.values()}) == 1
    assert [params[name]["arm"] for name in MODELS] == ["original", "clean", "stuck-8"]
    assert [params[name]["n"] for name in MODELS] == ["0", "0", "8"]
    assert [params[name]["epochs"] for name in MODELS] == ["4", "2", "2"]
    summary = json.loads((repository / "metrics" / "summary.json").read_text())["models"]
    for name in MODELS:
        metrics = found[name].data.metrics
        for key in ("clean_accuracy", "balanced_accuracy", "pi"):
            bounds = [metrics[key], metrics[f"{key}_low"], metrics[f"{key}_high"]]
            assert bounds == [summary[name][key][bound] for bound in ("value", "low", "high")]
        assert {"stuck/pi_n64", "stuck/pi_n64_low", "stuck/pi_n64_high"} <= set(metrics)
        assert {"transfer_fgsm/error_rate_epsilon40", "train/loss"} <= set(metrics)
        assert "gradient_free/error_rate_epsilon40_queries20" in metrics
        assert next(iter(metrics)) == "clean_accuracy", "what MLflow's page of comparison opens on"
    points = history(repository)
    assert points["baseline", "train/loss"] == 4
    assert points["stuck-8", "train/accuracy"] == 2
    assert points["clean", "by_n/stuck_error_rate"] == 2


def test_the_images_are_known_by_the_hash_that_dvc_tracks(repository: Path) -> None:
    digest = (repository / "data.dvc").read_text().split("md5: ")[1].split()[0]
    inputs = runs(repository)["stuck-8"].inputs.dataset_inputs
    known = {one.dataset.name: (one.dataset.digest, one.tags[0].value) for one in inputs}
    assert known["data-train"] == (digest, "training")
    assert known["data-held_out"] == (digest, "evaluation")
    assert known["changes-stuck-8"][1] == "training"
    model = client(repository).get_logged_model(
        runs(repository)["stuck-8"].data.tags["pixelproof.model"]
    )
    told = {metric.key: metric.dataset_name for metric in model.metrics or []}
    assert told["pi"] == told["clean_accuracy"] == "data-held_out"
    assert model.tags.keys() >= {"pixelproof.sha256"}


def test_a_second_run_adds_nothing(repository: Path) -> None:
    before, points = runs(repository), history(repository)
    run(repository, "pixelproof", "run")
    after = runs(repository)
    assert {name: one.info.run_id for name, one in after.items()} == {
        name: one.info.run_id for name, one in before.items()
    }
    assert after[""].info.end_time == before[""].info.end_time
    assert history(repository) == points
    assert len(client(repository).search_logged_models(["1"])) == 3


def test_a_file_that_is_away_for_a_moment_is_kept_later(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIXELPROOF_TRACKING")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ledger = project / "clean.parquet"
    ledger.write_bytes(b"ledger")
    record = Record("clean", "model", "evaluation", metrics=[("pi", 2.0, 0)])
    record = replace(record, artifacts=[ledger.name], started=1.0, ended=2.0)
    sender = Sender(Tracker(store.find_store()))

    def send() -> tuple[list[str], int]:
        sender.flush()
        run_id = runs(project)["clean"].info.run_id
        kept = [one.path for one in client(project).list_artifacts(run_id)]
        return kept, len(client(project).get_metric_history(run_id, "pi"))

    outbox.put([record], "evaluate@clean", "key", None)
    ledger.rename(project / "elsewhere")  # as DVC does when it commits an output
    assert send() == ([], 1)
    (project / "elsewhere").rename(ledger)
    for _ in range(2):
        outbox.put([record], "", "key", None)
        assert send() == (["clean.parquet"], 1), "the file, and each figure once"


def test_a_stage_that_runs_again_updates(repository: Path) -> None:
    before, points = runs(repository), history(repository)
    run(repository, "dvc", "repro", "-q", "-f", "-s", "finetune@clean")
    assert runs(repository).keys() == before.keys()
    assert history(repository) == points, "the same figures are told once"


def test_what_was_cached_is_told_from_its_files(repository: Path) -> None:
    kept = repository / "kept"
    (repository / "mlruns").rename(kept)
    try:
        run(repository, "pixelproof", "run")
        found = runs(repository)
        assert sorted(found) == ["", *RUNS]
        before = MlflowClient(f"sqlite:///{kept}/mlflow.db").search_runs(["1"])
        for one in before:
            again = found[one.data.tags.get("pixelproof.run", "")].data
            assert (again.params, again.metrics) == (one.data.params, one.data.metrics)
    finally:
        shutil.rmtree(repository / "mlruns")
        kept.rename(repository / "mlruns")


def test_the_logged_model_answers_as_the_ledger_for_raw_images(repository: Path) -> None:
    model = runs(repository)["stuck-8"].data.tags["pixelproof.model"]
    manifest = json.loads((repository / "artifacts" / "images" / "manifest.json").read_text())
    rows = [row for row in manifest["images"] if row["split"] == "held_out"]
    raw = [np.asarray(Image.open(repository / "data" / row["path"])) for row in rows]
    np.save(repository / "raw.npy", np.stack(raw))
    script = (  # in a process and a folder of its own, as a person's service would
        "import sys, numpy, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model(sys.argv[2])\n"
        "raw = numpy.load(sys.argv[3])\n"
        "said = model.predict(raw)\n"
        "assert list(said.prediction) == list(model.predict(raw[:1]).prediction) + "
        "list(model.predict(raw[1:]).prediction)\n"
        "said.to_csv('said.csv', index=False)\n"
    )
    elsewhere = repository / "elsewhere"
    elsewhere.mkdir()
    uri = f"sqlite:///{repository}/mlruns/mlflow.db"
    arguments = [uri, f"models:/{model}", str(repository / "raw.npy")]
    run(elsewhere, sys.executable, "-c", script, *arguments)
    said = pd.read_csv(elsewhere / "said.csv")
    ledger = pd.read_parquet(repository / "artifacts" / "ledger" / "stuck-8.parquet")
    clean = ledger[ledger["experiment"] == "clean"].set_index("image")
    expected = clean.loc[[row["image"] for row in rows], "prediction"]
    assert list(said["prediction"]) == list(expected)
    files = [path.name for path in (repository / "mlruns").rglob("*") if model in str(path)]
    assert "model.safetensors" in files
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pth"))]
    assert "tiny_network.py" in files, "the network of a person's own comes along"


def test_a_project_that_was_moved_keeps_its_files(repository: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(repository, moved, symlinks=True)
    run(moved, "pixelproof", "run")  # tells nothing new
    found = runs(moved)
    assert {one.info.run_id for one in found.values()} == {
        one.info.run_id for one in runs(repository).values()
    }
    for one in found.values():
        assert one.info.artifact_uri.startswith(f"file://{moved}/mlruns/artifacts/")
    model = client(moved).get_logged_model(found["clean"].data.tags["pixelproof.model"])
    assert Path(model.artifact_location.removeprefix("file://"), "MLmodel").is_file()
    assert f"{moved}/mlruns" in model.artifact_location


def test_old_runs_are_pruned_and_what_newer_ones_need_stays(repository: Path) -> None:
    before = runs(repository)
    text = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(text.replace("resamples: 500", "resamples: 400"))
    run(repository, "pixelproof", "run")
    assert len(client(repository).search_runs(["1"])) == 2 * len(before)
    assert len(client(repository).search_logged_models(["1"])) == 3, "the weights are the same"
    out = run(repository, "pixelproof", "prune", "--keep", "1")
    assert out.startswith("7 runs and 0 logged models deleted")
    left = runs(repository)
    assert sorted(left) == ["", *RUNS]
    assert not {one.info.run_id for one in left.values()} & {
        one.info.run_id for one in before.values()
    }
    assert len(client(repository).search_logged_models(["1"])) == 3
    run(repository, "dvc", "status", "-q")  # the workspace lacks nothing
    assert "from 1" in run(repository, "pixelproof", "prune", "--keep", "0", code=2)


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "project").mkdir()
    write_params(tmp_path / "project" / "params.yaml")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield tmp_path / "project"


class TestStore:
    def test_its_own_by_default(self, project_folder: Path) -> None:
        folder = project_folder / "mlruns"
        assert store.find_store() == store.Store(f"sqlite:///{folder}/mlflow.db", folder)

    def test_of_the_project_where_dvc_runs_an_experiment(
        self, project_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = project_folder / ".dvc" / "tmp" / "exps" / "x"
        copy.mkdir(parents=True)
        (copy / "params.yaml").touch()
        monkeypatch.chdir(copy)
        assert store.find_store().folder == project_folder / "mlruns"

    def test_a_relative_database_is_the_projects_or_refused(
        self, project_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/mlflow.db")
        assert store.find_store().uri == f"sqlite:///{project_folder}/runs/mlflow.db"
        monkeypatch.chdir(project_folder.parent)
        with pytest.raises(ParameterError, match=r"absolute address, sqlite:////folder/runs"):
            store.find_store()

    @pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "./mlruns"])
    def test_a_folder_is_refused(
        self, uri: str, project_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ParameterError, match="expected a server"):
            store.find_store()

    def test_a_password_is_not_shown(
        self, project_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri = f"http://me:canary@127.0.0.1:{free_port()}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ServiceError, match=r"http://…@127\.0\.0\.1") as caught:
            store.check_store()
        assert "canary" not in str(caught.value)


def test_a_password_is_not_shown_in_mid_run(
    project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    remote = store.Store(f"http://me:canary@127.0.0.1:{free_port()}", None)
    with pytest.raises(ServiceError, match=r"//…@127\.0\.0\.1") as caught:
        Tracker(remote)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("command", [["pixelproof", "run"], ["pixelproof", "stage", "select"]])
def test_a_dead_server_is_told_at_once(command: list[str], toys: Toys, tmp_path: Path) -> None:
    root = toys.fresh(tmp_path)
    uri = f"http://127.0.0.1:{free_port()}"
    start = time.monotonic()
    out = run(root, *command, code=4, uri=uri)
    assert time.monotonic() - start < 30 * busy()
    assert f"MLflow at {uri} does not answer" in out
    assert "go on without: PIXELPROOF_TRACKING=off" in out
    assert not (root / "artifacts" / "images").exists(), "nothing was done"
    if command[1] == "stage":
        run(root, *command, uri=uri, off=True)
        assert (root / "artifacts" / "images").exists()


def test_several_processes_make_one_fresh_database(project_folder: Path) -> None:
    code = (
        "from pixelproof.tracking.store import find_store\n"
        "from pixelproof.tracking.client import Tracker\n"
        "print(Tracker(find_store()).begin('key', 'test'))\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=project_folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1


def test_a_server_that_goes_away_is_told_later(toys: Toys, tmp_path: Path) -> None:
    home = tmp_path / "server"
    home.mkdir()
    root = toys.fresh(tmp_path / "project")
    port = str(free_port())
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", *mlflow_command(port, home)]
    with server(command, home):
        wait_for(f"{uri}/health", home / "log")
        run(root, "pixelproof", "stage", "select", uri=uri)
    out = run(root, "pixelproof", "stage", "baseline", "baseline", uri=uri)
    assert "1 records wait in artifacts/spool" in out
    assert "`pixelproof sync`" in out
    run(root, "pixelproof", "sync", code=4, uri=uri)
    assert len(list((root / "artifacts" / "spool").glob("*.json"))) == 1
    with server(command, home):
        wait_for(f"{uri}/health", home / "log")
        assert run(root, "pixelproof", "sync", uri=uri).strip() == "1 records sent"
        found = MlflowClient(uri).search_runs(["1"])
        names = {one.info.run_name for one in found}
        assert {"select", "baseline"} < names
        assert len(found) == 3
    assert not list((root / "artifacts" / "spool").glob("*.json"))


def test_lost_replies_errors_and_silence(
    toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, root = tmp_path / "server", toys.fresh(tmp_path / "project")
    home.mkdir()
    port = str(free_port())
    lost: set[str] = set()
    mode = "lose"

    def behave(path: str) -> str:
        if mode != "lose" or not path.startswith("/api") or path in lost or "search" in path:
            return "pass" if path == "/health" or mode == "lose" else mode
        lost.add(path)  # the first reply of each kind is lost
        return "lose"

    with server([sys.executable, "-m", *mlflow_command(port, home)], home):
        wait_for(f"http://127.0.0.1:{port}/health", home / "log")
        with proxy(port, behave) as uri:
            run(root, "pixelproof", "stage", "select", uri=uri)
            run(root, "pixelproof", "sync", uri=uri)
            assert "/api/2.0/mlflow/runs/create" in lost
            client = MlflowClient(f"http://127.0.0.1:{port}")
            names = [one.info.run_name.partition(" ")[0] for one in client.search_runs(["1"])]
            assert sorted(names) == ["pipeline", "select"]
            for number, fault in enumerate(["500", "429", "hang"], 1):
                mode = fault
                (root / "artifacts" / "spool" / "session").unlink()
                monkeypatch.setitem(ENVIRONMENT, "MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
                start = time.monotonic()
                out = run(root, "pixelproof", "stage", "select", uri=uri)
                assert time.monotonic() - start < 60 * busy()
                assert f"{number} records wait in artifacts/spool" in out
            mode = "pass"
            assert run(root, "pixelproof", "sync", uri=uri).strip() == "3 records sent"
            assert len(client.search_runs(["1"])) == 2


def put(name: str, parent: str | None = None) -> Path:
    record = Record(name, "data", "select", metrics=[("images", 1.0, 0)], started=1.0, ended=2.0)
    before = set(outbox.waiting())
    outbox.put([record], "", "key", parent)
    (path,) = set(outbox.waiting()) - before
    return path


def test_what_can_never_be_sent_is_set_aside_and_the_rest_goes(
    project_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker = Tracker(store.find_store())
    gone = tracker.begin("gone", "test")
    with tracker.service() as client:
        client.delete_run(gone)
    orphans = [put("orphan", gone), put("orphan of none", "0" * 32)]
    torn, altered = put("torn"), put("altered")
    torn.write_bytes(torn.read_bytes()[:100])
    altered.write_text(altered.read_text().replace("1.0", "9.0"))
    put("sound")
    foreign = outbox.SPOOL / f"{'9' * 20}-1.json"
    files.write_sealed(foreign, {"record": {"unknown": 1}})
    put("later")
    assert session.send() == 2
    names = {one.info.run_name for one in tracker.search({"pixelproof.kind": "data"})}
    assert names == {"sound", "later"}
    refused = {*orphans, torn, altered, foreign}
    assert {one.name for one in outbox.REFUSED.iterdir()} == {one.name for one in refused}
    assert not outbox.waiting()
    said = [one for one in capfd.readouterr().err.splitlines() if "refused" in one]
    assert len(said) == 5
    for path, reason in zip(
        (*orphans, torn, altered, foreign),
        ("is deleted", "not found", "damaged", "damaged", "damaged"),
        strict=True,
    ):
        (line,) = [one for one in said if path.name in one]
        assert reason in line
    assert session.send() == 0


def test_a_server_that_is_not_in_order_has_nothing_set_aside(
    project_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, port, mode = tmp_path / "server", str(free_port()), {"answer": "pass"}
    home.mkdir()
    with server([sys.executable, "-m", *mlflow_command(port, home)], home):
        wait_for(f"http://127.0.0.1:{port}/health", home / "log")
        with proxy(port, lambda path: "pass" if path == "/health" else mode["answer"]) as uri:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            sender = Sender(Tracker(store.find_store()))
            paths = [put("one"), put("two", "0" * 32), put("three")]
            for mode["answer"] in ("404", "500"):
                with pytest.raises(ServiceError):
                    sender.flush()
                assert outbox.waiting() == paths
            mode["answer"] = "pass"
            assert sender.flush() == 2
            assert [one.name for one in outbox.REFUSED.iterdir()] == [paths[1].name]
