"""Who reaches the servers: the person who started them, and no page or user beside."""

import base64
import http.client
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.conftest import ROOT
from tests.services.test_serve import Serving, make_project
from tests.support.browser import CHROMIUM, EVIL, page, visit
from tests.support.repository import ENVIRONMENT
from tests.support.servers import free_port
from tests.support.waiting import wait

# As a page sends them; {port} is the server's.
ATTACKS = {
    "a page of another origin": {"Origin": "http://evil.example"},
    "a page of another server of this machine": {"Origin": "http://127.0.0.1:1"},
    "a sandboxed page": {"Origin": "null"},
    "a rebound page": {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    "a rebound page that looks private": {"Host": "10.evil.example"},
    "a rebound page without a port": {"Host": "evil.example"},
}
SCRIPT = """
const attacks = %s, results = [];
(async () => {
  for (const [url, body] of attacks)
    for (const [mode, type] of [["cors", "application/json"], ["no-cors", "text/plain"]])
      try {
        const headers = {"Content-Type": type};
        const answer = await fetch(url, {method: "POST", mode, body, headers});
        results.push(answer.type + " " + answer.status);
      } catch (error) { results.push(error.name); }
  await fetch("/told", {method: "POST", body: JSON.stringify(results)});
})();
"""
TEMPORARY = """
import sys
from pixelproof.operations.temporary_server import temporary_server
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
with temporary_server():
    with get_client(sync_client=True) as client:
        assert client.read_work_pools() == []
    print(PREFECT_API_URL.value(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("door")
    with Serving(make_project(root / "project"), root / "home") as one:
        yield one
    assert not (one.root / ".pixelproof" / "serve.env").exists()


def send(
    address: str, path: str, body: Any, method: str = "POST", **headers: str
) -> tuple[int, str]:
    """A request as another process sends it, every header as it likes."""
    port = int(address.rpartition(":")[2])
    sent = {"Content-Type": "application/json", "Host": f"127.0.0.1:{port}"}
    sent |= {name: one.format(port=port) for name, one in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request(method, path, json.dumps(body), sent)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def deployment(serving: Serving, trace: Path) -> dict[str, Any]:
    """One whose pull step has the worker run a shell script."""
    (flow,) = [one for one in serving.ask("flows/filter", {}) if one["name"] == "harden"]
    step = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {trace}"}}
    return {
        "name": "evil",
        "flow_id": flow["id"],
        "entrypoint": "flows/harden.py:harden",
        "work_pool_name": serving.name,
        "pull_steps": [step],
    }


def deployments(serving: Serving) -> set[str]:
    return {
        one["name"].removesuffix(f"-{serving.name}")
        for one in serving.ask("deployments/filter", {})
    }


OURS = {"harden-nightly", "harden-on-new-data", "monitor-weekly"}


def authorized(serving: Serving) -> dict[str, str]:
    """The headers of a request that is allowed."""
    password = base64.b64encode(serving.access["PREFECT_API_AUTH_STRING"].encode()).decode()
    token = serving.ask("csrf-token?client=door")["token"]
    return {
        "Authorization": f"Basic {password}",
        "Prefect-Csrf-Client": "door",
        "Prefect-Csrf-Token": token,
    }


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_page_cannot_deploy_at_prefect(serving: Serving, tmp_path: Path, attack: str) -> None:
    address, body = serving.address("Prefect"), deployment(serving, tmp_path / "trace")
    for extra in ({}, authorized(serving)):  # even a browser that is logged in
        status, _ = send(address, "/api/deployments/", body, **ATTACKS[attack], **extra)
        assert status == 403
    for path in ("/", "/api/health", "/ui-settings"):
        status, _ = send(address, path, None, "GET", **ATTACKS[attack])
        assert status == 403
    assert deployments(serving) == OURS


def test_another_user_cannot_deploy_at_prefect(serving: Serving, tmp_path: Path) -> None:
    address, body = serving.address("Prefect"), deployment(serving, tmp_path / "trace")
    wrong = base64.b64encode(b"pixelproof:guessed").decode()
    allowed = authorized(serving)
    for headers, expected in (
        ({}, 403),
        ({**allowed, "Prefect-Csrf-Token": "forged"}, 403),
        ({**allowed, "Authorization": f"Basic {wrong}"}, 401),
    ):
        status, _ = send(address, "/api/deployments/", body, **headers)
        assert status == expected
    status, _ = send(address, "/api/deployments/name/harden/x", None, "GET")
    assert status == 401
    assert deployments(serving) == OURS


def test_the_attack_works_for_who_may_deploy(serving: Serving, tmp_path: Path) -> None:
    body = deployment(serving, tmp_path / "trace")
    origin = {"Origin": serving.address("Prefect")}  # as the server's own page
    status, text = send(
        serving.address("Prefect"), "/api/deployments/", body, **origin, **authorized(serving)
    )
    assert status == 201, text
    made = json.loads(text)["id"]
    serving.ask(f"deployments/{made}/create_flow_run", {})
    wait((tmp_path / "trace").exists)
    serving.ask(f"deployments/{made}", method="DELETE")


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "POOL/workers/connect"])
def test_websockets_ask_for_the_password(serving: Serving, path: str) -> None:
    path = path.replace("POOL", f"work_pools/{serving.name}")
    url = f"ws://127.0.0.1:{serving.port}/api/{path}"
    with pytest.raises(InvalidStatus, match="403"), connect(url):
        pass  # without the protocol in which the password goes
    for origin in ("http://evil.example", "http://127.0.0.1:1"):
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(url, subprotocols=["prefect"], origin=origin),  # type: ignore[list-item, arg-type]
        ):
            pass
    for password in ("pixelproof:guessed", serving.access["PREFECT_API_AUTH_STRING"]):
        with connect(url, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
            socket.send(json.dumps({"type": "auth", "token": password}))
            if password == "pixelproof:guessed":
                with pytest.raises(ConnectionClosed):
                    socket.recv(timeout=300)
            else:
                assert json.loads(socket.recv(timeout=300)) == {"type": "auth_success"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_page_cannot_change_what_mlflow_has(serving: Serving, attack: str) -> None:
    address, headers = serving.address("MLflow"), ATTACKS[attack]
    body = {"name": "evil"}
    for api in ("/api", "/ajax-api"):
        assert send(address, f"{api}/2.0/mlflow/experiments/create", body, **headers)[0] == 403
    experiment = {"experiment_id": "1"}
    assert send(address, "/api/2.0/mlflow/experiments/delete", experiment, **headers)[0] == 403
    for path in ("/health", "/", "/api/2.0/mlflow/experiments/get?experiment_id=1"):
        assert send(address, path, None, "GET", **headers)[0] == 403


def test_the_attack_works_for_who_reaches_mlflow(serving: Serving) -> None:
    address = serving.address("MLflow")
    origin = {"Origin": f"http://localhost:{address.rpartition(':')[2]}"}
    body = {"name": "evil"}
    status, text = send(address, "/api/2.0/mlflow/experiments/create", body, **origin)
    assert status == 200, text
    status, _ = send(address, "/api/2.0/mlflow/experiments/delete", json.loads(text))
    assert status == 200


def test_nobody_has_mlflow_run_commands(serving: Serving) -> None:
    path = "/ajax-api/3.0/mlflow/assistant"
    for method, rest in (("PUT", "/config"), ("POST", "/message"), ("GET", "/config")):
        assert send(serving.address("MLflow"), path + rest, {}, method)[0] == 403


def test_the_password_is_for_its_owner_alone(serving: Serving) -> None:
    path = serving.root / ".pixelproof" / "serve.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = serving.access["PREFECT_API_AUTH_STRING"].partition(":")[2]
    assert len(secret) > 30
    assert secret not in serving.log()
    assert secret not in serving.said
    lines = [one.read_text(errors="replace") for one in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in lines if secret in line]
    command = f"export $(cat {path}) && prefect work-pool inspect {serving.name}"
    assert "concurrency_limit=1" in serving.command("bash", "-c", command)
    out = serving.command("prefect", "work-pool", "ls", code=1, PREFECT_API_URL=serving.api)
    assert "401" in out
    (serving.root / "data.dvc").write_text("outs: []\n")
    out = serving.command("pixelproof", "announce-data", PREFECT_API_URL=serving.api)
    assert out == f"data.dvc announced at {serving.api}\n"


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
@pytest.mark.parametrize("host", [EVIL, "127.0.0.1"])
def test_a_page_in_a_browser_reaches_neither(serving: Serving, tmp_path: Path, host: str) -> None:
    prefect, mlflow = serving.address("Prefect"), serving.address("MLflow")
    attacks = [
        (f"{prefect}/api/deployments/", json.dumps(deployment(serving, tmp_path / "trace"))),
        (f"{mlflow}/api/2.0/mlflow/experiments/create", json.dumps({"name": "evil page"})),
        (f"{mlflow}/ajax-api/2.0/mlflow/experiments/create", json.dumps({"name": "evil page"})),
    ]
    with page(SCRIPT % json.dumps(attacks)) as (port, told):
        visit(f"http://{host}:{port}/", tmp_path / "profile")
    assert told == [["TypeError", "opaque 0"] * len(attacks)], "no answer can be read"
    assert deployments(serving) == OURS
    named = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=evil%20page"
    assert send(mlflow, named, None, "GET")[0] == 404


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
def test_a_browser_shows_the_pages_to_their_owner(serving: Serving, tmp_path: Path) -> None:
    prefect, mlflow = serving.address("Prefect"), serving.address("MLflow")
    assert "admin:pass" in visit(prefect, tmp_path / "profile"), "the form that asks for it"
    assert "pixelproof" in visit(f"{mlflow}/#/experiments", tmp_path / "profile")
    for address in (prefect, mlflow):  # rebound: a foreign name for this machine
        port = address.rpartition(":")[2]
        assert "Host: expected" in visit(f"http://{EVIL}:{port}/", tmp_path / "profile")


def test_the_temporary_server_of_a_flow(tmp_path: Path) -> None:
    variables = {key: one for key, one in ENVIRONMENT.items() if not key.startswith("PREFECT")}
    process = subprocess.Popen(
        [sys.executable, "-c", TEMPORARY],
        cwd=ROOT,
        env=variables | {"PREFECT_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removesuffix("/api")
        assert address.startswith("http://127.0.0.1:")
        for headers in ATTACKS.values():
            assert send(address, "/api/work_pools/", {"name": "evil"}, **headers)[0] == 403
        assert send(address, "/api/work_pools/filter", {})[0] == 403
        assert send(address, "/api/admin/settings", None, "GET")[0] == 401
    finally:
        process.communicate(timeout=600)
    assert process.returncode == 0


def test_mlflow_asks_for_a_password_where_it_is_told_to(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    command = ["pixelproof", "ui", "--mlflow-auth", "--port", str(free_port())]
    variables = {key: one for key, one in ENVIRONMENT.items() if not key.startswith("PREFECT")}
    process = subprocess.Popen(
        command, cwd=project, env=variables, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1].partition("/#")[0].rstrip("/")
        assert "log in as pixelproof" in process.stdout.readline()
        path = project / ".pixelproof" / "ui.env"
        access = dict(line.split("=", 1) for line in path.read_text().splitlines())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        body = {"name": "mine"}
        create = "/api/2.0/mlflow/experiments/create"
        assert send(address, create, body)[0] == 401
        assert send(address, "/api/2.0/mlflow/experiments/search", {"max_results": 9})[0] == 401
        user = f"{access['MLFLOW_TRACKING_USERNAME']}:{access['MLFLOW_TRACKING_PASSWORD']}"
        basic = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
        assert send(address, create, body, **basic, Host="evil.example")[0] == 403
        assert send(address, create, body, **basic)[0] == 200
    finally:
        process.terminate()
        process.communicate(timeout=600)
    assert not path.exists()


def test_mlflow_auth_without_its_package(tmp_path: Path) -> None:
    without = (
        "import sys; sys.modules['flask_wtf'] = None; sys.argv[1:] = ['ui', '--mlflow-auth']; "
        "from pixelproof.cli.main import main; sys.exit(main())"
    )
    project = make_project(tmp_path / "project")
    done = subprocess.run(
        [sys.executable, "-c", without],
        cwd=project,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install flask-wtf==1.3.0" in done.stderr
    assert done.stderr.count("\n") == 1
