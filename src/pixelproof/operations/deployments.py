"""What a Prefect server is told of this project: its work pool, and all of `prefect.yaml`."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pixelproof.errors import ParameterError, ServiceError
from pixelproof.system.processes import bound, environment
from pixelproof.system.projects import NAME, PREFECT_FILE, Project
from pixelproof.tracking.store import plain

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

PROJECT = "PIXELPROOF_PROJECT"  # where a worker finds the project
TIMEZONE = "PIXELPROOF_TIMEZONE"  # of the schedules


@contextmanager
def prefect_client(url: str, password: str | None = None) -> "Iterator[SyncPrefectClient]":
    """A client of the Prefect server at an address.

    Args:
        url: The address.
        password: Of that server; None takes what Prefect's own settings say.

    Raises:
        ServiceError: It does not answer, or refuses what is asked of it.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        temporary_settings,
    )

    quick = {PREFECT_API_URL: url, PREFECT_API_REQUEST_TIMEOUT: 20.0}
    known = {PREFECT_API_AUTH_STRING: password} if password else {}
    try:
        with (
            temporary_settings({**quick, **known}),
            get_client(sync_client=True) as client,
        ):
            yield client
    except PrefectHTTPStatusError as error:
        said = " ".join(error.response.text.split())[:200]
        remedy = "; set PREFECT_API_AUTH_STRING" if error.response.status_code == 401 else ""
        raise ServiceError(
            f"Prefect at {plain(url)}: {error.response.status_code}: {said}{remedy}"
        ) from None
    except (httpx.HTTPError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ServiceError(
            f"Prefect at {plain(url)} does not answer ({reason}); start it, or correct "
            "PREFECT_API_URL"
        ) from None


def configured_url() -> str | None:
    """The Prefect server that `PREFECT_API_URL` or Prefect's own profile names."""
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value() or "") or None


def ensure_pool(client: "SyncPrefectClient", name: str) -> None:
    """Make the work pool where it is missing, and let it run one flow at a time.

    One limit over all deployments: two hardenings at once would train and promote beside each
    other.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        made = WorkPoolCreate(
            name=name, type="process", concurrency_limit=1, base_job_template=template
        )
        client.create_work_pool(made)
        return
    if pool.type != "process":
        raise ServiceError(
            f"work pool {name!r}: expected the type 'process', got {pool.type!r}; rename that pool"
        )
    if pool.concurrency_limit != 1:
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=1))


def read_timezone() -> str:
    """The time zone of the schedules.

    Raises:
        ParameterError: It is not known.
    """
    zone = os.environ.get(TIMEZONE) or "UTC"
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise ParameterError(
            f"{TIMEZONE}: expected a time zone such as Europe/Berlin, got {zone!r}"
        ) from None
    return zone


def deploy(
    access: Mapping[str, str], project: Project, zone: str, tell: Callable[[str], object]
) -> None:
    """Tell the server of all deployments in `prefect.yaml`; those that it knows are renewed.

    Args:
        access: Variables by which Prefect finds the server.
        project: What it is told of.
        zone: The time zone of the schedules.
        tell: Is given each line that Prefect writes.

    Raises:
        ServiceError: Prefect refuses one.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    variables = environment(**access, COLUMNS="200", **{TIMEZONE: zone, NAME: project.name})
    # Prefect would write what stands there into the deployment, for the workers of all machines.
    variables.pop(PROJECT, None)
    done = subprocess.run(
        bound(command), env=variables, capture_output=True, text=True, errors="replace", check=False
    )
    framed = (done.stdout + done.stderr).splitlines()
    lines = [text for line in framed if (text := line.strip(" │╭╮╰╯─"))]
    for line in lines:
        tell(line)
    if done.returncode != 0:
        raise ServiceError(f"prefect deploy: {lines[-1] if lines else done.returncode}")


def _read(client: "SyncPrefectClient", names: list[str]) -> "list[DeploymentResponse]":
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    wanted = DeploymentFilter(name=DeploymentFilterName(any_=names))
    return client.read_deployments(deployment_filter=wanted)


@contextmanager
def keep_switches(client: "SyncPrefectClient", names: list[str]) -> Iterator[None]:
    """Have schedules and triggers that a person has switched off stay so while they are renewed."""
    schedules = {
        (one.id, schedule.slug)
        for one in _read(client, names)
        for schedule in one.schedules
        if not schedule.active
    }
    triggers = {one.name for one in client.read_automations() if not one.enabled}
    try:
        yield
    finally:  # one that fails may come after others that were renewed
        for one in _read(client, names):
            for schedule in one.schedules:
                if schedule.id and (one.id, schedule.slug) in schedules:
                    client.update_deployment_schedule(one.id, schedule.id, active=False)
        for automation in client.read_automations():
            if automation.enabled and automation.name in triggers:
                client.pause_automation(automation.id)


def read_schedules(client: "SyncPrefectClient", names: list[str]) -> dict[str, list[str]]:
    """When each deployment starts by itself, for people; empty where on an event.

    Raises:
        ServiceError: The server does not know one of them.
    """
    found = {one.name: one for one in _read(client, names)}
    if missing := [name for name in names if name not in found]:
        raise ServiceError(f"prefect deploy: {missing} of {PREFECT_FILE} did not arrive")
    return {
        name: [
            f"{getattr(one.schedule, 'cron', one.schedule)}"
            f" ({getattr(one.schedule, 'timezone', None) or 'UTC'})"
            for one in found[name].schedules
            if one.active
        ]
        or (["switched off"] if found[name].schedules else [])
        for name in names
    }


def worker_online(client: "SyncPrefectClient", pool: str, name: str, since: datetime) -> bool:
    """Whether a worker of the pool has sent a heartbeat since `since`."""
    workers = client.read_workers_for_work_pool(pool)
    seen = [one.last_heartbeat_time for one in workers if one.name == name]
    return any(moment is not None and moment >= since for moment in seen)
