from pathlib import Path

import pytest

from pixelproof.errors import DataError, IntegrityError
from pixelproof.system import dvc

POINTER = "outs:\n- md5: 0a.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: data\n"
LOCK = """schema: '2.0'
stages:
  select:
    cmd: a
  evaluate@gone:
    cmd: b
  mine:
    cmd: c
"""


def test_a_pointer_is_read(tmp_path: Path) -> None:
    path = dvc.pointer_of(tmp_path / "data")
    assert path == tmp_path / "data.dvc"
    with pytest.raises(DataError, match="missing; run `dvc add data`"):
        dvc.recorded_hash(path)
    path.write_text(POINTER)
    assert dvc.recorded_hash(path) == "0a.dir"
    for damaged in ("outs: []", "- 1", "a: [", "outs:\n- md5:\n"):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"expected what `dvc add data` writes"):
            dvc.recorded_hash(path)


@pytest.mark.parametrize(
    "text", ["", "outs: 1", POINTER.replace("path: data", "path: ../x"), POINTER + "wdir: ..\n"]
)
def test_an_announced_pointer_names_the_data_alone(text: str) -> None:
    dvc.check_pointer(POINTER, "data")
    with pytest.raises(DataError, match=r"expected the text of data\.dvc"):
        dvc.check_pointer(text, "data")


def test_stages_that_are_no_more_leave_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dvc.forget_stages([]) == []
    dvc.LOCK.write_text(LOCK)
    assert dvc.forget_stages(["select", "evaluate@kept"]) == ["evaluate@gone"]
    assert dvc.stage_names(dvc.LOCK.read_bytes()) == ["select", "mine"]
    assert list(dvc.stages_of(dvc.read(dvc.LOCK))) == ["select", "mine"]
    dvc.LOCK.write_text("a: [")
    assert dvc.stages_of(dvc.read(dvc.LOCK)) == {}
    with pytest.raises(IntegrityError, match=r"expected what DVC writes.*`git checkout dvc\.lock`"):
        dvc.forget_stages([])
