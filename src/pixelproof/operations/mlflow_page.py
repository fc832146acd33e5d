"""MLflow's pages of this project's runs, served until a person interrupts it."""

import json
import os
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pixelproof.errors import ServiceError
from pixelproof.operations.servers import (
    Server,
    answers,
    free_port,
    mlflow_readers,
    mlflow_server,
    private_folder,
    published,
)
from pixelproof.system.processes import bound, environment
from pixelproof.tracking.store import check_store, experiment_name, follow_move, server_of

UI_SECONDS = 90.0
UI_ACCESS = Path(".pixelproof/ui.env")


def experiment_address(server: str) -> str:
    """The page of the experiment on a server."""
    name = quote(experiment_name())
    query = f"{server}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}"
    try:
        with urllib.request.urlopen(query, timeout=10) as answer:
            experiment = json.load(answer)["experiment"]["experiment_id"]
    except (OSError, ValueError, KeyError):
        return f"{server}/"  # nothing has run yet
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning"


def _open(address: str) -> None:
    import webbrowser

    print(f"MLflow: {address}    (Ctrl-C ends it)", flush=True)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def open_page(port: int, auth: bool) -> None:
    """Serve the MLflow page of this project's runs until it is interrupted, and say where.

    Args:
        port: The first to try, on 127.0.0.1. A server that `MLFLOW_TRACKING_URI` names is
            shown as it is.
        auth: Ask for a password.

    Raises:
        ServiceError: The server does not start or answer.
    """
    store = check_store()
    if store.folder is None:
        _open(experiment_address(server_of(store.uri)))
        return
    store.folder.mkdir(parents=True, exist_ok=True)
    follow_move(store, experiment_name())
    with private_folder(auth) as private:
        server = mlflow_server(store, free_port(port), private)
        with published(UI_ACCESS, server.access if auth else {}):
            _serve_page(server, store.folder / "server.log")


def _serve_page(server: Server, path: Path) -> None:
    with path.open("w") as log:
        process = subprocess.Popen(
            bound(server.command), env=environment(**server.variables), stdout=log, stderr=log
        )
        try:
            _wait_for(f"{server.address}/health", process)
            _open(experiment_address(server.address))
            print(mlflow_readers(server, UI_ACCESS), flush=True)
            with suppress(KeyboardInterrupt):  # how a person ends it
                process.wait()
        finally:
            process.terminate()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    if answers(url, process, UI_SECONDS):
        return
    if process.poll() is not None:
        raise ServiceError(
            f"the MLflow server ended with {process.returncode}; see mlruns/server.log"
        )
    raise ServiceError(f"{url} did not answer within {UI_SECONDS:.0f} s")
