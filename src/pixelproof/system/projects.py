"""What a project is called on a Prefect server, where others may be beside it."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pixelproof.errors import ParameterError
from pixelproof.system import git

PREFECT_FILE = Path("prefect.yaml")
NAME = "PIXELPROOF_NAME"  # stands in prefect.yaml for what the project is called
LABEL = "pixelproof.project"  # of the events
_PLACE = re.compile(r"\{\{\s*\$?" + NAME + r"\s*\}\}")


@dataclass(frozen=True)
class Project:
    """What a Prefect server knows a project by.

    Attributes:
        name: Of the project.
        pool: Its work pool.
        deployments: Of `prefect.yaml`.
    """

    name: str
    pool: str
    deployments: list[str]


def read_project() -> Project:
    """The project whose folder is the working directory, as `prefect.yaml` has it.

    Raises:
        ParameterError: There is no such file here, or it names more than one work pool.
    """
    if not PREFECT_FILE.is_file():
        raise ParameterError(f"{Path.cwd()}: expected the folder that holds {PREFECT_FILE}")
    content, name = _content(PREFECT_FILE), project_name(Path())

    def filled(text: object) -> str:
        return _PLACE.sub(name, str(text))

    pools = sorted(
        {filled(deployment["work_pool"]["name"]) for deployment in content["deployments"]}
    )
    if len(pools) != 1:
        raise ParameterError(
            f"{PREFECT_FILE}: expected one work pool for all deployments, since it runs one flow "
            f"at a time; got {pools}"
        )
    deployments = [filled(deployment["name"]) for deployment in content["deployments"]]
    return Project(name, pools[0], deployments)


def project_name(root: Path) -> str:
    """The `name` of `prefect.yaml`, and a hash of git's origin; of the folder where it has none.

    Clones of one repository on several machines have the same name, other projects have another.
    """
    path = root / PREFECT_FILE
    called = _content(path).get("name") if path.is_file() else None
    readable = re.sub(r"[^a-z0-9]+", "-", str(called or "pixelproof").lower()).strip("-")
    where = _origin(root) or str(root.resolve())
    return f"{readable}-{hashlib.sha256(where.encode()).hexdigest()[:6]}"


def _content(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}


def _origin(root: Path) -> str | None:
    """Host and path of git's origin, however it is reached; None where that is no other machine."""
    address = git.query("config", "--get", "remote.origin.url", folder=root)
    if "://" in address:
        parts = urlsplit(address)
        host, path = parts.hostname or "", parts.path
    else:  # git@host:path, or a folder
        host, colon, path = address.rpartition("@")[2].partition(":")
        host = host if colon and "/" not in host else ""
    if not host:
        return None
    folder = git.query("rev-parse", "--show-prefix", folder=root)  # of several in one repository
    return f"{host}/{path.strip('/').removesuffix('.git')}/{folder}".lower()
