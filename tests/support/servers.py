"""Real servers for tests, each ended with the block that needs it."""

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.waiting import busy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], home: Path, **variables: str) -> Iterator[None]:
    """A server in a process group of its own, which is ended with it."""
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **variables,
    }
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):  # what the server started and left behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, log: Path, seconds: float = 90) -> str:
    start = time.monotonic()
    while time.monotonic() - start < seconds * busy():
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer: {log.read_text()[-2000:]}")


def mlflow_command(port: str, home: Path) -> list[str]:
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    return [*command, "--artifacts-destination", str(home)]


@contextmanager
def proxy(port: str, behave: Callable[[str], str]) -> Iterator[str]:
    """A server before another one that does as it is told with each request.

    Args:
        port: Of the one behind.
        behave: Is given a path; says `pass`, `lose` the reply, `hang`, or a status to answer with.

    Yields:
        Its address.
    """

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told = behave(self.path)
            if told == "hang":
                time.sleep(10)
            if told not in ("pass", "lose"):
                self.send_error(int(told) if told.isdigit() else 503)
                return
            headers = {key: value for key, value in self.headers.items() if key != "Host"}
            sent = body if "Content-Length" in self.headers else None
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{self.path}", sent, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    status, content = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    status, content = error.code, error.read()
            if told == "lose":
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=front.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_port}"
    finally:
        front.shutdown()
        thread.join()
        front.server_close()
