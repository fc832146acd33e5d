"""The flow of a project in a person's own repository, with real Prefect."""

import sys
from pathlib import Path

from tests.support.own_project import make_quick, start_repository
from tests.support.repository import ENVIRONMENT, run, run_with
from tests.support.toys import ran


def test_the_flow_that_comes_along_runs_the_pipeline(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    root.mkdir()
    start_repository(root)
    run(root, "pixelproof", "init")
    make_quick(root)
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "PIXELPROOF_TRACKING": "off"}
    environment = {key: value for key, value in ENVIRONMENT.items() if key != "PREFECT_API_URL"}
    run_with(environment | home, root, sys.executable, "flows/harden.py")
    assert (root / "reports" / "index.html").is_file()
    assert ran(run(root, "dvc", "repro", off=True)) == set(), "the flow ran them through DVC"
