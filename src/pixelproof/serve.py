"""Everything that runs by itself, on one machine: `pixelproof serve`."""

import fcntl
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pixelproof.automations import crash_dead_runs, ensure_automations
from pixelproof.deployments import (
    POOL,
    PROJECT,
    configured_url,
    deploy,
    deployment_names,
    ensure_pool,
    keep_switches,
    prefect_client,
    read_schedules,
    read_timezone,
    worker_online,
)
from pixelproof.errors import ServiceError
from pixelproof.services import Service, ServiceLog, Services
from pixelproof.stores import check_store, plain, server_of
from pixelproof.tracking import Tracker
from pixelproof.workflow import experiment_address, free_port, mlflow_command, mlflow_environment

LOG = Path("mlruns/serve.log")
NOTIFY = "PIXELPROOF_NOTIFY"  # a notification block, TYPE/NAME


@contextmanager
def _only_one() -> Iterator[None]:
    """Hold Prefect's folder: two servers over one database would schedule beside each other."""
    from prefect.settings import PREFECT_HOME

    home = Path(str(PREFECT_HOME.value()))
    home.mkdir(parents=True, exist_ok=True)
    with (home / "pixelproof-serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                f"{home}: another `pixelproof serve` uses it; end that one, or set PREFECT_HOME to "
                "another folder"
            ) from None
        yield


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


def _mlflow(services: Services, port: int) -> tuple[str, Service | None]:
    """The MLflow server to use, and the one that this has started for it."""
    store = check_store()
    if store.folder is None:
        return store.uri, None
    store.folder.mkdir(parents=True, exist_ok=True)
    Tracker(store)  # makes the database once, and the artifacts' address that of this machine
    found = free_port(port)
    url = f"http://127.0.0.1:{found}"
    service = Service(
        "mlflow",
        mlflow_command(store, found),
        mlflow_environment(),
        lambda: _answers(f"{url}/health"),
    )
    services.start(service)
    return url, service


def _prefect(services: Services, port: int) -> tuple[str, Service | None]:
    """The Prefect server to use, and the one that this has started for it."""
    if url := configured_url():
        return url, None
    found = free_port(port)
    url = f"http://127.0.0.1:{found}/api"
    command = [sys.executable, "-m", "prefect", "server", "start"]
    command += ["--host", "127.0.0.1", "--port", str(found)]
    variables = {
        "PREFECT_API_URL": url,
        "PREFECT_UI_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    service = Service("prefect", command, variables, lambda: _answers(f"{url}/health"))
    services.start(service)
    return url, service


def _worker(api: str, tracking: str) -> Service:
    """A process that takes the runs of the pool; it gives them what it finds in its environment."""
    name = f"serve-{socket.gethostname()}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
    command += ["--type", "process", "--name", name, "--install-policy", "never"]
    variables = {
        "PREFECT_API_URL": api,
        "MLFLOW_TRACKING_URI": tracking,
        PROJECT: str(Path.cwd()),
        "DO_NOT_TRACK": "1",
    }
    since = datetime.now(UTC)

    def online() -> bool:
        with prefect_client(api) as client:
            return worker_online(client, name, since)

    return Service("worker", command, variables, online)


def _summary(api: str, tracking: str, schedules: dict[str, list[str]]) -> str:
    """Where to look, and what starts when."""
    page = experiment_address(server_of(tracking))
    width = max(len(name) for name in schedules)
    lines = [
        f"Prefect: {plain(api.removesuffix('/api'))}",
        f"MLflow:  {plain(page)}",
        f"Log:     {LOG}",
        "",
        *(
            f"  {name:{width}}  {', '.join(when) or 'when images are announced'}"
            for name, when in schedules.items()
        ),
        "",
        f"After `dvc add`:  PREFECT_API_URL={plain(api)} pixelproof announce-data",
        "Ctrl-C ends it all.",
    ]
    return "\n".join(lines)


def serve(notify: str | None, prefect_port: int, mlflow_port: int) -> None:
    """Run the servers, the deployments and a worker until this is interrupted.

    Args:
        notify: The notification block that failures and promotions are told to.
        prefect_port: The first to try, unless `PREFECT_API_URL` names a server.
        mlflow_port: The first to try, unless `MLFLOW_TRACKING_URI` names a server.

    Raises:
        ParameterError: A setting is wrong.
        ServiceError: A server does not start or answer, or refuses what it is told.
    """
    names, zone = deployment_names(), read_timezone()

    def say(line: str) -> None:
        print(line, flush=True)

    with _only_one(), closing(ServiceLog(LOG)) as log, Services(log, say) as services:
        tracking, mlflow = _mlflow(services, mlflow_port)
        api, prefect = _prefect(services, prefect_port)
        for service in (prefect, mlflow):  # side by side
            if service is not None:
                services.wait(service)
        with prefect_client(api) as client:
            ensure_pool(client)
            with keep_switches(client, names):
                deploy(api, zone, lambda line: log.write("deploy", line))
            schedules = read_schedules(client, names)
            ensure_automations(client, notify or os.environ.get(NOTIFY) or None)
            for name in crash_dead_runs(client, POOL, alone=prefect is not None):
                say(f"{name}: its process or its machine has died; its run is Crashed")
        worker = _worker(api, tracking)
        services.start(worker)
        services.wait(worker)
        say(_summary(api, tracking, schedules))
        with suppress(KeyboardInterrupt):  # how a person ends it
            services.watch()
