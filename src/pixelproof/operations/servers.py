"""Servers on this machine: how each is started, who may reach it, and how one gets in."""

import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pixelproof.errors import ParameterError, ServiceError
from pixelproof.operations.guard import APP, hosts, origins
from pixelproof.system.locks import hold, is_held
from pixelproof.tracking.store import Store

PREFECT_URL, PREFECT_AUTH = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
ACCESS = Path(".pixelproof/serve.env")
USER = "pixelproof"
AUTH_CONFIG = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/users.db
"""


@dataclass(frozen=True)
class Server:
    """A server that is to be started.

    Attributes:
        address: Of its pages.
        command: Its command line, which shows in `ps`: no secret stands there.
        variables: What it finds in its environment beside ours.
        access: What a client finds in its environment to reach it.
    """

    address: str
    command: list[str]
    variables: Mapping[str, str]
    access: Mapping[str, str]


def free_port(wanted: int) -> int:
    """The first port from `wanted` on that nothing on this machine listens at; 0 takes any.

    Raises:
        ServiceError: Fifty in a row are taken.
    """
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port if wanted else 0))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError(f"expected a free port from {wanted} on, got none in 50")


def prefect_server(port: int) -> Server:
    """A Prefect server with a new password, which its pages ask for, too."""
    address, password = f"http://127.0.0.1:{port}", f"{USER}:{secrets.token_urlsafe(24)}"
    command = [sys.executable, "-m", "uvicorn", "--factory", "pixelproof.operations.guard:guarded"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--lifespan", "on"]
    access = {PREFECT_URL: f"{address}/api", PREFECT_AUTH: password}
    variables = access | {
        APP: "prefect.server.api.server:create_app",
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(origins(port)),
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT__SERVER_FINAL": "1",  # no second application in this process: less memory
        "DO_NOT_TRACK": "1",
    }
    return Server(address, [*command, "--log-level", "warning"], variables, access)


def mlflow_server(store: Store, port: int, private: Path | None = None) -> Server:
    """An MLflow server over a store on this machine.

    Args:
        store: The store.
        port: A free one.
        private: A folder that only this user can read, for the users of a server that asks for
            a password; None for one that does not.

    Raises:
        ParameterError: It shall ask for a password, and a package is missing for that.
    """
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", store.uri]
    command += ["--artifacts-destination", str(Path(str(store.folder)) / "artifacts")]
    command += ["--allowed-hosts", ",".join(hosts(port))]
    command += ["--cors-allowed-origins", ",".join(origins(port)), "--app-name", "pixelproof"]
    access = {"MLFLOW_TRACKING_URI": address}
    variables = {
        APP: "mlflow.server.fastapi_app:app",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it starts more quickly
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if private is not None:
        if find_spec("flask_wtf") is None:
            raise ParameterError(
                "--mlflow-auth: expected the package Flask-WTF, which is not installed; "
                "`pip install flask-wtf==1.3.0` (the extra `auth`)"
            )
        config, password = private / "auth.ini", secrets.token_urlsafe(24)
        config.write_text(AUTH_CONFIG.format(folder=private), encoding="utf-8")
        access |= {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": password}
        variables |= {
            APP: "mlflow.server.auth:create_app",
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
        }
    return Server(address, command, variables, access)


def mlflow_readers(server: Server, path: Path) -> str:
    """Who can read the pages of an MLflow server, whose access a file holds; for a person."""
    if "MLFLOW_TRACKING_PASSWORD" in server.access:
        return f"log in as {USER} with MLFLOW_TRACKING_PASSWORD of {path}"
    return "every user of this machine can read and change it; --mlflow-auth asks for a password"


def answers(url: str, process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait until a server that was started answers.

    Returns:
        Whether it does; False where its process has ended, or that many seconds have passed.
    """
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
    return False


@contextmanager
def private_folder(wanted: bool) -> Iterator[Path | None]:
    """A folder that only this user can read, until the block ends; None where none is wanted."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pixelproof-") as folder:
        yield Path(folder)


@contextmanager
def published(path: Path, access: Mapping[str, str]) -> Iterator[None]:
    """Keep how servers are reached in a file that only this user can read, while they run.

    The file is locked meanwhile, so that one which a killed process has left is known as such.

    Args:
        path: The file.
        access: Variables; where there are none, there is no file.

    Raises:
        ServiceError: The file is that of a process which still runs.
    """
    if not access:
        yield
        return
    busy = ServiceError(f"{path}: another process serves this project; end that one first")
    if find_access(path):
        raise busy
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with hold(partial, busy, private=True):  # the file keeps its lock when it gets its final name
        partial.write_text("".join(f"{name}={value}\n" for name, value in access.items()), "utf-8")
        partial.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def find_access(path: Path = ACCESS) -> dict[str, str]:
    """How this project's servers are reached that run now, as variables; empty where none do."""
    if not is_held(path):  # missing, or left by a process that was killed
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:  # it has gone meanwhile
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)
