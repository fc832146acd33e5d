"""The command line: `pixelproof …`; each command imports only what it needs."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from pixelproof.cli.stage import STAGES, run_stage
from pixelproof.errors import DataError, PixelproofError, one_line
from pixelproof.system.tuning import limit_spinning

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _stage(arguments: argparse.Namespace) -> None:
    run_stage(arguments.name, arguments.item)


def _run(arguments: argparse.Namespace) -> None:
    from pixelproof.operations.run import run_pipeline
    from pixelproof.params.project import load_params

    run_pipeline(load_params())


def _profile(arguments: argparse.Namespace) -> None:
    from pixelproof.params.profiles import list_profiles, use_profile

    print(use_profile(arguments.profile) if arguments.action == "use" else list_profiles())


def _ui(arguments: argparse.Namespace) -> None:
    from pixelproof.operations.run import open_page

    open_page(arguments.port, arguments.mlflow_auth)


def _serve(arguments: argparse.Namespace) -> None:
    from pixelproof.system.surroundings import check_home

    if not os.environ.get("PREFECT_API_URL"):
        check_home()
    from pixelproof.operations.serve import serve

    serve(arguments.notify, arguments.prefect_port, arguments.mlflow_port, arguments.mlflow_auth)


def _announce(arguments: argparse.Namespace) -> None:
    from pixelproof.operations.announce import announce
    from pixelproof.params.project import load_params

    print(announce(load_params().select.data))


def _sync(arguments: argparse.Namespace) -> None:
    from pixelproof.operations.run import send_waiting

    print(send_waiting())


def _prune(arguments: argparse.Namespace) -> None:
    from pixelproof.operations.run import prune

    print(prune(arguments.keep))


def _repair(arguments: argparse.Namespace) -> None:
    from pixelproof.operations.repair import repair

    print(repair(Path()))


def _gate(arguments: argparse.Namespace) -> None:
    from pixelproof.params.project import load_params
    from pixelproof.promotion.contest import run_gate
    from pixelproof.promotion.model_card import rules_table
    from pixelproof.system.tuning import keep_memory

    keep_memory()
    result = run_gate(load_params(), arguments.promote)
    print(f"{rules_table(result.verdict)}\n\n{result.words}".strip())


def _monitor(arguments: argparse.Namespace) -> None:
    from pixelproof.params.project import load_params
    from pixelproof.promotion.monitoring import measure_champion
    from pixelproof.system.tuning import keep_memory

    keep_memory()
    result = measure_champion(load_params())
    print(f"{result.outcome}: {result.words}")


def _promote(arguments: argparse.Namespace) -> None:
    from pixelproof.params.project import load_params
    from pixelproof.promotion.manual import promote_by_hand

    print(promote_by_hand(load_params(), arguments.version, arguments.by, arguments.why))


def _rollback(arguments: argparse.Namespace) -> None:
    from pixelproof.params.project import load_params
    from pixelproof.promotion.manual import roll_back

    print(roll_back(load_params(), arguments.by, arguments.why))


def _fetch(arguments: argparse.Namespace) -> None:
    from pixelproof.data.demo import DEMO_SETS, fetch

    demo = DEMO_SETS[arguments.name]
    print(fetch(demo, arguments.folder or Path(demo.folder)))


def _data(arguments: argparse.Namespace) -> None:
    from pixelproof.data.demo import provide_data

    print(provide_data(Path()))


def _show(arguments: argparse.Namespace) -> None:
    from pixelproof.reporting.show import show

    print(show())


def _diff(arguments: argparse.Namespace) -> None:
    from pixelproof.tracking.history import compare_results

    print(compare_results(arguments.first, arguments.second))


def _predict(arguments: argparse.Namespace) -> None:
    from pixelproof.models.predict import predict
    from pixelproof.system.tuning import keep_memory

    keep_memory()
    predict(arguments.model, arguments.images)


def _export(arguments: argparse.Namespace) -> None:
    from pixelproof.data.export import export
    from pixelproof.params.project import load_params

    export(
        load_params(),
        arguments.folder,
        split=arguments.set,
        draws=arguments.draws,
        n=arguments.n,
        draw=arguments.draw,
        limit=arguments.images,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65485:  # the next ones are tried too
        raise argparse.ArgumentTypeError(f"expected 1 to 65485, got {port}")
    return port


def _add_mlflow_auth(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--mlflow-auth", action="store_true", help="have the MLflow server ask for a password"
    )


def _add_pipeline(commands: Commands) -> None:
    """Running the pipeline, and what it is about."""
    stage = commands.add_parser("stage", help="run one stage (the cmd of dvc.yaml)")
    stage.add_argument("name", choices=STAGES)
    stage.add_argument("item", nargs="?", help="the baseline, arm or model")
    stage.set_defaults(run=_stage)

    run = commands.add_parser("run", help="run the pipeline, tracked, and show the result")
    run.set_defaults(run=_run, git=True)

    profile = commands.add_parser("profile", help="take a whole experiment as params.yaml")
    actions = profile.add_subparsers(required=True, dest="action", metavar="list | use")
    actions.add_parser("list", help="the profiles at hand")
    use = actions.add_parser("use", help="write a profile to params.yaml")
    use.add_argument("profile", help="a file, or a name from the list")
    profile.set_defaults(run=_profile)

    ui = commands.add_parser("ui", help="serve the MLflow page of the runs")
    ui.add_argument("--port", type=_port, default=5000, help="the first to try (5000)")
    _add_mlflow_auth(ui)
    ui.set_defaults(run=_ui)

    sync = commands.add_parser("sync", help="send what waits for the tracking store")
    sync.set_defaults(run=_sync)

    prune = commands.add_parser("prune", help="delete old runs and cached data")
    prune.add_argument("--keep", type=int, required=True, help="pipeline runs and commits to keep")
    prune.set_defaults(run=_prune, git=True)

    repair = commands.add_parser("repair", help="find what is damaged, remove it or put it back")
    repair.set_defaults(run=_repair, git=True)

    fetch = commands.add_parser("fetch", help="write a demo data set into a folder")
    fetch.add_argument("name", choices=["elpv", "imagenet-sample"])
    fetch.add_argument("folder", nargs="?", type=Path, help="data, or data-imagenet-sample")
    fetch.set_defaults(run=_fetch)

    data = commands.add_parser("data", help="provide what data.dvc names, and verify it")
    data.set_defaults(run=_data, git=True)


def _add_unattended(commands: Commands) -> None:
    """What runs by itself, and the model in use."""
    serve = commands.add_parser("serve", help="run servers, schedules and a worker until Ctrl-C")
    serve.add_argument("--notify", metavar="TYPE/NAME", help="a notification block of Prefect")
    serve.add_argument("--prefect-port", type=_port, default=4200, help="the first to try (4200)")
    serve.add_argument("--mlflow-port", type=_port, default=5000, help="the first to try (5000)")
    _add_mlflow_auth(serve)
    serve.set_defaults(run=_serve, git=True)

    announce = commands.add_parser("announce-data", help="start a hardening on what data.dvc names")
    announce.set_defaults(run=_announce, git=True)

    gate = commands.add_parser("gate", help="judge the challenger against the champion")
    gate.add_argument("--promote", action="store_true", help="register it; champion if it passes")
    gate.set_defaults(run=_gate)

    monitor = commands.add_parser("monitor", help="measure the champion alone on fresh draws")
    monitor.set_defaults(run=_monitor)

    promote = commands.add_parser("promote", help="make a version champion, whatever the gate says")
    promote.add_argument("version", nargs="?", type=int, help="the newest by default")
    promote.add_argument("--why", required=True, help="is kept with the version")
    promote.set_defaults(run=_promote)

    rollback = commands.add_parser("rollback", help="make the previous champion champion again")
    rollback.add_argument("--why", default="no reason given", help="is kept with the version")
    rollback.set_defaults(run=_rollback)
    for command in (promote, rollback):
        command.add_argument("--by", help="who decides it (you, by default)")


def _add_results(commands: Commands) -> None:
    """What came out, and what to do with it."""
    show = commands.add_parser("show", help="print the result table and what it means")
    show.set_defaults(run=_show)

    diff = commands.add_parser("diff", help="compare two runs, or two git revisions")
    diff.add_argument("first", metavar="A", help="a git revision, or the id of an MLflow run")
    diff.add_argument("second", metavar="B", help="another")
    diff.set_defaults(run=_diff)

    predict = commands.add_parser("predict", help="classify images with a model folder")
    predict.add_argument("model", type=Path, help="a folder that holds classifier.json")
    predict.add_argument("images", type=Path, nargs="+", help="image files, or folders of them")
    predict.set_defaults(run=_predict)

    export = commands.add_parser("export", help="write changed images as PNG, to look at")
    export.add_argument("folder", type=Path, help="a new folder")
    export.add_argument("--set", choices=["train", "test"], default="test")
    export.add_argument("--draws", default="stuck", help="the name of the stored draws")
    export.add_argument("--n", type=int, default=64, help="how many of the drawn pixels")
    export.add_argument("--draw", type=int, default=0)
    export.add_argument("--images", type=int, default=20, help="how many images")
    export.set_defaults(run=_export)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pixelproof",
        description="Measure how a classifier bears a few changed pixels, and harden it.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(git=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_pipeline, _add_unattended, _add_results):
        add(commands)
    return parser


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _unexpected(error: Exception) -> str:
    """An error without words of its own, in one line."""
    where = "`pixelproof --debug …` shows where"
    if isinstance(error, OSError) and error.filename:
        return one_line(f"{error.filename}: {error.strerror}; {where}")
    reason = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
    return one_line(f"{type(error).__name__}: {reason}; {where}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; an error ends in one line on standard error.

    Args:
        argv: The arguments; those of the process by default.

    Returns:
        The exit code: 0; that of the error (see `pixelproof.errors`); 130 or 143 on a signal.
    """
    arguments = _parser().parse_args(argv)
    limit_spinning()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if arguments.git:
            from pixelproof.system.surroundings import check_repository

            check_repository(Path())
        arguments.run(arguments)
        sys.stdout.flush()
    except PixelproofError as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"pixelproof: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pixelproof: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # what nobody has thought of
        if arguments.debug:
            traceback.print_exc()
        print(f"pixelproof: {_unexpected(error)}", file=sys.stderr)
        return DataError.exit_code if isinstance(error, OSError) else PixelproofError.exit_code
    return 0
