"""Where a flow works: the project's own folder, or a worktree of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelproof.errors import ParameterError
from pixelproof.operations.worktrees import worktree
from pixelproof.promotion.actor import FLOW_RUN
from pixelproof.tracking.store import require_absolute


def keep_files(revision: str | None, *changes: object) -> None:
    """Let no run change what a person has in the project's folder.

    Raises:
        ParameterError: It would.
    """
    if revision is None and any(changes):
        raise ParameterError(
            "revision: expected one, since a profile, overrides or data would change your own "
            "files; got none (`pixelproof profile use` changes them)"
        )


@contextmanager
def workspace(root: Path, revision: str | None) -> Iterator[Path]:
    """Change to the project's folder, or to its worktree at a revision, while the block runs.

    Raises:
        ParameterError: There is no such revision, or the store's address is relative to a folder.
        PipelineError: Another run works in the worktree, or git refuses.
    """
    before = Path.cwd()
    try:
        if revision is None:
            os.chdir(root)
            yield root
            return
        require_absolute()
        with worktree(root, revision, "harden") as folder:
            os.chdir(folder)
            yield folder
    finally:
        os.chdir(before)


def own_environment() -> dict[str, str]:
    """What processes of this run find in their environment."""
    from prefect.runtime import flow_run as flow_run_context

    own = [str(Path("src").resolve())]  # the revision's code, not the installed one
    theirs = os.environ.get("PYTHONPATH")
    code = {"PYTHONPATH": os.pathsep.join([*own, theirs] if theirs else own)}
    flow_run = flow_run_context.get_id()
    return code | ({FLOW_RUN: str(flow_run)} if flow_run else {})
