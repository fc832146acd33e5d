"""Git: asked where there may be no repository, and run where there must be one."""

import subprocess
from pathlib import Path

from pixelproof.errors import PipelineError
from pixelproof.system.processes import bound, environment

SOURCES = ("src", "params.yaml", "dvc.yaml", "pixelproof.lock", "*.dvc")  # what a run is made from


def query(*arguments: str, folder: Path = Path()) -> str:
    """What a git command prints.

    Args:
        arguments: Of git.
        folder: Where to run it.

    Returns:
        Its output without the last line break; empty where the command fails, where there is no
        repository, and where git is not installed.
    """
    try:
        completed = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return completed.stdout.strip() if completed.returncode == 0 else ""


def head() -> str:
    """The commit that is checked out in the working directory; empty where there is none."""
    return query("rev-parse", "HEAD")


def sources_changed() -> bool:
    """Whether the working directory's code, parameters or data differ from the commit's."""
    return bool(query("status", "--porcelain", "--", *SOURCES))


def committed(path: Path) -> bytes | None:
    """What a file holds in HEAD; None where there is no such file or commit, or no git."""
    try:
        completed = subprocess.run(
            ["git", "show", f"HEAD:./{path}"], capture_output=True, check=False
        )
    except OSError:
        return None
    return completed.stdout if completed.returncode == 0 else None


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """Run git in a folder, without a person's hooks: DVC's would check out files in between.

    Args:
        folder: Where to run it.
        arguments: Of git.
        variables: What it finds in its environment beside ours.

    Returns:
        What it prints, without the last line break.

    Raises:
        PipelineError: Git refuses; names its reason.
    """
    completed = subprocess.run(
        bound(["git", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *arguments]),
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        reason = (completed.stderr.strip() or f"exit code {completed.returncode}").splitlines()[-1]
        raise PipelineError(f"git {arguments[0]} in {folder}: {reason}")
    return completed.stdout.strip()
