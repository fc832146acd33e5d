import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelproof.errors import DataError, IntegrityError, NumericalError
from pixelproof.system import files


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with files.atomic(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [one.name for one in (tmp_path / "folder").iterdir()] == ["two"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "one")
    with pytest.raises(error), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "one"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from pixelproof.system import files\n"
        "with files.atomic(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.mkdir()\n"
        "    (temporary / 'half').write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    target = tmp_path / "folder"
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1, "what it left lies beside"
    with files.atomic(target) as temporary:
        temporary.mkdir()
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"file/a\.txt: cannot be written: "):
        files.write_text(tmp_path / "file" / "a.txt", "x")


def test_what_cannot_be_read_is_not_blamed_on_what_is_written(tmp_path: Path) -> None:
    missing = tmp_path / "input" / "a.txt"
    with (
        pytest.raises(DataError, match=r"input/a\.txt: No such file.*, but .*out\.txt needs it"),
        files.atomic(tmp_path / "output" / "out.txt"),
    ):
        missing.read_text()


def test_a_new_array_has_its_room_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    array = files.new_array(path, np.uint8, (3, 100_000))
    taken = path.stat()
    assert taken.st_blocks * 512 >= taken.st_size > 300_000
    array[2, -1] = 7
    assert np.load(path)[2, -1] == 7


def test_json_holds_finite_numbers_alone(tmp_path: Path) -> None:
    with pytest.raises(
        NumericalError, match="a.json: expected finite numbers in JSON: .* compliant"
    ):
        files.write_json(tmp_path / "a.json", {"pi": float("nan")})
    assert not list(tmp_path.iterdir())
    files.write_json(tmp_path / "a.json", {"ü": [1, None]})
    assert files.read_json(tmp_path / "a.json") == {"ü": [1, None]}
    assert "ü" in (tmp_path / "a.json").read_text(encoding="utf-8")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(IntegrityError, match="expected JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"missing; run `dvc repro`"):
        files.read_json(tmp_path / "b.json")


def test_a_sealed_file_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_sealed(path, {"label": 1, "share": 0.1, "name": "ü"})
    assert files.read_sealed(path) == {"label": 1, "share": 0.1, "name": "ü"}
    for damaged in (path.read_text().replace('"label": 1', '"label": 0'), '{"label": 1}', "[]"):
        path.write_text(damaged)
        with pytest.raises(IntegrityError, match=r"a\.json: damaged"):
            files.read_sealed(path)


def test_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(path) == known
    files.verify(path, known)
    path.write_bytes(b"abd")
    with pytest.raises(IntegrityError, match="damaged: expected SHA-256 ba7816bf8f01…"):
        files.verify(path, known)
    path.unlink()
    with pytest.raises(DataError, match="missing"):
        files.verify(path, known)
