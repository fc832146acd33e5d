"""All that runs by itself: real servers, a real worker, and flows that only wait."""

import base64
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from pixelproof.system.projects import project_name
from tests.conftest import ROOT
from tests.support.repository import ENVIRONMENT, run, run_with
from tests.support.servers import free_port
from tests.support.waiting import busy, wait

CANARY = "a-secret-that-must-stay-in-the-environment"
HARDEN = '''
import json, os, time
from pathlib import Path
from typing import Any, Literal
from prefect import flow


@flow(name="harden")
def harden(
    profile: str | None = None,
    overrides: dict[str, Any] = {},
    revision: str | None = None,
    data: str | None = None,
    promotion: Literal["off", "dry run", "promote"] = "off",
    branch: str | None = None,
) -> None:
    """Wait.

    Args:
        profile: A whole experiment.
        overrides: Single keys of params.yaml.
        revision: A git revision.
        data: The text of data.dvc.
        promotion: What becomes of a better model.
        branch: Where the result is committed.
    """
    began = time.time()
    line = {"pid": os.getpid(), "data": data, "began": began, "folder": os.getcwd()}
    line["tracking"] = os.environ["MLFLOW_TRACKING_URI"]
    with Path("began").open("a") as file:
        file.write(json.dumps(line) + "\\n")
    while time.time() < began + overrides.get("seconds", 0):
        time.sleep(0.1)
    if overrides.get("fail"):
        raise ValueError("planted")
    with Path("ended").open("a") as file:
        file.write(json.dumps(line | {"ended": time.time()}) + "\\n")
'''
MONITOR = '''
from typing import Any
from prefect import flow


@flow(name="monitor")
def monitor(
    profile: str | None = None,
    overrides: dict[str, Any] = {},
    revision: str = "HEAD",
    data: str | None = None,
) -> None:
    """Do nothing."""
'''
ACCESS = {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}
NOTIFY = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from pixelproof.operations.automations import ensure_automations
from pixelproof.operations.deployments import prefect_client
from pixelproof.system.projects import read_project

url, project = sys.argv[1], read_project()
body = {"subject": "{{subject}}", "body": "{{body}}"}
hook = CustomWebhookNotificationBlock(name="team", method="POST", url=sys.argv[2], json_data=body)
hook.save("team")
with prefect_client(url) as client:
    ensure_automations(client, project, "custom-webhook/team")
    before = client.read_automations()
    ensure_automations(client, project, "custom-webhook/team")
    assert client.read_automations() == before
    client.pause_automation(before[0].id)
    ensure_automations(client, project, None)
    assert sum(not one.enabled for one in client.read_automations()) == 1
    client.resume_automation(before[0].id)
"""


class Serving:
    """A project that is served."""

    def __init__(self, root: Path, home: Path, **variables: str) -> None:
        self.root = root
        self.home = home
        self.environment = {
            key: value for key, value in ENVIRONMENT.items() if not key.startswith("PREFECT")
        }
        self.environment |= {
            "PREFECT_HOME": str(home),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PIXELPROOF_TIMEZONE": "Europe/Berlin",
            "MLFLOW_TRACKING_PASSWORD": CANARY,
            **variables,
        }
        self.said = ""

    def __enter__(self) -> Self:
        command = ["pixelproof", "serve", "--prefect-port", str(free_port())]
        self.process = subprocess.Popen(
            [*command, "--mlflow-port", str(free_port())],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                break
        assert "Ctrl-C" in self.said, self.said + self.log()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=40 * busy())

    @property
    def access(self) -> dict[str, str]:
        """How its servers are reached, as a person or a command finds it."""
        path = self.root / ".pixelproof" / "serve.env"
        if not path.exists():
            return {name: one for name, one in self.environment.items() if name in ACCESS}
        return dict(line.split("=", 1) for line in path.read_text().splitlines())

    @property
    def name(self) -> str:
        return project_name(self.root)

    def log(self) -> str:
        return (self.root / "mlruns" / "serve.log").read_text()

    def address(self, name: str) -> str:
        """Of a server, without the page that is told."""
        told = next(line for line in self.said.splitlines() if line.startswith(name))
        return told.split()[1].partition("/#")[0].rstrip("/")

    @property
    def port(self) -> str:
        return self.address("Prefect").rpartition(":")[2]

    @property
    def api(self) -> str:
        return f"{self.address('Prefect')}/api"

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        password = base64.b64encode(self.access["PREFECT_API_AUTH_STRING"].encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {password}"}
        if sent is not None or method is not None:
            token = self.ask("csrf-token?client=test")["token"]
            headers |= {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        request = urllib.request.Request(f"{self.api}/{path}", sent, headers, method=method)
        for last in (False, False, False, True):
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                with error:  # a locked SQLite: Prefect's own clients try again, too
                    if error.code != 503 or last:
                        raise
                time.sleep(1)
        return None

    def command(self, *words: str, code: int = 0, **variables: str) -> str:
        return run_with(self.environment | variables, self.root, *words, code=code)

    def owner(self, *words: str) -> str:
        """What a command says to the person whose servers these are."""
        return run_with(self.environment | self.access, self.root, *words)

    def deployment(self, name: str) -> Any:
        return self.ask(f"deployments/name/{name}-{self.name}")

    def start(self, name: str, **overrides: Any) -> str:
        found = self.deployment(name)["id"]
        body = {"parameters": {"overrides": overrides}}
        return str(self.ask(f"deployments/{found}/create_flow_run", body)["id"])

    def state(self, flow_run: str) -> str:
        try:
            return str(self.ask(f"flow_runs/{flow_run}")["state_name"])
        except OSError:  # the server is being started anew
            return "unknown"

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.root / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def processes(self, words: str = "") -> list[int]:
        """Those that this has started, and whose command line holds some words."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                ours = f"PREFECT_HOME={self.home}\0" in path.read_text(errors="replace")
                line = path.with_name("cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if ours and line and words in line and "subreaper.py" not in line:
                found.append(int(path.parent.name))
        return found


def make_project(root: Path) -> Path:
    (root / "flows").mkdir(parents=True)
    (root / "flows" / "harden.py").write_text(HARDEN)
    (root / "flows" / "monitor.py").write_text(MONITOR)
    shutil.copy(ROOT / "prefect.yaml", root)
    shutil.copy(ROOT / "tests" / "support" / "toy.yaml", root / "params.yaml")
    run(root, "git", "init", "-q")
    return root


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("serve")
    with Serving(make_project(root / "project"), root / "home") as one:
        yield one
    assert not one.processes()


def test_the_pages_answer_and_what_is_scheduled_is_said(serving: Serving) -> None:
    for name in ("Prefect", "MLflow"):
        assert serving.address(name).startswith("http://127.0.0.1:")
        with urllib.request.urlopen(serving.address(name), timeout=300) as answer:
            assert answer.status == 200
    said = " ".join(serving.said.split())
    assert f"harden-nightly-{serving.name} 0 2 * * * (Europe/Berlin)" in said
    assert f"harden-on-new-data-{serving.name} when images are announced" in said
    assert "log in with PREFECT_API_AUTH_STRING of .pixelproof/serve.env" in said
    assert "every user of this machine can read and change it" in said
    assert {line.split()[2] for line in serving.log().splitlines()} >= {"deploy", "worker"}


def test_the_deployments_explain_themselves(serving: Serving) -> None:
    nightly = serving.deployment("harden/harden-nightly")
    schema = nightly["parameter_openapi_schema"]["properties"]
    assert schema["promotion"]["enum"] == ["off", "dry run", "promote"]
    assert schema["overrides"]["type"] == "object"
    assert all(one["description"] for one in schema.values())
    assert nightly["parameters"] == {"revision": "HEAD", "promotion": "promote"}
    (schedule,) = nightly["schedules"]
    assert schedule["schedule"]["timezone"] == "Europe/Berlin"
    for name in ("harden/harden-nightly", "harden/harden-on-new-data", "monitor/monitor-weekly"):
        found = serving.deployment(name)
        assert found["description"]
        assert found["tags"] == ["pixelproof"]
        assert not found["global_concurrency_limit"], "its lease would end a run with the server"
        assert str(serving.root) not in json.dumps(found), "a worker may lie elsewhere"
    assert serving.ask(f"work_pools/{serving.name}")["concurrency_limit"] == 1


def test_announced_images_start_a_hardening(serving: Serving) -> None:
    text = "outs:\n- md5: 0f.dir\n  path: \"bilder 'ä' {{ z }} <b>\"\n\n"
    (serving.root / "data.dvc").write_text(text)
    out = serving.command("pixelproof", "announce-data")
    assert out == f"data.dvc announced at {serving.api}\n"
    wait(lambda: serving.lines("ended"))
    (line,) = serving.lines("ended")
    assert line["data"] == text
    assert line["folder"] == str(serving.root)
    assert line["tracking"] == serving.address("MLflow")
    (flow_run,) = serving.ask(
        "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "RUNNING"]}}}}
    )
    assert flow_run["parameters"] == {"revision": "HEAD", "promotion": "promote", "data": text}


@pytest.mark.parametrize(
    ("url", "missing", "code", "words"),
    [
        ("http://127.0.0.1:9/api", False, 4, "does not answer"),
        (None, True, 3, "data.dvc: missing; run `dvc add data`"),
    ],
)
def test_an_announcement_that_cannot_be_made(
    serving: Serving, url: str | None, missing: bool, code: int, words: str
) -> None:
    path = serving.root / "data.dvc"
    path.unlink(missing_ok=True) if missing else path.write_text("outs: []\n")
    variables = {"PREFECT_API_URL": url} if url else {}
    out = serving.command("pixelproof", "announce-data", code=code, **variables)
    assert words in out
    assert out.count("\n") == 1


def test_an_announcement_where_nothing_serves(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "data.dvc").write_text("outs: []\n")
    stale = project / ".pixelproof" / "serve.env"  # as a process that was killed leaves it
    stale.parent.mkdir()
    stale.write_text("PREFECT_API_URL=http://127.0.0.1:9/api\nPREFECT_API_AUTH_STRING=a:b\n")
    variables = {key: one for key, one in ENVIRONMENT.items() if not key.startswith("PREFECT")}
    out = run_with(variables, project, "pixelproof", "announce-data", code=4)
    assert "PREFECT_API_URL: expected the address" in out
    assert out.count("\n") == 1


def test_hardenings_take_turns_over_all_deployments(serving: Serving) -> None:
    names = ["harden/harden-nightly", "harden/harden-on-new-data"]
    flow_runs = [serving.start(name, seconds=4) for name in names]
    wait(lambda: all(serving.state(one) == "Completed" for one in flow_runs))
    first, second = sorted(serving.lines("ended")[-2:], key=lambda one: float(one["began"]))
    assert second["began"] >= first["ended"]


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that keeps what it is sent."""
    kept: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_failures_and_the_champion_are_told(serving: Serving) -> None:
    with receiver() as (address, kept):
        api = serving.api
        serving.owner(sys.executable, "-c", NOTIFY, api, address)
        flow_run = serving.start("harden/harden-nightly", fail=True)
        wait(lambda: serving.state(flow_run) == "Failed")
        event = {
            "event": "pixelproof.champion.promoted",
            "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "resource": {
                "prefect.resource.id": "pixelproof.champion",
                "pixelproof.project": serving.name,
            },
            "payload": {"version": 7, "verdict": "better"},
            "id": "3b0f2f5e-4a0f-4f51-8f0d-6b1c3fd5a001",
        }
        serving.ask("events", [event])
        subjects = {"harden Failed", "pixelproof.champion.promoted"}
        expected = {f"{serving.name}: {one}" for one in subjects}
        wait(lambda: expected <= {one["subject"] for one in kept})
    told = {one["subject"]: one["body"] for one in kept}
    assert "planted" in told[f"{serving.name}: harden Failed"]
    assert "version: 7\nverdict: better" in told[f"{serving.name}: pixelproof.champion.promoted"]


def test_a_prefect_server_that_dies_is_started_anew_and_its_run_completes(
    serving: Serving,
) -> None:
    before = len(serving.lines("ended"))
    flow_run = serving.start("harden/harden-nightly", seconds=8)
    wait(lambda: serving.state(flow_run) == "Running")
    (server,) = serving.processes(
        "pixelproof.operations.guard:guarded --host 127.0.0.1 --port " + serving.port
    )
    os.kill(server, signal.SIGKILL)
    wait(lambda: serving.state(flow_run) == "Completed", 120)
    assert len(serving.lines("ended")) == before + 1
    assert "prefect ended with" in serving.log()


def test_existing_servers_are_used(serving: Serving, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    variables = serving.access
    with Serving(project, tmp_path / "home", **variables) as other:
        assert other.api == serving.api
        assert other.address("MLflow") == serving.address("MLflow")
        assert not other.processes("server")
        assert len(other.processes("worker start")) == 1
    assert not other.processes()


def test_two_projects_on_one_server_keep_apart(serving: Serving, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    with Serving(project, tmp_path / "home", **serving.access) as other:
        assert other.name != serving.name
        before = len(serving.lines("ended"))
        text = "outs: []\n# of the other project\n"
        (other.root / "data.dvc").write_text(text)
        other.owner("pixelproof", "announce-data")
        both = [(one, one.start("harden/harden-nightly")) for one in (other, serving)]
        wait(lambda: all(one.state(flow_run) == "Completed" for one, flow_run in both))
        wait(lambda: len(other.lines("ended")) == 2)
        for one in (other, serving):
            assert {line["folder"] for line in one.lines("ended")} == {str(one.root)}
        assert {line["data"] for line in other.lines("ended")} == {None, text}
        assert len(serving.lines("ended")) == before + 1, "no run on the other's images"


def test_settings_that_cannot_work(serving: Serving, tmp_path: Path) -> None:
    def refused(code: int, words: str, *options: str, **variables: str) -> None:
        out = serving.command("pixelproof", "serve", *options, code=code, **variables)
        assert words in out
        assert out.count("\n") == 1

    refused(4, "another `pixelproof serve` uses it")
    refused(2, "PIXELPROOF_TIMEZONE: expected a time zone", PIXELPROOF_TIMEZONE="Mars/Base")
    home = {"PREFECT_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": serving.address("MLflow")}
    refused(4, "does not answer", PREFECT_API_URL="http://127.0.0.1:9/api", **home)
    home |= serving.access
    refused(2, "--notify: expected a notification block", "--notify", "slack-webhook/no", **home)
    assert "expected the folder" in run(tmp_path, "pixelproof", "serve", code=2)


def test_a_dead_run_is_crashed_and_the_next_one_goes_through(serving: Serving) -> None:
    flow_run = serving.start("harden/harden-nightly", seconds=300)
    wait(lambda: serving.state(flow_run) == "Running")
    died = time.monotonic()
    for words in ("worker start", "prefect.engine"):
        (process,) = serving.processes(words)
        os.kill(process, signal.SIGKILL)
    following = serving.start("harden/harden-on-new-data")
    wait(lambda: serving.state(flow_run) == "Crashed", 120)
    assert time.monotonic() - died < 120 * busy()
    wait(lambda: serving.state(following) == "Completed")


def test_nothing_outlives_it_and_the_next_one_closes_what_was_left(serving: Serving) -> None:
    flow_run = serving.start("harden/harden-nightly", seconds=300)
    wait(lambda: serving.state(flow_run) == "Running")
    weekly = serving.deployment("monitor/monitor-weekly")
    switch = f"deployments/{weekly['id']}/schedules/{weekly['schedules'][0]['id']}"
    serving.ask(switch, {"active": False}, "PATCH")
    serving.process.kill()
    wait(lambda: not serving.processes(), 25)
    with Serving(serving.root, serving.home) as again:
        assert again.state(flow_run) == "Crashed"
        assert f"monitor-weekly-{again.name} switched off" in " ".join(again.said.split())
        names = [one["name"] for one in again.ask("automations/filter", {})]
        assert len(names) == len(set(names)) >= 3
        secret = again.access["PREFECT_API_AUTH_STRING"].partition(":")[2]
        ended = again.start("harden/harden-nightly", seconds=300)
        wait(lambda: again.state(ended) == "Running")
        stopped = time.monotonic()
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(30 * busy()) == 0
        assert time.monotonic() - stopped < 15 * busy()
        assert not again.processes()
    assert "aborted by a termination signal" in again.log()
    files = [*serving.home.rglob("*"), *serving.root.rglob("*")]
    written = {one: one.read_bytes() for one in files if one.is_file()}
    assert not [one for one, text in written.items() if CANARY.encode() in text]
    assert not [one for one, text in written.items() if secret.encode() in text]
