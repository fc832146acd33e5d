"""A headless Chromium, where one is found, and a page of a foreign origin for it to visit."""

import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS += ["--virtual-time-budget=20000", "--dump-dom"]
EVIL = "evil.example"  # the browser finds it on this machine


def visit(address: str, profile: Path) -> str:
    """The page at an address, after its scripts have run."""
    mapped = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", mapped, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout


@contextmanager
def page(script: str) -> Iterator[tuple[int, list[Any]]]:
    """A page that runs a script; its port, and what the script posts back."""
    told: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<title>evil</title><script>{script}</script>".encode())

        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
