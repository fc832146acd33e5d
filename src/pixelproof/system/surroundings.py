"""What a command needs around the project: a git repository, a home that Prefect can write to."""

import os
import re
from pathlib import Path

from pixelproof.errors import DataError, ParameterError
from pixelproof.system import files


def check_repository(root: Path) -> None:
    """Check that git knows the project, since DVC does nothing without it.

    A folder without a project passes: the command itself says which folder it needs.

    Raises:
        ParameterError: It lies in no git repository, as a downloaded archive does.
    """
    here = root.resolve()
    if not (root / "params.yaml").exists():
        return
    if any((folder / ".git").exists() for folder in (here, *here.parents)):
        return
    for name in ("config", "config.local"):
        path = root / ".dvc" / name
        if path.is_file() and re.search(r"no_scm\s*=\s*true", path.read_text(errors="replace")):
            return
    raise ParameterError(
        f"{here}: expected a git repository, which DVC needs, got none; clone the project, or run "
        "`git init -q`, `git add -A` and `git commit -qm start` here"
    )


def check_home() -> None:
    """Check that Prefect, which keeps its database in a person's home, can write there.

    Raises:
        DataError: It cannot.
    """
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    try:
        files.ensure_writable(home / "prefect.db")
    except DataError as error:
        raise DataError(
            f"{error}; set PREFECT_HOME to a folder that can be written, as `export "
            f'PREFECT_HOME="$PWD/.pixelproof/prefect"` does'
        ) from None
