"""Servers and workers that run for as long as this process does: started, watched, ended."""

import logging
import logging.handlers
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pixelproof.errors import ServiceError
from pixelproof.system.processes import environment, kept

START_SECONDS = 120.0
STOP_SECONDS = 20.0  # more than what subreaper.py takes
STEADY_SECONDS = 60.0  # one that lived that long has started well
ATTEMPTS = 5  # in a row, before a service that keeps ending is given up
LOG_BYTES, LOG_FILES = 10_000_000, 3


class ServiceLog:
    """One file for all services, each line with its time and its service; old lines give way."""

    def __init__(self, path: Path) -> None:
        """Begin to write to a file, after what it holds."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="replace"
        )
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(name)-8s %(message)s"))

    def write(self, service: str, line: str) -> None:
        """Write a line of a service; threads may."""
        record = logging.LogRecord(service, logging.INFO, "", 0, line, None, None)
        self._handler.handle(record)

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


@dataclass
class Service:
    """Something to be run.

    Attributes:
        name: In the log, for people.
        command: Its command line.
        variables: What it finds in its environment beside ours.
        healthy: Whether it does its work; raises OSError or ServiceError, or says no, where not.
    """

    name: str
    command: list[str]
    variables: Mapping[str, str]
    healthy: Callable[[], bool]
    process: "subprocess.Popen[str] | None" = None
    started: float = 0.0
    failures: int = 0
    last_line: str = ""


class Services:
    """The services that run now; a context that ends them all, the last first."""

    def __init__(self, log: ServiceLog, tell: Callable[[str], object]) -> None:
        """Start with none.

        Args:
            log: Of all that they write.
            tell: Is given a line where one of them ended and is started anew.
        """
        self._log = log
        self._tell = tell
        self._all: list[Service] = []
        self._readers: list[threading.Thread] = []

    def start(self, service: Service) -> None:
        """Start a service; `wait` waits until it works."""
        self._all.append(service)
        self._launch(service)

    def wait(self, service: Service) -> None:
        """Wait until a service works.

        Raises:
            ServiceError: It ended, or did not work in time; names the last line of its output.
        """
        end = time.monotonic() + START_SECONDS
        assert service.process is not None
        while time.monotonic() < end:
            if service.process.poll() is not None:
                raise ServiceError(f"{self._ended(service)}; see {self._log.path}")
            try:
                if service.healthy():
                    return
            except (OSError, ServiceError):  # not yet
                pass
            time.sleep(0.2)
        raise ServiceError(
            f"{service.name} did not answer within {START_SECONDS:.0f} s; see {self._log.path}"
        )

    def watch(self) -> None:
        """Start anew what ends, for ever.

        Raises:
            ServiceError: A service ends again and again.
        """
        while True:
            for service in self._all:
                if service.process is not None and service.process.poll() is not None:
                    self._revive(service)
            time.sleep(0.5)

    def _launch(self, service: Service) -> None:
        service.last_line = ""
        service.started = time.monotonic()
        # In a session of its own, or Ctrl-C would end all at once instead of one after the other.
        service.process = subprocess.Popen(
            kept(service.command),
            env=environment(**service.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(service, service.process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, service: Service, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.strip():
                    service.last_line = line.strip()
                    self._log.write(service.name, line.rstrip())

    def _ended(self, service: Service) -> str:
        assert service.process is not None
        last = f" ({service.last_line})" if service.last_line else ""
        return f"{service.name} ended with {service.process.returncode}{last}"

    def _revive(self, service: Service) -> None:
        steady = time.monotonic() - service.started > STEADY_SECONDS
        service.failures = 1 if steady else service.failures + 1
        what = self._ended(service)
        if service.failures >= ATTEMPTS:
            raise ServiceError(f"{what}, {ATTEMPTS} times in a row; see {self._log.path}")
        self._log.write("serve", f"{what}; it is started anew")
        self._tell(f"{what}; it is started anew")
        time.sleep(2.0 ** (service.failures - 1) - 1)
        self._launch(service)

    def __enter__(self) -> Self:
        """Begin with nothing to end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End each, the last first, so that each still finds what it reports to."""
        for service in reversed(self._all):
            if service.process is None:
                continue
            service.process.terminate()
            try:
                service.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
        for reader in self._readers:
            reader.join(5)
