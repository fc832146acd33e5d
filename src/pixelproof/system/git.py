"""Git: what it says of a folder, for callers that work without a repository, too."""

import subprocess
from pathlib import Path

SOURCES = ("src", "params.yaml", "dvc.yaml", "*.dvc")  # what a run is made from


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
