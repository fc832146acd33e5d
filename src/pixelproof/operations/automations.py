"""Automations of the Prefect server: dead runs become Crashed, people are notified.

Each automation is known by its name, so that to make them again changes nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pixelproof.errors import ParameterError
from pixelproof.operations.champion_events import DEGRADED, PROMOTED
from pixelproof.system.projects import LABEL, Project

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.events.schemas.automations import AutomationCore

FLOWS = ["harden", "monitor"]
SILENCE_SECONDS = 90.0  # three heartbeats
PENDING_SECONDS = 300.0  # a process that starts has sent its first by then
_RUN = "prefect.flow-run"
_ENDS = {f"{_RUN}.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")}
_WAITS = {f"{_RUN}.{state}" for state in ("Scheduled", "Late", "AwaitingConcurrencySlot")}
_HEARTBEAT = f"{_RUN}.heartbeat"
_OURS: dict[str, Any] = {
    "match": {"prefect.resource.id": f"{_RUN}.*"},
    # Flows of other projects on the same server may beat more slowly, and are not ours to end.
    "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": FLOWS},
    "for_each": {"prefect.resource.id"},
}


def _silent(name: str, after: set[str], seconds: float, message: str) -> "AutomationCore":
    from prefect.client.schemas.objects import StateType
    from prefect.events import ChangeFlowRunState, EventTrigger, Posture
    from prefect.events.schemas.automations import AutomationCore

    trigger = EventTrigger(
        after=after,
        expect={_HEARTBEAT, *_ENDS, *_WAITS},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
        **_OURS,
    )
    crash = ChangeFlowRunState(
        state=StateType.CRASHED, name="Crashed", message=message, force=False
    )
    return AutomationCore(name=name, description=message, trigger=trigger, actions=[crash])


def _notifications(block: "UUID", project: Project) -> "list[AutomationCore]":
    from prefect.events import EventTrigger, Posture, SendNotification
    from prefect.events.schemas.automations import AutomationCore

    ended = EventTrigger(
        expect={f"{_RUN}.Failed", f"{_RUN}.Crashed", f"{_RUN}.TimedOut"},
        posture=Posture.Reactive,
        threshold=1,
        match=_OURS["match"],
        match_related={
            "prefect.resource.role": "work-pool",
            "prefect.resource.name": project.pool,
        },
        for_each=_OURS["for_each"],
    )
    changed = EventTrigger(
        match={"prefect.resource.id": "pixelproof.champion", LABEL: project.name},
        expect={PROMOTED, DEGRADED},
        posture=Posture.Reactive,
        threshold=1,
    )
    notification = SendNotification(
        block_document_id=block,
        subject=f"{project.name}: " + "{{ flow.name }} {{ flow_run.state.name }}",
        body="{{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run | ui_url }}",
    )
    spoken = SendNotification(
        block_document_id=block,
        subject=f"{project.name}: " + "{{ event.event }}",
        body="{% for key in event.payload %}{{ key }}: {{ event.payload[key] }}\n{% endfor %}",
    )
    return [
        AutomationCore(
            name=f"{project.name}: tell of failures",
            description=f"A run of {project.name} failed or crashed.",
            trigger=ended,
            actions=[notification],
        ),
        AutomationCore(
            name=f"{project.name}: tell of the champion",
            description="A model was promoted, or the champion has become worse.",
            trigger=changed,
            actions=[spoken],
        ),
    ]


def _find_block(client: "SyncPrefectClient", slug: str) -> "UUID":
    """The id of a notification block, `type/name`.

    Raises:
        ParameterError: There is none of that name that could notify.
    """
    kind, _, name = slug.partition("/")
    blocks = {
        f"{block.block_type.slug}/{block.name}": block
        for block in client.read_block_documents(limit=200, include_secrets=False)
        if block.block_type and block.block_schema and "notify" in block.block_schema.capabilities
    }
    if not kind or not name or slug not in blocks:
        known = f"one of {sorted(blocks)}" if blocks else "made on Prefect's page, Blocks"
        raise ParameterError(f"--notify: expected a notification block, {known}, got {slug!r}")
    return blocks[slug].id


def _content(automation: "AutomationCore") -> Any:
    """What an automation does, without what the server adds to it and a person may switch."""
    content = automation.model_dump(mode="json", include={"description", "trigger", "actions"})
    content["trigger"].pop("id", None)
    for key in ("after", "expect", "for_each"):
        content["trigger"][key] = sorted(content["trigger"][key])
    return content


def _ensure(client: "SyncPrefectClient", wanted: "AutomationCore") -> None:
    existing = client.read_automations_by_name(wanted.name)
    known = existing[0] if existing else None
    for duplicate in existing[1:]:
        client.delete_automation(duplicate.id)
    if known is None:
        client.create_automation(wanted)
    elif _content(known) != _content(wanted):
        wanted.enabled = known.enabled  # a person may have switched it off
        client.update_automation(known.id, wanted)


def ensure_automations(client: "SyncPrefectClient", project: Project, notify: str | None) -> None:
    """Make the automations, or bring them up to date; what is as it should be stays untouched.

    Dead runs are the same for all projects of a server, notifications are each project's own.

    Args:
        client: Of the server.
        project: Whose failures and promotions are told.
        notify: The notification block, `type/name`; None leaves notifications as they are.

    Raises:
        ParameterError: There is no such block.
    """
    wanted = [
        _silent(
            "pixelproof: dead runs",
            {_HEARTBEAT, f"{_RUN}.Running"},  # it may die before its first
            SILENCE_SECONDS,
            f"no sign of life for {SILENCE_SECONDS:.0f} s: its process or its machine has died",
        ),
        _silent(
            "pixelproof: runs that never begin",
            {f"{_RUN}.Pending"},
            PENDING_SECONDS,
            f"did not begin within {PENDING_SECONDS:.0f} s: its worker has died",
        ),
    ]
    if notify:
        wanted += _notifications(_find_block(client, notify), project)
    for automation in wanted:
        _ensure(client, automation)


def crash_dead_runs(client: "SyncPrefectClient", pool: str, alone: bool) -> list[str]:
    """Turn runs to Crashed that no process works on any more; call it before a worker starts.

    The server forgets whom it waits for where it was down itself for more than a minute or two,
    as after a power cut. Such a run would seem to work for ever, and hold the pool's only place.

    Args:
        client: Of the server.
        pool: The work pool that is looked at.
        alone: No other worker can have runs of it; otherwise only silent runs count as dead.

    Returns:
        The names of these runs.
    """
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.states import Crashed

    living = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(living),
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [pool]}}),
    )
    dead = [run for run in runs if alone or _is_silent(client, run)]
    for run in dead:
        client.set_flow_run_state(run.id, Crashed(message="its process or its machine has died"))
    return [run.name for run in dead]


def _is_silent(client: "SyncPrefectClient", run: "FlowRun") -> bool:
    patience = PENDING_SECONDS if run.state_type == "PENDING" else SILENCE_SECONDS
    since = datetime.now(UTC) - timedelta(seconds=patience)
    if run.state is None or run.state.timestamp > since:
        return False
    wanted = {
        "event": {"name": [_HEARTBEAT]},
        "resource": {"id": [f"{_RUN}.{run.id}"]},
        "occurred": {"since": since.isoformat()},
    }
    answer = client.request("POST", "/events/filter", json={"filter": wanted})
    return not answer.json()["events"]
