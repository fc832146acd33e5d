"""All servers and schedules on one machine: `pixelproof serve`."""

import os
import socket
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pixelproof.errors import ServiceError
from pixelproof.operations.automations import crash_dead_runs, ensure_automations
from pixelproof.operations.deployments import (
    PROJECT,
    configured_url,
    deploy,
    ensure_pool,
    keep_switches,
    prefect_client,
    read_schedules,
    read_timezone,
    worker_online,
)
from pixelproof.operations.mlflow_page import experiment_address
from pixelproof.operations.servers import (
    ACCESS,
    PREFECT_AUTH,
    PREFECT_URL,
    Server,
    free_port,
    mlflow_readers,
    mlflow_server,
    prefect_server,
    private_folder,
    published,
)
from pixelproof.operations.supervisor import Service, ServiceLog, Services
from pixelproof.system.locks import hold
from pixelproof.system.projects import Project, read_project
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.store import check_store, find_store, plain, server_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LOG = Path("mlruns/serve.log")
NOTIFY = "PIXELPROOF_NOTIFY"  # a notification block, TYPE/NAME


def _only_one() -> AbstractContextManager[None]:
    """Hold Prefect's folder: two servers over one database would schedule beside each other."""
    from prefect.settings import PREFECT_HOME

    home = Path(str(PREFECT_HOME.value()))
    busy = ServiceError(
        f"{home}: another `pixelproof serve` uses it; end that one, or set PREFECT_HOME to "
        "another folder"
    )
    return hold(home / "pixelproof-serve.lock", busy)


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


def _start(services: Services, name: str, server: Server, health: str) -> Service:
    service = Service(
        name, server.command, server.variables, lambda: _answers(f"{server.address}/{health}")
    )
    services.start(service)
    return service


def _mlflow(port: int, private: Path | None) -> Server | None:
    """The MLflow server to start; None where one is named, or the store is on no machine's disk."""
    store = check_store()
    if store.folder is None:
        return None
    store.folder.mkdir(parents=True, exist_ok=True)
    Tracker(store)  # makes the database once, and the artifacts' address that of this machine
    return mlflow_server(store, free_port(port), private)


def _worker(access: Mapping[str, str], pool: str) -> Service:
    """A process that takes the runs of the pool; it gives them what it finds in its environment."""
    name = f"serve-{socket.gethostname()}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    command += ["--type", "process", "--name", name, "--install-policy", "never"]
    variables = {**access, PROJECT: str(Path.cwd()), "DO_NOT_TRACK": "1"}
    since = datetime.now(UTC)

    def online() -> bool:
        with _client(access) as client:
            return worker_online(client, pool, name, since)

    return Service("worker", command, variables, online)


def _client(access: Mapping[str, str]) -> "AbstractContextManager[SyncPrefectClient]":
    return prefect_client(access[PREFECT_URL], access.get(PREFECT_AUTH))


def _summary(
    access: Mapping[str, str],
    prefect: Server | None,
    mlflow: Server | None,
    pool: str,
    schedules: dict[str, list[str]],
) -> str:
    """Where to look and how to get in, and what starts when."""
    api = plain(access[PREFECT_URL])
    page = experiment_address(server_of(access["MLFLOW_TRACKING_URI"]))
    width = max(len(name) for name in schedules)
    announce = "pixelproof announce-data"
    lines = [
        f"Prefect: {api.removesuffix('/api')}",
        *([f"         log in with {PREFECT_AUTH} of {ACCESS}"] if prefect else []),
        f"MLflow:  {plain(page)}",
        *([f"         {mlflow_readers(mlflow, ACCESS)}"] if mlflow else []),
        f"Pool:    {pool}",
        f"Log:     {LOG}",
        "",
        *(
            f"  {name:{width}}  {', '.join(when) or 'when images are announced'}"
            for name, when in schedules.items()
        ),
        "",
        f"After `dvc add`:  {announce if prefect else f'{PREFECT_URL}={api} {announce}'}",
        *([f"For `prefect …`:  export $(cat {ACCESS})"] if prefect else []),
        "Ctrl-C ends it all.",
    ]
    return "\n".join(lines)


def serve(notify: str | None, prefect_port: int, mlflow_port: int, mlflow_auth: bool) -> None:
    """Run the servers, the deployments and a worker until this is interrupted.

    Args:
        notify: The notification block for failures and promotions.
        prefect_port: The first to try, unless `PREFECT_API_URL` names a server.
        mlflow_port: The first to try, unless `MLFLOW_TRACKING_URI` names a server.
        mlflow_auth: Have an own MLflow server ask for a password.

    Raises:
        ParameterError: A setting is wrong.
        ServiceError: A server does not start or answer, or refuses a request.
    """
    project, zone = read_project(), read_timezone()
    with _only_one(), private_folder(mlflow_auth) as private:
        url = configured_url()
        prefect = None if url else prefect_server(free_port(prefect_port))
        mlflow = _mlflow(mlflow_port, private)
        own = {**(mlflow.access if mlflow else {}), **(prefect.access if prefect else {})}
        with (
            closing(ServiceLog(LOG)) as log,
            Services(log, _say) as services,
            published(ACCESS, own),
        ):
            started = [
                *([_start(services, "mlflow", mlflow, "health")] if mlflow else []),
                *([_start(services, "prefect", prefect, "api/health")] if prefect else []),
            ]
            for service in reversed(started):  # side by side
                services.wait(service)
            access = {PREFECT_URL: str(url), "MLFLOW_TRACKING_URI": find_store().uri, **own}
            schedules = _deploy(access, project, zone, log)
            _automate(access, project, notify, alone=prefect is not None)
            worker = _worker(access, project.pool)
            services.start(worker)
            services.wait(worker)
            _say(_summary(access, prefect, mlflow, project.pool, schedules))
            with suppress(KeyboardInterrupt):  # how a person ends it
                services.watch()


def _say(line: str) -> None:
    print(line, flush=True)


def _deploy(
    access: Mapping[str, str], project: Project, zone: str, log: ServiceLog
) -> dict[str, list[str]]:
    """Register the pool and the deployments; returns when each is scheduled."""
    with _client(access) as client:
        ensure_pool(client, project.pool)
        with keep_switches(client, project.deployments):
            deploy(access, project, zone, lambda line: log.write("deploy", line))
        return read_schedules(client, project.deployments)


def _automate(access: Mapping[str, str], project: Project, notify: str | None, alone: bool) -> None:
    """Set up the server's automations, and close the runs whose process has died."""
    with _client(access) as client:
        ensure_automations(client, project, notify or os.environ.get(NOTIFY) or None)
        for name in crash_dead_runs(client, project.pool, alone=alone):
            _say(f"{name}: its process or its machine has died; its run is Crashed")
