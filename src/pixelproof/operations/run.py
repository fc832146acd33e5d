"""What a person starts around the pipeline: a tracked run of it, the page of runs, a tidy-up."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pixelproof.errors import ParameterError, PipelineError, ServiceError
from pixelproof.operations.servers import (
    Server,
    free_port,
    mlflow_readers,
    mlflow_server,
    private_folder,
    published,
)
from pixelproof.operations.worktrees import idle
from pixelproof.params.project import Params, load_params
from pixelproof.paths import ADVERSARIAL, CHECKPOINTS, LEDGER, MODELS, OTHERS, PLOTS
from pixelproof.reporting.show import show
from pixelproof.system import dvc, git
from pixelproof.system.files import discard
from pixelproof.system.processes import bound, environment
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.pruning import prune_runs
from pixelproof.tracking.session import send, track_pipeline
from pixelproof.tracking.store import check_store, experiment_name, follow_move, server_of

DEMO = Path("profiles/elpv.yaml")
GPU = Path("/dev/nvidia0")  # told without importing torch
UI_SECONDS = 90.0
UI_ACCESS = Path(".pixelproof/ui.env")


def _hint(params: Params) -> str | None:
    """How to use a GPU that the default profile leaves nearly idle."""
    if not (GPU.exists() and DEMO.is_file() and params == load_params(DEMO)):
        return None
    return (
        "A GPU was found: `pixelproof profile use resnet101 && make run` fine-tunes ResNet101 on "
        "it, as the paper does."
    )


def run_pipeline(params: Params) -> None:
    """Run the pipeline through DVC, track it, and show what came out.

    Raises:
        PipelineError: A stage failed; it has said why.
        ServiceError: The tracking store does not answer.
    """
    if hint := _hint(params):
        print(hint)
    with track_pipeline(params, "pixelproof run") as tracked:
        repro = bound([sys.executable, "-m", "dvc", "repro"])
        process = subprocess.Popen(repro, env=environment(**tracked.environment))
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code != 0:
            raise PipelineError("a stage failed, see above; `make run` goes on from there")
    print(show())
    if tracked.address:
        remote = os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http")
        print(f"Compare runs: {tracked.address if remote else 'make ui'}")


def send_waiting() -> str:
    """Send the records that wait for the tracking store; says how many there were."""
    return f"{send()} records sent"


def experiment_address(server: str) -> str:
    """The page of the experiment on a server."""
    name = quote(experiment_name())
    query = f"{server}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}"
    try:
        with urllib.request.urlopen(query, timeout=10) as answer:
            found = json.load(answer)["experiment"]["experiment_id"]
    except (OSError, ValueError, KeyError):
        return f"{server}/"  # nothing has run yet
    return f"{server}/#/experiments/{found}/runs?workflowType=machine_learning"


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
    end = time.monotonic() + UI_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServiceError(
                f"the MLflow server ended with {process.returncode}; see mlruns/server.log"
            )
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise ServiceError(f"{url} did not answer within {UI_SECONDS:.0f} s")


def _size(*folders: Path) -> int:
    """Bytes below some folders."""
    found = (one for folder in folders for one in folder.rglob("*"))
    return sum(one.lstat().st_size for one in found if not one.is_dir())


def _remove_unused(params: Params) -> list[Path]:
    """Delete what removed baselines and arms have left behind."""
    kept = set(params.models)
    folders = (MODELS, LEDGER, ADVERSARIAL, CHECKPOINTS, PLOTS / "curves")
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
    """Delete all but the newest pipeline runs, and what the workspace and as many commits hold not.

    Args:
        keep: How many pipeline runs, and how many commits' data, stay.

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
    names = f"; files of {sorted({one.stem for one in unused})} deleted" if unused else ""
    return f"{words}{names}; {freed:.0f} MB freed"
