"""What is pinned, and that it starts the servers the workflow rests on."""

import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT

LOCK = (ROOT / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", LOCK, re.MULTILINE))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3])


def test_every_requirement_is_pinned_with_its_hashes() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(lines) > 200
    assert all("==" in line for line in lines)
    assert LOCK.count("--hash=sha256:") > len(lines)
    assert "://" not in LOCK
    assert not re.search(r"^\s*-(i|-index|-extra|f|-find)", LOCK, re.MULTILINE)


def test_the_pins_that_prefect_needs() -> None:
    assert version(PINS["fastapi"]) < (0, 151)
    assert version(PINS["sqlalchemy"]) < (2, 1)


def test_the_pins_of_the_project_are_those_of_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    for requirement in stated:
        name, exact, pin = requirement.partition("==")
        if exact:
            assert PINS[name.lower().replace(".", "-")] == pin, requirement


@pytest.mark.parametrize("name", ["dvc", "fastapi", "mlflow", "prefect", "sqlalchemy", "torch"])
def test_what_is_installed_is_what_is_locked(name: str) -> None:
    assert importlib.metadata.version(name).partition("+")[0] == PINS[name]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], home: Path) -> Iterator[None]:
    """A server in a process group of its own, which is ended with it."""
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):  # what the server started and left behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, log: Path, seconds: float = 90) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} does not answer: {log.read_text()[-2000:]}")


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_the_servers_start_and_answer(name: str, tmp_path: Path) -> None:
    port = str(free_port())
    prefect = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    store = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow = ["mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    mlflow += ["--backend-store-uri", store, "--artifacts-destination", str(tmp_path)]
    command, path, expected = {
        "prefect": (prefect, "/api/health", "true"),
        "mlflow": (mlflow, "/health", "OK"),
    }[name]
    with server([sys.executable, "-m", *command], tmp_path):
        assert wait_for(f"http://127.0.0.1:{port}{path}", tmp_path / "log") == expected
