"""`pixelproof score` and servers: nothing is asked twice, what fails is one line, MLflow agrees."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelproof.errors import DataError, IntegrityError, PixelproofError, ServiceError
from pixelproof.models.classifier import Classifier
from pixelproof.models.storage import save_classifier
from pixelproof.scoring.pictures import find_pictures
from pixelproof.scoring.plan import REPEATED, Plan
from pixelproof.scoring.result import Score
from pixelproof.scoring.score import score_target
from pixelproof.scoring.target import Layout, Preprocessing, Remote, TargetOptions
from pixelproof.scoring.targets import find_target
from tests.support import scored
from tests.support.tiny_network import TinyNetwork
from tests.support.waiting import wait

PLAN = Plan(n=(4, 40), draws=4, batch_size=16)
QUICK = {"retries": 2, "backoff": 0.001, "images": 4}
Reply = tuple[int, str, bytes]


class Server:
    """A server of MLflow's protocol that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()  # images that were answered
        self.requests = 0
        self.at_once = self.most_at_once = 0
        self.replies: list[Reply] = []  # that come first, in place of answers
        self.dead_after: int | None = None  # requests
        self.hold = threading.Event()  # requests wait for it
        self.hold.set()
        self.headers: list[Any] = []
        self.paths: list[str] = []
        self.scores: Callable[[Any], Any] = scored.scores
        self.retry_after: int | None = None  # seconds
        self.lock = threading.Lock()

    def answer(self, body: bytes) -> Reply:
        images = np.array(json.loads(body)["instances"], np.uint8)
        with self.lock:
            self.requests += 1
            if self.replies:
                return self.replies.pop(0)
            if self.dead_after is not None and self.requests > self.dead_after:
                return 503, "text/plain", b"out of order"
            self.asked.update(hashlib.sha256(image.tobytes()).hexdigest() for image in images)
        predictions = self.scores(images).tolist()
        return 200, "application/json", json.dumps({"predictions": predictions}).encode()


@contextmanager
def serving() -> Iterator[tuple[Server, str]]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with state.lock:
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
                state.headers.append(self.headers)
                state.paths.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"]))
            status, kind, content = state.answer(body)
            state.hold.wait()
            with state.lock:
                state.at_once -= 1
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            if state.retry_after is not None:
                self.send_header("retry-after", str(state.retry_after))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_port}/invocations"
    finally:
        state.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    with serving() as both:
        yield both


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ask(
    url: Any, folders: Path, plan: Plan = PLAN, layout: Layout | None = None, **remote: Any
) -> Score:
    shape = Preprocessing(side=scored.SIDE, layout=layout)
    options = TargetOptions(shape, scored.CLASSES, "cpu", remote=Remote(**{**QUICK, **remote}))
    target = find_target(url, options)
    return score_target(target, find_pictures(folders, None, target.side, target.fit), plan)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored.write_folders(tmp_path_factory.mktemp("images"))


def check_each_asked_once(state: Server, runs: int = 1) -> None:
    """Each image once, but those by which each run sees whether the answers stay."""
    assert sum(count - 1 for count in state.asked.values()) == runs * REPEATED
    assert max(state.asked.values()) == 1 + runs


def test_a_server_gives_the_counts_of_the_function(
    server: tuple[Server, str], folders: Path, tmp_path: Path
) -> None:
    state, url = server
    result = ask(url, folders, concurrency=3)
    assert result.rows == ask("tests.support.scored:scores", folders).rows
    check_each_asked_once(state)
    assert sum(state.asked.values()) == result.queries
    assert state.most_at_once <= 3
    assert not list((tmp_path / "cache").rglob("*.sqlite*")), "a finished run leaves no ledger"


def test_a_ledger_with_a_name_stays_and_answers(
    server: tuple[Server, str], folders: Path, tmp_path: Path
) -> None:
    state, url = server
    first = ask(url, folders, ledger=tmp_path / "answers.sqlite")
    again = ask(url, folders, ledger=tmp_path / "answers.sqlite")
    check_each_asked_once(state, runs=2)
    assert again.rows == first.rows
    assert any(f"{tmp_path / 'answers.sqlite'}" in note for note in again.notes)
    with serving() as (_, other), pytest.raises(DataError, match="expected the answers of"):
        ask(other, folders, ledger=tmp_path / "answers.sqlite")


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("bad", ["changing", "nan"])
def test_a_repaired_server_is_asked_anew(
    server: tuple[Server, str], folders: Path, tmp_path: Path, named: bool, bad: str
) -> None:
    state, url = server
    ledger = tmp_path / "answers.sqlite" if named else None
    state.scores = (
        scored.changing() if bad == "changing" else lambda images: np.full((len(images), 3), np.nan)
    )
    with pytest.raises(PixelproofError, match="differently|finite") as error:
        ask(url, folders, ledger=ledger)
    assert (f"its answers stay in {ledger}: delete it" in str(error.value)) == named
    state.scores = scored.scores
    if named and bad == "changing":
        with pytest.raises(DataError, match="differently"):
            ask(url, folders, ledger=ledger)
        (tmp_path / "answers.sqlite").unlink()
    expected = ask("tests.support.scored:scores", folders)
    assert ask(url, folders, ledger=ledger).rows == expected.rows


def test_a_ledger_knows_the_order_of_the_axes(
    server: tuple[Server, str], folders: Path, tmp_path: Path
) -> None:
    state, url = server
    state.scores = lambda images: scored.scores(
        images if images.shape[3] == 3 else images.transpose(0, 2, 3, 1)
    )
    ask(url, folders, ledger=tmp_path / "answers.sqlite")
    before = sum(state.asked.values())
    ask(url, folders, layout="nchw", ledger=tmp_path / "answers.sqlite")
    assert sum(state.asked.values()) == 2 * before


def test_a_key_in_the_address_is_sent_and_never_shown(
    server: tuple[Server, str], folders: Path, tmp_path: Path
) -> None:
    state, url = server
    result = ask(f"{url}?api_key=SECRET", folders)
    assert all(path.endswith("/invocations?api_key=SECRET") for path in state.paths)
    assert "SECRET" not in json.dumps(result.as_json())
    state.replies = [(404, "text/plain", b"no /invocations?api_key=SECRET here")]
    with pytest.raises(ServiceError, match="answers 404: no /invocations") as error:
        ask(f"{url}?api_key=SECRET", folders, concurrency=1)
    assert "SECRET" not in str(error.value)


def test_busy_servers_are_asked_again(server: tuple[Server, str], folders: Path) -> None:
    state, url = server
    state.replies = [(429, "text/plain", b"slow down"), (500, "text/plain", b""), (503, "", b"")]
    ask(url, folders, concurrency=1, retries=3)
    check_each_asked_once(state)


@pytest.mark.parametrize("worst", [0, 5])
def test_a_server_that_dies_midway_is_asked_for_the_rest(
    server: tuple[Server, str], folders: Path, worst: int
) -> None:
    state, url = server
    plan = Plan(n=(4, 40), draws=4, batch_size=16, worst=worst)
    state.dead_after = 20
    with pytest.raises(ServiceError, match="503: out of order") as error:
        ask(url, folders, plan)
    assert "the same command goes on there" in str(error.value)
    assert "\n" not in str(error.value)
    state.dead_after = None
    result = ask(url, folders, plan)
    assert any("answers of an earlier run" in note for note in result.notes)
    check_each_asked_once(state, runs=2)
    assert result.rows == ask("tests.support.scored:scores", folders, plan).rows


def command_line(url: str, folders: Path) -> list[str]:
    words = ["score", url, str(folders), "--n", "4,40", "--draws", "4", "--batch-size", "16"]
    words += ["--request-images", "4", "--side", "16", "--classes", ",".join(scored.CLASSES)]
    return [sys.executable, "-m", "pixelproof.cli", *words]


@pytest.mark.parametrize("busy", [True, False])
def test_a_run_that_waits_for_a_busy_server_or_for_its_rate_can_be_stopped(
    server: tuple[Server, str], folders: Path, busy: bool
) -> None:
    state, url = server
    command = command_line(url, folders)
    if busy:
        state.dead_after, state.retry_after = 0, 3600
    else:
        command += ["--rate", "0.001"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait(lambda: state.requests > 0 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=50)  # it would wait for five minutes
    assert process.returncode == 130, said


def test_a_run_that_is_stopped_asks_nothing_twice(
    server: tuple[Server, str], folders: Path
) -> None:
    state, url = server
    command = command_line(url, folders)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait(lambda: state.requests > 20 or process.poll() is not None, 60)
    state.hold.clear()  # what is under way waits …
    wait(lambda: state.at_once > 0, 60)
    process.send_signal(signal.SIGTERM)
    state.hold.set()  # … and is answered after the signal
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "answers of an earlier run" in done.stdout
    check_each_asked_once(state, runs=2)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((200, "text/html", b"<html>\n Sign in"), "expected JSON with predictions, got text/html"),
        ((200, "application/json", b'{"error": 1}'), "expected a list of predictions"),
        ((200, "application/json", b'{"predictions": [[1, 2, 3]]}'), "expected 4 answers"),
        ((200, "application/json", b'{"predictions": [[1, NaN, 3]]}'), "expected 4 answers"),
        ((400, "application/json", b'{"message":\n "bad shape"}'), 'answers 400: {"message": "bad'),
        ((302, "text/html", b"elsewhere"), "answers 302"),
    ],
)
def test_a_bad_reply_is_one_line(
    server: tuple[Server, str], folders: Path, reply: Reply, words: str
) -> None:
    state, url = server
    state.replies = [reply] * 9
    with pytest.raises(PixelproofError) as error:
        ask(url.replace("//", "//me:secret@"), folders)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert all(sent["authorization"].startswith("Basic ") for sent in state.headers)


def test_no_server_is_one_line(folders: Path) -> None:
    with serving() as (_, url):
        pass
    with pytest.raises(ServiceError, match="does not answer"):
        ask(url, folders)


@pytest.mark.filterwarnings("ignore:.*(type hint|input example):UserWarning")  # none is given
def test_mlflow_gives_the_same_counts(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    import mlflow
    import uvicorn
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import scoring_server
    from mlflow.pyfunc.model import PythonModel
    from mlflow.types import Schema, TensorSpec

    from pixelproof.tracking.scored import log_score, model_target

    class Network(PythonModel):
        def predict(self, context, model_input):  # type: ignore[no-untyped-def, override]
            return scored.scores(model_input)

    images = TensorSpec(np.dtype(np.uint8), (-1, scored.SIDE, scored.SIDE, 3))
    signature = ModelSignature(Schema([images]), Schema([TensorSpec(np.dtype("float32"), (-1, 3))]))
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="model", python_model=Network(), signature=signature, pip_requirements=[],
            registered_model_name="net",
        )  # fmt: skip
    mlflow.MlflowClient().set_registered_model_alias("net", "champion", "1")

    expected = ask("tests.support.scored:scores", folders)
    options = TargetOptions(classes=scored.CLASSES)
    with pytest.raises(IntegrityError, match="say --trust"):
        model_target("models:/net@champion", options)
    target = model_target("models:/net@champion", TargetOptions(classes=scored.CLASSES, trust=True))
    assert target.side == scored.SIDE
    pictures = find_pictures(folders, None, target.side, target.fit)
    assert score_target(target, pictures, PLAN).rows == expected.rows  # and closes it
    with pytest.raises(ServiceError, match="models:/net@nobody"):
        model_target("models:/net@nobody", options)

    torch.manual_seed(0)
    classifier = Classifier(
        TinyNetwork(3), "python:tests.support.tiny_network:factory", scored.CLASSES,
        (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), {}, scored.SIDE,
    ).eval()  # fmt: skip
    save_classifier(classifier, tmp_path / "ours", [])
    loader = "pixelproof.models.pyfunc"  # which MLflow would run; here only the weights are read
    mlflow.pyfunc.save_model(
        tmp_path / "logged", loader_module=loader, data_path=str(tmp_path / "ours"),
        pip_requirements=[],
    )  # fmt: skip
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "logged"), "model")
    ours = model_target(f"runs:/{run.info.run_id}/model", TargetOptions(trust=True, device="cpu"))
    own = find_target(tmp_path / "ours", TargetOptions(trust=True, device="cpu"))
    assert ours.classes == scored.CLASSES
    assert score_target(ours, pictures, PLAN).rows == score_target(own, pictures, PLAN).rows

    app = scoring_server.init(mlflow.pyfunc.load_model(logged.model_uri))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait(lambda: server.started, 60)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        assert ask(f"http://127.0.0.1:{port}/invocations", folders).rows == expected.rows
    finally:
        server.should_exit = True
        thread.join()

    said = log_score(expected, [])
    logged_run = mlflow.get_run(said.split()[1])
    assert logged_run.data.params["values"] == "stuck"
    assert logged_run.data.metrics["pi"] == expected.row(40).pi.value  # type: ignore[union-attr]
