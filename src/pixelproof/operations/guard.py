"""Around the servers of this machine: no page of another origin reaches them, and no other host.

A web page that a person visits can send requests to 127.0.0.1, and with a name of its own that is
made to point there (DNS rebinding) it can read the answers, too.
"""

import os
import pkgutil
from collections.abc import Awaitable, Callable, MutableMapping
from types import FunctionType
from typing import Any, TypeAlias

APP = "PIXELPROOF_GUARDED"  # the server's own application, `module:name`
# With the assistant of MLflow's page, whoever reaches the server has it run shell commands.
CLOSED = "/mlflow/assistant"

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


def hosts(port: int) -> list[str]:
    """What this machine is called by those who may ask for a port of it."""
    return [f"127.0.0.1:{port}", f"localhost:{port}"]


def origins(port: int) -> list[str]:
    """The origins of a server's own pages."""
    return [f"http://{host}" for host in hosts(port)]


def guarded() -> "Guard":
    """The application that `PIXELPROOF_GUARDED` names, behind a guard; made by the web server."""
    app = pkgutil.resolve_name(os.environ[APP])
    return Guard(app() if isinstance(app, FunctionType) else app)


class Guard:
    """Lets through what is addressed to this machine, and comes from no page or the server's own.

    HTTP requests that do not are answered with 403; WebSockets are refused before they open.
    """

    def __init__(self, app: Application) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        reason = _refusal(scope) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            plain = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": plain})
            await send({"type": "http.response.body", "body": f"{reason}\n".encode()})


def _refusal(scope: Message) -> str | None:
    """Why a request is refused; None lets it through."""
    _, port = scope["server"]
    headers = [(name, value.decode("latin-1").lower()) for name, value in scope["headers"]]
    named = [value for name, value in headers if name == b"host"]
    if len(named) != 1 or named[0] not in hosts(port):
        return f"Host: expected {' or '.join(hosts(port))}"
    if any(name == b"origin" and value not in origins(port) for name, value in headers):
        return f"Origin: expected none or {' or '.join(origins(port))}"
    return "the assistant is switched off" if CLOSED in scope["path"] else None
