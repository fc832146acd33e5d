"""The flow as people run it, with real Prefect, real DVC and the toy project."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.repository import ENVIRONMENT, run, running
from tests.support.toys import STAGES, Toys
from tests.support.waiting import busy, wait


@pytest.fixture(scope="module")
def repository(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = toys.fresh(tmp_path_factory.mktemp("flow"))
    (root / "flows").mkdir()
    shutil.copy(ROOT / "flows" / "harden.py", root / "flows")
    return root


def environment(root: Path) -> dict[str, str]:
    home = {"PREFECT_HOME": str(root.with_name(f"{root.name}-prefect"))}
    home["HOLD_TRAINING"] = str(held(root))
    return {key: value for key, value in ENVIRONMENT.items() if key != "PREFECT_API_URL"} | home


def held(root: Path) -> Path:
    """While this file is there, training stands still after its first epoch."""
    return root.with_name(f"{root.name}-held")


def start(root: Path, off: bool = False) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(root / "flows" / "harden.py")],
        cwd=root.parent,  # it finds its folder by itself
        env=environment(root) | ({"PIXELPROOF_TRACKING": "off"} if off else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal makes one
    )


def finish(root: Path, code: int = 0, off: bool = False) -> str:
    process = start(root, off)
    out, _ = process.communicate()
    assert process.returncode == code, out
    return out


def rows(root: Path, query: str) -> list[tuple[Any, ...]]:
    path = Path(environment(root)["PREFECT_HOME"]) / "prefect.db"
    database = sqlite3.connect(path)
    try:
        return list(database.execute(query))
    finally:
        database.close()


def left(root: Path) -> list[str]:
    """The command lines of processes that this project's flow has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if environment(root)["PREFECT_HOME"] in path.read_text(errors="replace"):
                found.append(path.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if line]


def edit(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert text.count(old) == 1
    (root / "params.yaml").write_text(text.replace(old, new))


def test_completed_and_nothing_is_left_to_do(repository: Path) -> None:
    out = finish(repository)
    assert "Task run 'finetune@clean' - finetune clean: 106/106 images" in out
    assert set(rows(repository, "select name, state_name from task_run")) == {
        (name, "Completed") for name in STAGES
    }
    ((state, message),) = rows(
        repository,
        "select s.type, s.message from flow_run f join flow_run_state s on f.state_id = s.id",
    )
    assert state == "COMPLETED"
    assert "with 64 stuck pixels (25 %), on 27 images" in message
    ((words,),) = rows(repository, "select data from artifact where key = 'result'")
    assert "| stuck-8 |" in words
    assert "MLflow run" in words
    repro = run(repository, "dvc", "repro", off=True)
    assert "Running stage" not in repro
    assert not left(repository)


def test_a_failing_stage_says_why_what_may_pass_is_tried_again_and_others_end(
    repository: Path,
) -> None:
    edit(repository, "n: 8, values: stuck}", "n: 8, values: stuck, area: 4}")
    stages = repository / "dvc.yaml"
    text = stages.read_text()
    failing = "echo 'pixelproof: no good'; exit 3"
    flaky = "test -e tried || { touch tried; echo 'pixelproof: no answer'; exit 4; }"
    broken = f'\n  broken:\n    cmd: "{failing}"\n    deps: [data]\n'
    notify = f'  notify:\n    cmd: "{flaky}"\n    deps: [metrics/summary.json]\n'
    stages.write_text(text + broken + notify)
    out = finish(repository, code=1, off=True)
    assert "pixelproof: broken: no good" in out.splitlines()[-1]
    assert "Traceback" not in out
    query = "select name, state_type from task_run order by created"
    states: dict[str, str] = dict(rows(repository, query))  # the last of each
    assert states["broken"] == "FAILED"
    assert states["finetune@stuck-8"] == "COMPLETED", "what does not need it goes on"
    assert "notify: no answer" in out
    assert states["notify"] == "COMPLETED", "a new stage is a task"
    ((count,),) = rows(repository, "select max(run_count) from task_run where name = 'notify'")
    assert int(count) == 2
    stages.write_text(text)
    edit(repository, "n: 8, values: stuck, area: 4}", "n: 8, values: stuck}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_lives_on_and_the_next_run_resumes(
    repository: Path, number: signal.Signals
) -> None:
    epochs = f"epochs: {10 + number}"
    edit(repository, "epochs: 2", epochs)
    checkpoints = repository / "artifacts" / "checkpoints"
    shutil.rmtree(checkpoints, ignore_errors=True)
    held(repository).touch()
    process = start(repository, off=True)
    wait(lambda: list(checkpoints.glob("*/*/sha256")), 120)
    assert running(repository, "pixelproof stage")
    assert any("uvicorn" in line for line in left(repository))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # Ctrl-C reaches all of a terminal's group
    else:
        process.send_signal(number)
    process.communicate(timeout=15 * busy())
    assert process.returncode != 0
    wait(lambda: not left(repository), 20)
    assert list(checkpoints.glob("*/*/sha256"))
    held(repository).unlink()
    if number == signal.SIGKILL:
        finish(repository, off=True)
        for arm in ("clean", "stuck-8"):
            curve = (repository / "plots" / "curves" / f"{arm}.csv").read_text().splitlines()
            assert len(curve) == 1 + 10 + number
        assert not list(checkpoints.glob("*/*/state.pt"))
    edit(repository, epochs, "epochs: 2")


def test_importing_the_flow_starts_nothing() -> None:
    code = "import sys; sys.path.insert(0, 'flows'); import harden; print(harden.harden.name)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "harden"


@pytest.mark.parametrize("change", ["'tables', None, None", "None, {'a.b': 1}, None"])
def test_a_person_s_own_files_are_not_changed(change: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, 'flows'); import harden; harden.keep_files(None, {change})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "ParameterError: revision: expected one, since a profile" in done.stderr
