"""Room on the disk: old runs, what removed models have left, and unused data of DVC's cache."""

from pathlib import Path

from pixelproof.errors import ParameterError, ServiceError
from pixelproof.operations.worktrees import idle
from pixelproof.params.project import Params, load_params
from pixelproof.paths import ADVERSARIAL, ATTACKS, CHECKPOINTS, LEDGER, MODELS, OTHERS, PLOTS
from pixelproof.system import dvc, git
from pixelproof.system.files import discard
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.pruning import prune_runs
from pixelproof.tracking.store import check_store


def _size(*folders: Path) -> int:
    """Bytes below some folders."""
    paths = (path for folder in folders for path in folder.rglob("*"))
    return sum(path.lstat().st_size for path in paths if not path.is_dir())


def _remove_unused(params: Params) -> list[Path]:
    """Delete what removed baselines and arms have left behind."""
    kept = set(params.models)
    folders = (MODELS, LEDGER, ATTACKS, ADVERSARIAL, CHECKPOINTS, PLOTS / "curves")
    unused = [
        path
        for folder in folders
        for path in sorted(folder.glob("*"))
        if path.stem not in kept and not path.name.startswith(".")
    ]
    for path in unused:
        discard(path)
    discard(OTHERS)
    return unused


def prune(keep: int) -> str:
    """Delete old pipeline runs, and cached data that is no longer needed.

    Cached data stays while the workspace, a worktree or one of the last `keep` commits needs it.

    Args:
        keep: How many pipeline runs, and commits' data, stay.

    Returns:
        What was done, for a person.

    Raises:
        ParameterError: `keep` is below 1.
        ServiceError: MLflow or DVC refuses.
    """
    if keep < 1:
        raise ParameterError(f"--keep: expected a number from 1, got {keep}")
    store = check_store()
    folders = [Path(".dvc/cache"), *([store.folder] if store.folder else [])]
    before = _size(*folders)
    runs, models = prune_runs(Tracker(store), keep)
    params = load_params()
    unused = _remove_unused(params)
    dvc.forget_stages(params.stages)
    commits = ["--rev", "HEAD", "--num", str(keep), "--all-experiments"]
    revision = commits if git.head() else []
    with idle(Path()) as worktrees:  # they share DVC's copies
        projects = ["--projects", *map(str, worktrees)] if worktrees else []
        collected = dvc.run(Path(), "gc", "--workspace", *revision, *projects, "--force", "--quiet")
    if collected.returncode != 0:
        raise ServiceError(f"dvc gc: {dvc.reason(collected)}")
    freed = (before - _size(*folders)) / 1e6
    words = f"{len(runs)} runs and {len(models)} logged models deleted"
    names = f"; files of {sorted({path.stem for path in unused})} deleted" if unused else ""
    return f"{words}{names}; {freed:.0f} MB freed"
