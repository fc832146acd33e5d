"""What is pinned, and that it starts the servers the workflow rests on."""

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.servers import free_port, mlflow_command, server, wait_for

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
    extras = project["optional-dependencies"]  # `auth` is for those who ask for it
    stated = [*project["dependencies"], *extras["demo"], *extras["dev"]]
    for requirement in stated:
        name, exact, pin = requirement.partition("==")
        if exact:
            assert PINS[name.lower().replace(".", "-")] == pin, requirement


@pytest.mark.parametrize("name", ["dvc", "fastapi", "mlflow", "prefect", "sqlalchemy", "torch"])
def test_what_is_installed_is_what_is_locked(name: str) -> None:
    assert importlib.metadata.version(name).partition("+")[0] == PINS[name]


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_the_servers_start_and_answer(name: str, tmp_path: Path) -> None:
    port = str(free_port())
    prefect = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    command, path, expected = {
        "prefect": (prefect, "/api/health", "true"),
        "mlflow": (mlflow_command(port, tmp_path), "/health", "OK"),
    }[name]
    with server([sys.executable, "-m", *command], tmp_path):
        assert wait_for(f"http://127.0.0.1:{port}{path}", tmp_path / "log") == expected
