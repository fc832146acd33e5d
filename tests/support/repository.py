"""A clone's layout with toy images and a tiny network, and real commands in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, write_data
from tests.support.warm_start import warm

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def run(
    root: Path, *command: str, code: int = 0, uri: str = "", off: bool = False, cold: bool = False
) -> str:
    """Run a command in a project; what it says on both streams. `pixelproof` starts warm.

    Cold where a test is about who has started whom: warm, the parent of all is one process.
    """
    variables = {"MLFLOW_TRACKING_URI": uri} | ({"PIXELPROOF_TRACKING": "off"} if off else {})
    started = {} if cold else warm()
    return run_with(ENVIRONMENT | started | variables, root, *command, code=code)


def run_with(environment: dict[str, str], root: Path, *command: str, code: int = 0) -> str:
    """Run a command in an environment; what it says on both streams."""
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def make_repository(root: Path) -> Path:
    run(root, "git", "init", "-q")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root)
    (root / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / ".dvc" / "plots", root / ".dvc" / "plots")
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc")
    (root / "mlruns").mkdir()
    shutil.copy(ROOT / "mlruns" / ".gitignore", root / "mlruns")
    write_data(root / "data")
    shutil.copy(ROOT / "tests" / "support" / "toy.yaml", root / "params.yaml")
    shutil.copy(ROOT / "tests" / "support" / "tiny_network.py", root)
    run(root, "dvc", "add", "-q", "data")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "toy")
    return root


def running(root: Path, words: str) -> list[int]:
    """The processes of pixelproof in a folder whose command line holds these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = path.with_name("cwd").resolve() == root.resolve()
        except OSError:
            continue
        if here and words in line and "pixelproof" in line:
            found.append(int(path.parent.name))
    return found
