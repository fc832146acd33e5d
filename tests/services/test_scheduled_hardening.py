"""What a team leaves running, as a whole: schedule, gate, registry, rollback, on real servers."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.services.test_serve import Serving
from tests.support.planted_project import better, commit, make_planted, worse
from tests.support.repository import run
from tests.support.waiting import busy, wait


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_planted(tmp_path_factory.mktemp("hardening") / "project")
    shutil.copytree(ROOT / "flows", root / "flows")
    text = (ROOT / "prefect.yaml").read_text()
    assert text.count('"0 2 * * *"') == 1
    (root / "prefect.yaml").write_text(text.replace('"0 2 * * *"', '"* * * * *"'))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "schedules")
    return root


@pytest.fixture(scope="module")
def serving(project: Path) -> Iterator[Serving]:
    with Serving(project, project.with_name("home")) as one:
        yield one
    assert not one.processes()


def runs(serving: Serving) -> list[dict[str, Any]]:
    body = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    found: list[dict[str, Any]] = serving.ask("flow_runs/filter", body)
    return found


def harden(serving: Serving) -> str:
    """Run the deployment now; its final message."""
    flow_run = serving.start("harden/harden-nightly")
    return finished(serving, flow_run)


def finished(serving: Serving, flow_run: str) -> str:
    ends = ("Completed", "Failed", "Crashed", "Cancelled")
    wait(lambda: serving.state(flow_run) in ends, 240)
    found = serving.ask(f"flow_runs/{flow_run}")
    assert found["state_name"] == "Completed", (found["state"]["message"], serving.log()[-6000:])
    return str(found["state"]["message"])


def pause(serving: Serving, name: str) -> None:
    (schedule,) = serving.deployment(name)["schedules"]
    full = f"{name}-{serving.name}"
    words = ["prefect", "deployment", "schedule", "pause", full, schedule["id"]]
    serving.owner(*words)


def aliases(serving: Serving) -> dict[str, int]:
    from mlflow import MlflowClient

    client = MlflowClient(serving.address("MLflow"))
    return {key: int(one) for key, one in client.get_registered_model("toy").aliases.items()}


def test_hardening_by_schedule_then_gate_then_rollback(serving: Serving) -> None:
    wait(lambda: [one for one in runs(serving) if one["auto_scheduled"]], 120)
    first = next(one for one in runs(serving) if one["auto_scheduled"])
    pause(serving, "harden/harden-nightly")
    said = finished(serving, first["id"])
    assert said.startswith("REJECTED: stuck-8 against version 1: it lacks Pi below the champion's")
    assert aliases(serving) == {"champion": 1}

    before = (serving.root / "params.yaml").read_bytes()
    said = harden(serving)
    assert said == "nothing to do: stuck-8 is version 2, judged against version 1 before: REJECTED"
    assert aliases(serving) == {"champion": 1}

    commit(serving.root, better, "a planted better challenger")
    said = harden(serving)
    assert said.startswith("PASSED: stuck-8 against version 1: Pi below the champion's: by ")
    assert said.endswith("; version 3 is the champion")
    assert aliases(serving) == {"champion": 3, "previous": 1}

    commit(serving.root, worse, "a planted worse challenger")
    said = harden(serving)
    assert said.startswith("REJECTED: stuck-8 against version 3: it lacks Pi below the champion's")
    assert aliases(serving) == {"champion": 3, "previous": 1}

    out = serving.command("pixelproof", "rollback", "--why", "a trial")
    assert out == "version 1 of toy is the champion again, 3 was left\n"
    assert aliases(serving) == {"champion": 1, "previous": 1}

    assert not (serving.root / "artifacts").exists(), "all was done in the worktree"
    assert not (serving.root / "dvc.lock").exists()
    assert before != (serving.root / "params.yaml").read_bytes()
    check_artifact(serving)
    check_logged(serving)


def check_artifact(serving: Serving) -> None:
    (artifact,) = serving.ask(
        "artifacts/latest/filter", {"artifacts": {"key": {"any_": ["result"]}}}
    )
    words = artifact["data"]
    assert words.startswith("**REJECTED: stuck-8 against version 3")
    assert "| **fails** | Pi below the champion's" in words
    assert "](data:image/png;base64," in words
    assert f"[MLflow run]({serving.address('MLflow')}" in words
    events = serving.ask("events/filter", {"filter": {"event": {"prefix": ["pixelproof."]}}})
    (event,) = events["events"]
    assert event["event"] == "pixelproof.champion.promoted"
    assert event["payload"]["champion"] == 3


def check_logged(serving: Serving) -> None:
    """The original, once, and the challengers alone; each version says where it comes from."""
    from mlflow import MlflowClient

    client = MlflowClient(serving.address("MLflow"))
    experiment = client.get_experiment_by_name("pixelproof")
    assert experiment is not None
    models = client.search_logged_models([experiment.experiment_id])
    assert sorted(one.name for one in models) == ["baseline", "stuck-8", "stuck-8", "stuck-8"]
    version = client.get_model_version("toy", "3")
    verdict = json.loads(version.tags["verdict.json"])
    assert verdict["outcome"] == version.tags["verdict"] == "PASSED"
    assert verdict["champion"] == 1
    for key in ("git.commit", "dvc.data", "dvc.lock", "params", "seed", "prefect.flow_run"):
        assert version.tags[key], key
    assert version.tags["promoted.by"] == f"flow run {version.tags['prefect.flow_run']}"
    assert "| holds | Pi below the champion's" in str(version.description)
    pipeline = client.get_run(version.tags["mlflow.pipeline_run"])
    assert pipeline.data.tags["mlflow.note.content"].startswith("PASSED: stuck-8 against version 1")
    kept = {one.path for one in client.list_artifacts(pipeline.info.run_id)}
    assert {"verdict.json", "dvc.lock"} <= kept


def test_a_cancelled_hardening_leaves_no_process_and_the_next_one_goes_on(
    serving: Serving,
) -> None:
    checkpoints = serving.root / ".pixelproof" / "worktrees" / "harden" / "artifacts/checkpoints"
    flow_run = serving.start("harden/harden-nightly", **{"finetune.epochs": 5000})
    wait(lambda: list(checkpoints.glob("*/*/state.pt")), 120)
    assert serving.processes("stage finetune")
    before = aliases(serving)
    stopped = time.monotonic()
    state = {"state": {"type": "CANCELLING"}, "force": False}
    serving.ask(f"flow_runs/{flow_run}/set_state", state)
    wait(lambda: not serving.processes("pixelproof stage") and not serving.processes("dvc"), 15)
    wait(lambda: serving.state(flow_run) == "Cancelled", 30)
    assert time.monotonic() - stopped < 30 * busy()
    assert aliases(serving) == before
    said = harden(serving)
    assert said.startswith("REJECTED: stuck-8 against version 1"), "the one that was rolled back to"
