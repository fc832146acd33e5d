"""Toy projects, one of which has run: made once a session, copied by each test that needs one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from pixelproof.tracking.store import EXPERIMENT, Store, follow_move
from tests.support.repository import make_repository, run

STAGES = {
    "select",
    "baseline@baseline",
    "generate",
    "finetune@clean",
    "finetune@stuck-8",
    "attack@baseline",
    "evaluate@baseline",
    "evaluate@clean",
    "evaluate@stuck-8",
    "compare",
}


class Toys:
    """Copies of the toy project, whichever process of the session makes the first one.

    Args:
        shared: A folder that all processes of the session know.
    """

    def __init__(self, shared: Path) -> None:
        self.shared = shared

    def fresh(self, root: Path) -> Path:
        """A project as it is cloned, with its images."""
        return copy(self._once("fresh", make_repository), root)

    def tracked(self, root: Path) -> Path:
        """A project whose pipeline `pixelproof run` has run, with MLflow's store; not committed."""
        return copy(self._once("tracked", self._run), root)

    def committed(self, root: Path) -> Path:
        """The same, committed, and without anything that was tracked."""
        return copy(self._once("committed", self._commit), root)

    def _run(self, root: Path) -> None:
        said = run(self.fresh(root), "pixelproof", "run")
        assert ran(said) == STAGES
        assert "Compare runs: pixelproof ui" in said

    def _commit(self, root: Path) -> None:
        self.tracked(root)
        shutil.rmtree(root / "mlruns")
        shutil.rmtree(root / "artifacts" / "spool")
        run(root, "git", "checkout", "-q", "mlruns")
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "-qm", "run")

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        folder, made = self.shared / name, self.shared / f"{name}.made"
        with FileLock(self.shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failure has left
                folder.mkdir()
                make(folder)
                made.touch()
        return folder


def copy(project: Path, root: Path) -> Path:
    """A copy with another inode for each file; its runs know that their files lie here."""
    shutil.copytree(project, root, symlinks=True, dirs_exist_ok=True)
    folder = root / "mlruns"
    follow_move(Store(f"sqlite:///{folder}/mlflow.db", folder), EXPERIMENT)
    return root


def ran(said: str) -> set[str]:
    """The stages that DVC says it runs, those that its cache gives back left out."""
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}
