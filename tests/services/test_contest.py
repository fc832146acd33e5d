"""The gate on the command line, in a planted project whose pipeline has run."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support.planted_project import better, commit, make_planted
from tests.support.repository import ENVIRONMENT, run
from tests.support.warm_start import warm

DRY = "(a dry run: nothing was promoted)"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = make_planted(tmp_path_factory.mktemp("gate") / "project")
    run(found, "pixelproof", "run")
    return found


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")


def aliases(root: Path) -> dict[str, int]:
    models = client(root).search_registered_models("name = 'toy'")
    return {key: int(one) for model in models for key, one in model.aliases.items()}


def gate(root: Path, *words: str, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        ["pixelproof", "gate", *words],
        cwd=root,
        env=ENVIRONMENT | warm() | {"MLFLOW_TRACKING_URI": ""} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    said = done.stdout if code == 0 else done.stderr
    return said.strip().splitlines()[-1]


def result(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "artifacts/gate/verdict.json").read_text())
    return found


def test_the_gate_by_hand_from_the_first_champion_to_a_lost_alias(root: Path) -> None:
    said = gate(root)
    assert said.startswith("REJECTED: stuck-8 against its original: it lacks Pi below")
    assert said.endswith(DRY)
    assert aliases(root) == {}, "a dry run registers nothing"
    assert gate(root, "--promote").startswith("REJECTED: stuck-8 against version 1: ")
    assert aliases(root) == {"champion": 1}

    commit(root, better, "a planted better challenger")
    run(root, "pixelproof", "run")
    assert gate(root).startswith("PASSED: stuck-8 against version 1: Pi below the champion's")
    first = result(root)

    said = gate(root, "--promote", PIXELPROOF_FLOW_RUN="one")
    assert said.endswith("; version 3 is the champion")
    assert aliases(root) == {"champion": 3, "previous": 1}
    second = result(root)
    assert second["seed"] == first["seed"], "another try is no second chance"
    assert second["verdict"]["rules"] == first["verdict"]["rules"]

    # A flow that tries again, since its first try could not say what it had done.
    said = gate(root, "--promote", PIXELPROOF_FLOW_RUN="one")
    assert said == "PASSED: stuck-8; version 3 is the champion"
    assert result(root)["promoted"]
    assert result(root)["verdict"]["rules"] == second["verdict"]["rules"]
    said = gate(root, "--promote", PIXELPROOF_FLOW_RUN="two")
    assert said == "nothing to do: stuck-8 is the champion already, version 3"
    assert not result(root)["promoted"]

    run(root, "pixelproof", "rollback", "--why", "a trial", "--by", "me")
    said = gate(root, "--promote")
    assert "which was taken out of use by me: a trial; `pixelproof promote` overrides it" in said
    assert aliases(root) == {"champion": 1, "previous": 1}

    client(root).delete_registered_model_alias("toy", "champion")
    said = gate(root, "--promote", code=3)
    assert "expected the alias champion, which is gone" in said
    run(root, "pixelproof", "promote", "3", "--why", "it was in use")
    assert aliases(root)["champion"] == 3

    out = run(root, "pixelproof", "monitor")
    assert "STEADY: version 3: Pi is " in out
    run(root, "pixelproof", "prune", "--keep", "1")
    out = run(root, "pixelproof", "monitor")
    assert "STEADY: version 3" in out


def test_what_the_gate_cannot_do_without(root: Path, tmp_path: Path) -> None:
    said = gate(root, code=2, PIXELPROOF_TRACKING="off")
    assert "PIXELPROOF_TRACKING: expected it unset" in said
    text = (root / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    run(tmp_path, "git", "init", "-q")
    done = subprocess.run(
        ["pixelproof", "gate"],
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "artifacts/models/stuck-8/classifier.json: missing; run `dvc repro`" in done.stderr
    assert "--why: expected a reason" in run(root, "pixelproof", "promote", "--why", " ", code=2)
