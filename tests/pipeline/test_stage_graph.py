"""Stages in their order, in their places, within their time."""

import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pixelproof.operations.stage_graph import stage_graph
from pixelproof.operations.stage_runner import Children, StageError, count_gpus, places
from pixelproof.params.compute import Compute
from tests.conftest import ROOT
from tests.support.repository import ENVIRONMENT, run
from tests.support.waiting import busy, wait

HOUR = 3600.0


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ENVIRONMENT["PATH"])
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    run(tmp_path, "dvc", "init", "-q", "--no-scm")
    return tmp_path


def write_stages(root: Path, **stages: Mapping[str, object]) -> None:
    with (root / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": stages}, file)


def reproduce(stage: str, seconds: float = HOUR) -> list[str]:
    lines: list[str] = []
    Children().reproduce(stage, {}, lines.append, seconds)
    return lines


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # within DVC
def test_the_graph_is_that_of_the_project() -> None:
    graph = stage_graph(ROOT)
    assert "data.dvc" not in graph
    assert graph["select"] == ()
    assert graph["finetune@clean"] == ("baseline@baseline", "generate", "select")
    assert "attack@baseline" in graph["evaluate@hardened"]
    seen: set[str] = set()
    for name, needs in graph.items():
        assert set(needs) <= seen, f"{name} before what it needs"
        seen.add(name)


def test_lines_and_environment_pass_through(workspace: Path) -> None:
    write_stages(
        workspace, one={"cmd": "echo $GREETING; echo below >&2; touch out", "outs": ["out"]}
    )
    lines: list[str] = []
    Children().reproduce("one", {"GREETING": "hello"}, lines.append, HOUR)
    assert {"hello", "below"} < set(lines)
    assert (workspace / "out").exists()


@pytest.mark.parametrize(
    ("command", "words", "retry"),
    [
        ("echo 'pixelproof: MLflow does not answer' >&2; exit 4", "one: MLflow does not", True),
        ("echo 'pixelproof: x.png: damaged'; exit 3", "one: x.png: damaged", False),
        ("exit 2", "failed to reproduce 'one'", False),
        ("kill -KILL $$", "it was killed", True),
        ("kill -KILL $PPID", "it was killed", True),  # dvc itself
    ],
)
def test_what_is_worth_another_try(workspace: Path, command: str, words: str, retry: bool) -> None:
    write_stages(workspace, one={"cmd": command})
    with pytest.raises(StageError, match=words) as caught:
        reproduce("one")
    assert caught.value.worth_retrying is retry


def test_a_stage_has_its_time(workspace: Path) -> None:
    write_stages(workspace, one={"cmd": "sleep 300"})
    start = time.monotonic()
    with pytest.raises(StageError, match=r"one: stopped after .* h \(compute.stage_hours\)"):
        reproduce("one", seconds=3)
    assert time.monotonic() - start < 15 * busy()


def test_stopping_ends_what_runs_and_lets_nothing_start(workspace: Path) -> None:
    asleep = f"sleep 300.{os.getpid()}"
    stubborn = {"cmd": f"trap '' TERM; touch begun; {asleep}"}
    write_stages(workspace, one=stubborn, two={"cmd": asleep})
    children = Children()
    errors: list[StageError] = []

    def work() -> None:
        try:
            children.reproduce("one", {}, print, HOUR)
        except StageError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait((workspace / "begun").exists)
    children.stop()
    thread.join(15 * busy())
    assert not thread.is_alive()
    with pytest.raises(StageError, match="two: stopped"):
        children.reproduce("two", {}, print, HOUR)
    assert [(str(one), one.worth_retrying) for one in errors] == [("one: stopped", False)]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            assert asleep.encode() not in path.read_bytes().replace(b"\0", b" ")


def test_two_stages_run_side_by_side(workspace: Path) -> None:
    meet = "touch {0}; for i in $(seq 3000); do test -e {1} && exit 0; sleep 0.1; done; exit 3"
    write_stages(workspace, one={"cmd": meet.format("a", "b")}, two={"cmd": meet.format("b", "a")})
    children = Children()
    threads = [
        threading.Thread(target=children.reproduce, args=(name, {}, print, HOUR))
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert "two" in (workspace / "dvc.lock").read_text()
    assert "one" in (workspace / "dvc.lock").read_text()


class TestPlaces:
    def test_a_cpu_is_one_place_for_four_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
        assert places(Compute(device="cpu")) == [{"OMP_NUM_THREADS": "4"}] * 4
        assert places(Compute(device="cpu", parallel=1)) == [{}]
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
        assert places(Compute(device="cpu")) == [{}]
        assert places(Compute(device="cpu", parallel=4)) == [{"OMP_NUM_THREADS": "1"}] * 4

    def test_one_place_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
        assert count_gpus() == 2
        seen = [one["CUDA_VISIBLE_DEVICES"] for one in places(Compute())]
        assert seen == ["2", "5"]
        shared = [one["CUDA_VISIBLE_DEVICES"] for one in places(Compute(parallel=3))]
        assert shared == ["2", "5", "2"]
        assert places(Compute(device="cuda:1")) == [{}]
        assert places(Compute(device="cpu", parallel=1)) == [{}]

    def test_hidden_gpus_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert count_gpus() == 0

    def test_gpus_are_counted_as_the_driver_lists_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!{sys.executable}\nprint('GPU 0: A (UUID: x)\\nGPU 1: A (UUID: y)')\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert count_gpus() == 2
        tool.unlink()
        assert count_gpus() == 0
