import subprocess
import sys
from pathlib import Path

import pytest

from pixelproof.errors import ServiceError
from pixelproof.operations.servers import find_access, published

ACCESS = {"PREFECT_API_URL": "http://127.0.0.1:1/api", "PREFECT_API_AUTH_STRING": "a:b=c"}
PUBLISH = (
    "import os, signal, sys; from pathlib import Path\n"
    "from pixelproof.operations.servers import published\n"
    "with published(Path(sys.argv[1]), {'PREFECT_API_URL': 'http://127.0.0.1:2/api'}):\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_how_servers_are_reached_is_known_while_they_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "serve.env"
    assert find_access(path) == {}
    with published(path, ACCESS):
        assert find_access(path) == ACCESS
        assert path.stat().st_mode & 0o777 == 0o600, "a password is for this user alone"
        with pytest.raises(ServiceError, match="another process serves"), published(path, ACCESS):
            pass
        assert find_access(path) == ACCESS
    assert find_access(path) == {}
    assert not list(path.parent.iterdir())


def test_what_a_killed_process_has_left_is_known_as_such(tmp_path: Path) -> None:
    path = tmp_path / "serve.env"
    subprocess.run([sys.executable, "-c", PUBLISH, str(path)], check=False)
    assert path.is_file()
    assert find_access(path) == {}
    with published(path, ACCESS):
        assert find_access(path) == ACCESS
