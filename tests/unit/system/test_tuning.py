"""Settings that must stand before torch is loaded: asked of OpenMP itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from pixelproof.system.tuning import SPINS
from tests.support.repository import ENVIRONMENT


def _environment_of_openmp(folder: Path, *command: str, **variables: str) -> str:
    """What OpenMP read when torch loaded it, and what else the command said."""
    inherited = {key: value for key, value in ENVIRONMENT.items() if "OMP" not in key}
    shown = {"OMP_DISPLAY_ENV": "VERBOSE", **variables}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=inherited | shown,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def test_a_command_that_computes_has_waiting_threads_sleep(tmp_path: Path) -> None:
    said = _environment_of_openmp(tmp_path, "-m", "pixelproof.cli", "predict", "model", "x.png")
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in said
    assert "model: expected a model folder" in said


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("GOMP_SPINCOUNT", "77", "'77'"), ("OMP_WAIT_POLICY", "PASSIVE", "'0'")],
)
def test_a_setting_of_ones_own_stays(tmp_path: Path, name: str, value: str, expected: str) -> None:
    code = "from pixelproof.system.tuning import limit_spinning; limit_spinning(); import torch"
    said = _environment_of_openmp(tmp_path, "-c", code, **{name: value})
    assert f"GOMP_SPINCOUNT = {expected}" in said
