"""The registry in a real MLflow server: races, kills at each step, lost replies."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from itertools import permutations
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from torch import nn

from pixelproof.errors import DataError, IntegrityError, ParameterError, ServiceError
from pixelproof.models.classifier import Classifier
from pixelproof.models.loading import load_classifier
from pixelproof.models.pyfunc import ServedClassifier
from pixelproof.models.storage import save_classifier
from pixelproof.promotion.contest import settle
from pixelproof.promotion.fresh_draws import weights_of
from pixelproof.promotion.looks import Looks
from pixelproof.promotion.registry import Registry
from pixelproof.promotion.version import (
    CHAMPION,
    FROM,
    MODEL,
    OUTCOME,
    PREVIOUS,
    REFUSED,
    WEIGHTS,
    Version,
)
from pixelproof.system import files
from pixelproof.tracking.pruning import prune_runs
from pixelproof.tracking.records import Record
from pixelproof.tracking.sending import Sender
from tests.conftest import ROOT, draw_image, write_params
from tests.support import racers
from tests.support.racers import (
    Logged,
    contend,
    judge_of,
    log_model,
    note_of,
    open_registry,
    register,
    save_model,
)
from tests.support.servers import free_port, mlflow_command, proxy, server, wait_for
from tests.support.tiny_network import factory

RACERS = 20
REGISTRY = ("/api/2.0/mlflow/registered-models", "/api/2.0/mlflow/model-versions")
CHANGES = ("create", "update", "set-tag", "alias")
# What MLflow says of itself when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("registry")
    found = str(free_port())
    with server(mlflow_command(found, home), home):
        wait_for(f"http://127.0.0.1:{found}/health", home / "log")
        yield found


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Processes that start with all imported, from one that has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.pyfunc", "tests.support.racers"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        first = context.Process(target=racers.nothing)
        first.start()
        first.join()
    return context


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, whose locks and records are its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml")
    return tmp_path


@pytest.fixture
def registry(port: str, place: Path, request: pytest.FixtureRequest) -> Registry:
    name = request.node.name.replace("[", "-").rstrip("]").replace("_", "-")[:60]
    return open_registry(f"http://127.0.0.1:{port}", name)


@pytest.fixture(scope="module")
def logged(port: str, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A model that all planted versions share."""
    place = tmp_path_factory.mktemp("logged")
    write_params(place / "params.yaml")
    with chdir(place):
        registry = open_registry(f"http://127.0.0.1:{port}", "logged")
        return log_model(registry, save_model(place / "model", 0))


def versions(registry: Registry, logged: Logged, *worths: int) -> list[Version]:
    """Planted versions, the first of which is the champion."""
    found = [register(registry, logged, one) for one in worths]
    assert registry.promote(found[0], None, "test")
    return found


def numbers(registry: Registry) -> dict[str, int | None]:
    at = {alias: registry.at(alias) for alias in (CHAMPION, PREVIOUS)}
    return {alias: one.number if one else None for alias, one in at.items()}


def test_a_version_for_each_weights_however_often_it_is_registered(
    registry: Registry, logged: Logged
) -> None:
    first = register(registry, logged, 1)
    assert register(registry, logged, 1).number == first.number == 1
    assert register(registry, logged, 2).number == 2
    assert [one.number for one in registry.versions()] == [1, 2]


def test_promotion_keeps_the_one_before(registry: Registry, logged: Logged) -> None:
    one, two, three = versions(registry, logged, 30, 20, 10)
    assert numbers(registry) == {CHAMPION: 1, PREVIOUS: None}
    assert registry.promote(two, one, "test")
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}
    assert registry.promote(two, one, "again"), "done already"
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}
    assert not registry.promote(three, one, "late"), "judged against one that is not in use"
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}
    found = registry.at(CHAMPION)
    assert found is not None
    assert found.tags[FROM] == "1"


def test_rolling_back_twice_is_rolling_back_once(registry: Registry, logged: Logged) -> None:
    one, two = versions(registry, logged, 30, 20)
    with pytest.raises(ParameterError, match="a champion alone; nothing to go back to"):
        registry.roll_back("me", "why")
    registry.promote(two, one, "test")
    left = registry.roll_back("me", "it misses scratches")
    assert left is not None
    assert left.number == 2
    assert registry.roll_back("me", "again") is None
    assert numbers(registry) == {CHAMPION: 1, PREVIOUS: 1}
    assert registry.versions()[1].tags[REFUSED] == "by me: it misses scratches"


def test_a_person_overrides_the_gate_and_is_named(registry: Registry, logged: Logged) -> None:
    versions(registry, logged, 30, 40)
    assert registry.override(None, "me", "a demo").number == 2
    found = registry.at(CHAMPION)
    assert found is not None
    assert (found.tags["override.by"], found.tags["override.why"]) == ("me", "a demo")
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}
    for number in (2, None):
        assert registry.override(number, "me", "once more").number == 2
    assert registry.versions()[0].tags[REFUSED] == "by me: a demo", "the gate leaves it alone"
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}
    with pytest.raises(ParameterError, match=r"expected a version of \[1, 2\], got 7"):
        registry.override(7, "me", "a slip")


def test_pruning_leaves_every_version(registry: Registry, place: Path) -> None:
    folder = save_model(place / "old", 1)
    version = registry.register(weights_of(folder), *log_model(registry, folder), {})
    registry.promote(version, None, "test")
    newer = Record("new", "model", "training", started=time.time())
    for pipeline in ("one", "two"):
        model = str(save_model(place / pipeline, 2))
        Sender(registry.tracker).keep_model(replace(newer, model=model), pipeline)
    prune_runs(registry.tracker, 1)
    shutil.rmtree(place / "champions", ignore_errors=True)
    assert registry.download(version, place / "champions")
    registry.tracker.measure(version.run, {"monitor/pi": 1.0})


def test_the_gate_decides(registry: Registry, logged: Logged) -> None:
    _, better, worse = versions(registry, logged, 60, 20, 90)
    verdict, met, promoted = settle(registry, worse, judge_of(90), note_of(registry, worse), "test")
    assert (verdict.outcome, met.number, promoted) == ("REJECTED", 1, False)
    _, _, promoted = settle(registry, better, judge_of(20), note_of(registry, better), "test")
    assert promoted
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}
    assert [one.tags.get(OUTCOME) for one in registry.versions()] == [None, "PASSED", "REJECTED"]


def test_looks_are_counted_by_the_images_they_used(registry: Registry) -> None:
    """By a dry run before there is any version, and by tries that come again."""
    ids = [f"{at * 2**50:016x}" for at in range(4000)]
    looks = Looks(registry, ids)
    for number, key in enumerate(("one", "two", "three"), start=1):
        assert looks.number(key) == number
        looks.take(key)
        looks.take(key)
    assert [looks.number(key) for key in ("one", "two", "new")] == [1, 2, 4]
    half = Looks(registry, [*ids[::2], *(f"{at * 2**51 + 7:016x}" for at in range(2000))])
    assert half.number("new") == pytest.approx(1 + 3 * 0.5, abs=0.15)
    assert Looks(registry, [f"{at * 2**50 + 9:016x}" for at in range(99)]).number("new") == 1
    with registry.tracker.service() as client:
        client.set_registered_model_tag(registry.name, "look.odd", "x/../y")
    with pytest.raises(IntegrityError, match=r"expected its tag look\.odd as pixelproof writes it"):
        looks.number("new")


def test_a_lost_reply_makes_one_version(port: str, place: Path, logged: Logged) -> None:
    lost: list[str] = []

    def behave(path: str) -> str:
        if path.endswith("model-versions/create") and not lost:
            lost.append(path)
            return "lose"
        return "pass"

    with proxy(port, behave) as address:
        found = open_registry(address, "lost")
        assert register(found, logged, 1).number == 1
    assert lost
    assert len(found_versions(port, "lost")) == 1


def found_versions(port: str, name: str) -> list[Version]:
    return open_registry(f"http://127.0.0.1:{port}", name).versions()


@pytest.mark.parametrize("gone", ["registered-models/alias", "model-versions/set-tag"])
def test_a_registry_that_goes_away_leaves_the_champion(
    gone: str, registry: Registry, port: str, logged: Logged
) -> None:
    _, better = versions(registry, logged, 60, 20)
    with proxy(port, lambda path: "503" if path.endswith(gone) else "pass") as address:
        away = open_registry(address, registry.name)
        with pytest.raises(ServiceError, match=r"MLflow at http://127\.0\.0\.1"):
            settle(away, better, judge_of(20), note_of(away, better), "test")
    found = registry.at(CHAMPION)
    assert found is not None
    assert found.number == 1
    _, _, promoted = settle(registry, better, judge_of(20), note_of(registry, better), "test")
    assert promoted
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 1}


def test_of_twenty_that_race_the_best_is_champion(
    registry: Registry, port: str, logged: Logged, context: ForkServerContext
) -> None:
    versions(registry, logged, 240)
    worths = [10 + 10 * one for one in range(RACERS)]
    address = f"http://127.0.0.1:{port}"
    arguments = [(address, registry.name, logged, one) for one in worths]
    started = [context.Process(target=contend, args=one) for one in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * RACERS
    champion = registry.at(CHAMPION)
    assert champion is not None
    assert champion.tags[racers.WORTH] == str(min(worths))
    made = registry.versions()
    assert len(made) == 1 + RACERS
    assert len({one.weights for one in made}) == 1 + RACERS


@pytest.mark.parametrize("reply", ["503", "lose"])
def test_killed_at_any_step_the_champion_is_valid_and_the_next_try_ends_the_same(
    reply: str, port: str, place: Path, logged: Logged, context: ForkServerContext
) -> None:
    """Before the request is through, and after it, without its reply."""
    address = f"http://127.0.0.1:{port}"
    for step in range(1, 100):
        name = f"killed-{reply}-{step}"
        direct = open_registry(address, name)
        first = register(direct, logged, 100)
        direct.promote(first, None, "test")
        if not _killed(context, port, step, reply, contend, name, logged, 10):
            break
        champion = direct.at(CHAMPION)
        assert champion is not None
        assert champion.weights in {one.weights for one in direct.versions()}
        contend(address, name, logged, 10)
        assert numbers(direct) == {CHAMPION: 2, PREVIOUS: 1}, step
        assert len(direct.versions()) == 2
    assert step > 7, "a promotion takes more steps than that"


def test_killed_at_any_step_there_is_the_right_version_to_go_back_to(
    port: str, place: Path, logged: Logged, context: ForkServerContext
) -> None:
    """A promotion is killed, then a rollback is, and repeated."""
    address = f"http://127.0.0.1:{port}"
    ends: list[int] = []
    for target, more in ((contend, (logged, 10)), (racers.roll_back, ())):
        for step in range(1, 100):
            name = f"back-{len(ends)}-{step}"
            direct = open_registry(address, name)
            first, second = versions(direct, logged, 200, 100)
            direct.promote(second, first, "test")
            if not _killed(context, port, step, "503", target, name, *more):
                break
            in_use = direct.at(CHAMPION)
            assert in_use is not None
            if target is contend:
                left = direct.roll_back("me", "why")
                assert left is not None
                assert left.number == in_use.number, step
                expected = in_use.number - 1
            else:
                direct.roll_back("me", "again")
                expected = 1
            assert numbers(direct) == {CHAMPION: expected, PREVIOUS: expected}, step
            assert direct.roll_back("me", "twice") is None
        ends.append(step)
    assert ends[0] > 7, "a promotion takes more steps than that"
    assert ends[1] > 4, "and so does a rollback"


def test_commands_that_race_end_as_one_after_the_other(
    port: str, place: Path, logged: Logged, context: ForkServerContext
) -> None:
    """Two people promote, a third goes back: the end is that of one of the orders."""
    address = f"http://127.0.0.1:{port}"
    commands: list[tuple[Callable[..., None], tuple[int, ...]]] = [
        (racers.override, (2,)),
        (racers.override, (3,)),
        (racers.roll_back, ()),
    ]

    def begin(name: str) -> Registry:
        found = open_registry(address, name)
        versions(found, logged, 30, 20, 10)
        return found

    def end(found: Registry) -> tuple[dict[str, int | None], Version | None]:
        before = numbers(found)
        racers.roll_back(address, found.name)
        return before, found.at(CHAMPION)

    orders = []
    for at, order in enumerate(permutations(commands)):
        found = begin(f"order-{at}")
        for command, arguments in order:
            command(address, found.name, *arguments)
        orders.append(_plain(*end(found)))
    for race in range(5):
        found = begin(f"race-{race}")
        started = [
            context.Process(target=command, args=(address, found.name, *arguments))
            for command, arguments in commands
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        assert [process.exitcode for process in started] == [0] * len(commands)
        assert _plain(*end(found)) in orders


def _plain(before: dict[str, int | None], after: Version | None) -> tuple[int | None, ...]:
    """Champion and previous, and the champion after one step back."""
    return before[CHAMPION], before[PREVIOUS], after.number if after else None


def test_a_champion_that_was_gone_back_to_and_is_promoted_can_be_left(
    registry: Registry, logged: Logged
) -> None:
    one, two = versions(registry, logged, 30, 20)
    registry.promote(two, one, "test")
    registry.roll_back("me", "a slip")
    registry.override(1, "another", "sure of it")
    assert numbers(registry) == {CHAMPION: 1, PREVIOUS: 2}
    registry.roll_back("me", "back again")
    assert numbers(registry) == {CHAMPION: 2, PREVIOUS: 2}


def _killed(
    context: ForkServerContext,
    port: str,
    step: int,
    reply: str,
    target: Callable[..., None],
    *arguments: object,
) -> bool:
    """Let a command run, and kill it at its nth request that changes the registry."""
    seen: list[str] = []

    def behave(path: str) -> str:
        if not path.startswith(REGISTRY) or not path.endswith(CHANGES):
            return "pass"
        seen.append(path)
        if len(seen) != step:
            return "pass" if len(seen) < step else "503"  # it must not end before it is killed
        if reply == "503":
            os.kill(int(process.pid or 0), signal.SIGKILL)
        return reply

    with proxy(port, behave) as address:
        process = context.Process(target=target, args=(address, *arguments))
        process.start()
        if reply == "lose":
            while process.is_alive() and len(seen) < step:
                process.join(0.01)
            if process.is_alive():
                process.join(0.05)  # the request goes through
                os.kill(int(process.pid or 0), signal.SIGKILL)
        process.join()
    return process.exitcode == -signal.SIGKILL


def save_network(network: nn.Module, architecture: str, folder: Path) -> str:
    """A model folder that names an architecture; returns the hash of its weights."""
    classes, zeros, ones = ("bad", "good"), (0.0,) * 3, (1.0,) * 3
    save_classifier(Classifier(network, architecture, classes, zeros, ones, {}), folder, [])
    return weights_of(folder)


class TestDownload:
    @pytest.fixture
    def version(self, registry: Registry, place: Path) -> Version:
        folder = save_model(place / "model", 1)
        return registry.register(weights_of(folder), *log_model(registry, folder), {})

    def test_the_folder_that_was_registered(
        self, registry: Registry, version: Version, place: Path
    ) -> None:
        found = registry.download(version, place / "champions")
        expected = files.sha256(place / "model" / "model.safetensors")
        assert files.sha256(found / "model.safetensors") == expected
        assert registry.download(version, place / "champions") == found, "brought once"

    def test_damaged_weights(self, registry: Registry, version: Version, place: Path) -> None:
        weights = registry.download(version, place / "champions") / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        with pytest.raises(IntegrityError, match="damaged"):
            registry.download(version, place / "champions")

    def test_other_weights_under_the_registered_hash(self, registry: Registry, place: Path) -> None:
        genuine, other = save_model(place / "genuine", 1), save_model(place / "other", 2)
        planted = registry.register(weights_of(genuine), *log_model(registry, other), {})
        with pytest.raises(IntegrityError, match=r"model\.safetensors: damaged or exchanged"):
            registry.download(planted, place / "champions")

    @pytest.mark.parametrize("tag", [WEIGHTS, MODEL])
    def test_a_tag_that_leads_elsewhere(
        self, tag: str, registry: Registry, version: Version, place: Path
    ) -> None:
        registry.note(version, {tag: "x/../../../../zz"})
        before = sorted(place.parent.rglob("*"))
        with pytest.raises(IntegrityError, match=rf"version 1: expected its tag {tag}"):
            registry.download(registry.versions()[0], place / "a" / "b" / "champions")
        assert sorted(place.parent.rglob("*")) == before

    def test_code_among_the_files_does_not_run(self, registry: Registry, place: Path) -> None:
        """The place that the files will be brought to is known beforehand, and can be imported."""
        network = factory()
        weights = save_network(network, "python:x:y", place / "planted")
        name = f"champions.{registry.name}-1-{weights[:16]}.data.planted.evil"
        save_network(network, f"python:{name}:build", place / "planted")
        (place / "planted" / "evil.py").write_text(
            "import pathlib\npathlib.Path('ran').touch()\n"
            "from tests.support.tiny_network import factory as build\n"
        )
        version = registry.register(weights, *log_model(registry, place / "planted"), {})
        found = registry.download(version, place / "champions")
        assert (found / "evil.py").is_file()
        with pytest.raises(IntegrityError, match=r"its network is code, python:champions\."):
            load_classifier(found)
        assert not (place / "ran").exists()
        load_classifier(found, trust_code=True)
        assert (place / "ran").exists(), "else the attack were none"

    def test_a_model_of_another_origin(
        self, registry: Registry, version: Version, place: Path
    ) -> None:
        source = f"models:/{registry.name}/{version.number}"
        with registry.tracker.service() as client:
            client.create_model_version(registry.name, source)
        with pytest.raises(DataError, match="version 2: expected a model that pixelproof"):
            registry.download(registry.versions()[1], place)


class TestServing:
    """`models:/NAME@champion` answers for raw images, with the code that was logged with it."""

    @pytest.fixture
    def image(self) -> npt.NDArray[np.uint8]:
        return np.asarray(draw_image(1, 7, 30, 20))

    @pytest.fixture
    def served(self, registry: Registry, place: Path) -> str:
        shutil.copy(
            ROOT / "tests" / "support" / "tiny_network.py", place
        )  # a network of a person's own
        folder = save_model(place / "model", 5)
        version = registry.register(weights_of(folder), *log_model(registry, folder), {})
        registry.promote(version, None, "test")
        return f"models:/{registry.name}@champion"

    def test_without_this_package(
        self, served: str, port: str, image: npt.NDArray[np.uint8], tmp_path: Path
    ) -> None:
        np.save(tmp_path / "image.npy", image[None])
        code = (
            "import sys\n"
            "sys.path = [one for one in sys.path if not one.endswith('src')]\n"
            "import mlflow, numpy\n"
            f"model = mlflow.pyfunc.load_model({served!r})\n"
            "found = model.predict(numpy.load('image.npy'))\n"
            "import pixelproof\n"
            "print(pixelproof.__file__, found.columns.tolist(), len(found), sep='|')\n"
        )
        (tmp_path / "elsewhere").mkdir()
        shutil.copy(tmp_path / "image.npy", tmp_path / "elsewhere")
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path / "elsewhere",
            env=os.environ | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        package, columns, rows = done.stdout.strip().splitlines()[-1].split("|")
        assert not package.startswith(str(ROOT))
        assert (columns, rows) == ("['prediction', 'probability']", "1")

    def test_by_mlflow_models_serve(
        self, served: str, port: str, image: npt.NDArray[np.uint8], place: Path
    ) -> None:
        found = str(free_port())
        command = ["mlflow", "models", "serve", "-m", served, "--env-manager", "local"]
        command += ["--host", "127.0.0.1", "--port", found]
        with server(command, place, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}"):
            wait_for(f"http://127.0.0.1:{found}/health", place / "log")
            request = urllib.request.Request(
                f"http://127.0.0.1:{found}/invocations",
                json.dumps({"inputs": [image.tolist()]}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=600) as answer:
                (told,) = json.loads(answer.read())["predictions"]
        expected = ServedClassifier(load_classifier(place / "model")).predict(image[None])
        assert told["prediction"] == expected["prediction"][0]
        assert told["probability"] == pytest.approx(expected["probability"][0])
