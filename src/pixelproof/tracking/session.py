"""Which process sends records: the one that started the pipeline, else each stage its own.

A stage that sends would wait for MLflow's import each time, so whoever starts a pipeline sends
beside it. A store that stops answering in mid-run stops nothing: what waits goes with the next.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelproof.errors import PixelproofError, ServiceError, one_line
from pixelproof.params.project import Params
from pixelproof.system import files
from pixelproof.tracking import outbox, records, stage_records
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.records import Record
from pixelproof.tracking.sending import Sender
from pixelproof.tracking.store import check_store, enabled, find_store

PARENT = "PIXELPROOF_PARENT_RUN"  # the id of the run above those of the stages
SENDER = "PIXELPROOF_SENDER"  # the process that sends what the stages write down
LOGGED = "PIXELPROOF_LOG_MODEL"  # the name of the only model that is logged; unset: all are
SEND_SECONDS = 2.0
SESSION = outbox.SPOOL / "session"


@dataclass(frozen=True)
class Tracked:
    """A pipeline run that is tracked.

    Attributes:
        environment: What its stages must find in theirs.
        address: The page of its run; None where nothing is tracked.
    """

    environment: dict[str, str] = field(default_factory=dict)
    address: str | None = None


def _warn(error: PixelproofError) -> None:
    waiting = len(outbox.waiting())
    print(
        f"pixelproof: {one_line(str(error))}. {waiting} records wait in {outbox.SPOOL}; "
        "they are sent with the next run, or by `pixelproof sync`",
        file=sys.stderr,
    )


def _process(pid: int) -> str:
    """A name for a process that no later one with the same number has."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{pid} started at {fields[19]}"


def ready() -> None:
    """Before a stage of a bare `dvc repro` works: can its store be reached?

    Only the first stage of a run insists; later, the store may come back.

    Raises:
        ParameterError: The store's address cannot be used.
        ServiceError: The store does not answer.
    """
    if not enabled() or os.environ.get(SENDER):
        return
    run = _process(os.getppid())
    if SESSION.is_file() and SESSION.read_text(errors="replace") == run:
        find_store()
        return
    check_store()
    files.write_text(SESSION, run)


def tell(params: Params, stage: str, item: str | None, started: float) -> None:
    """Write down what a stage has to show, and send it unless another process does.

    Args:
        params: Of the project.
        stage: Which has just ended.
        item: Its baseline, arm or model.
        started: When, in seconds since 1970.
    """
    if not enabled():
        return
    name = stage if item is None else f"{stage}@{item}"
    sender = os.environ.get(SENDER)
    try:
        _put(params, stage_records.of_stage(params, stage, item), name, started, os.environ)
        if not (sender and Path(f"/proc/{sender}").exists()):
            send()
    except PixelproofError as error:  # the stage's work is done and must not be done again
        _warn(error)


def _put(
    params: Params, content: list[Record], stage: str, started: float, variables: Mapping[str, str]
) -> None:
    """Put records into the outbox; `variables` is the environment of the run's stages."""
    ended, logged = time.time(), variables.get(LOGGED)
    timed = [replace(record, started=started, ended=ended) for record in content]
    if logged is not None:
        timed = [item if item.run == logged else replace(item, model=None) for item in timed]
    outbox.put(timed, stage, records.pipeline_key(params), variables.get(PARENT))


def send() -> int:
    """Send all that waits; returns how much it was.

    What can never be sent is set aside and named.

    Raises:
        ParameterError: The store's address cannot be used.
        ServiceError: The store does not answer; what was not sent waits on.
    """
    if not outbox.waiting():
        return 0
    return Sender(Tracker(check_store())).flush()


class _Sending(threading.Thread):
    """Sends what the stages write down, beside them."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(daemon=True)
        self._sender = sender
        self._over = threading.Event()
        self._warned = False

    def run(self) -> None:
        """Look every two seconds."""
        while not self._over.wait(SEND_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Send, or warn once that it could not be done."""
        try:
            self._sender.flush()
            self._warned = False
        except PixelproofError as error:  # params.yaml is read, too, and may be being edited
            if not self._warned:
                _warn(error)
            self._warned = True

    def stop(self) -> None:
        """End after what is being sent."""
        self._over.set()
        self.join()


@contextmanager
def track_pipeline(params: Params, source: str, logged: str | None = None) -> Iterator[Tracked]:
    """Keep the run of a pipeline: begin it, send what its stages have to show, and end it.

    When the block ends well, what did not run again is recorded from its files, so that the run
    is whole whichever stages ran. When it raises, the run ends as FAILED, or KILLED on a signal.

    Args:
        params: Of the project.
        source: What starts the pipeline, for people.
        logged: The only model to log; None logs all.

    Yields:
        The environment that the stages need, and the page of the run.

    Raises:
        ParameterError: The store's address cannot be used.
        ServiceError: The store does not answer at the start.
    """
    if not enabled():
        yield Tracked()
        return
    store = check_store()
    tracker = Tracker(store)
    sender = Sender(tracker)
    parent = tracker.begin(records.pipeline_key(params), source)
    sending = _Sending(sender)
    sending.start()
    try:
        variables = {PARENT: parent, SENDER: str(os.getpid())}
        if logged:
            variables[LOGGED] = logged
        yield Tracked(variables, tracker.address(parent))
        _put(params, stage_records.of_everything(params), "", time.time(), variables)
        status = "FINISHED"
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        sending.stop()
        sending.flush()
        with suppress(ServiceError):  # a warning has been printed
            tracker.end(parent, status, params.stages, sender.ran)
