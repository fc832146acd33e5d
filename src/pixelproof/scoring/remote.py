"""Targets behind a server that speaks MLflow's scoring protocol."""

import hashlib
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Any

import numpy as np
import numpy.typing as npt
import urllib3

from pixelproof.errors import ParameterError, ServiceError, one_line
from pixelproof.scoring.answer_ledger import AnswerLedger, default_path
from pixelproof.scoring.answers import read_answers
from pixelproof.scoring.target import (
    Layout,
    Remote,
    Target,
    TargetOptions,
    refuse_normalisation,
    to_layout,
)

TOKEN = "PIXELPROOF_SCORE_TOKEN"  # is sent as a bearer's token
BUSY = (429, 500, 502, 503, 504)
LONGEST_WAIT = 60  # seconds before a request is tried again
SHOWN = 200  # characters of a reply in an error

UInt8 = npt.NDArray[np.uint8]


def remote_target(url: str, options: TargetOptions) -> Target:
    """A server that is sent `{"instances": [image, …]}` and replies `{"predictions": […]}`.

    Raises:
        ParameterError: The address is none, or the options do not go with a server.
        LedgerError: The ledger cannot be used.
    """
    asked = options.preprocessing
    refuse_normalisation(asked, _plain(url))
    server = _Server(url, options.remote, asked.layout or "nhwc")
    return Target(
        server.source,
        server.ask,
        asked.side,
        asked.fit or "stretch",
        options.classes,
        layout=server.layout,
        words=f"uint8 {server.layout.upper()}",
        again=server.ask_again,
        close=server.close,
        kept=server.kept,
        remedy=server.remedy,
    )


def _without_name(url: str) -> str:
    """An address without the name and the password in it."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _plain(url: str) -> str:
    """An address as it may be shown: without name, password and query, which may hold a key."""
    return urllib.parse.urlsplit(_without_name(url))._replace(query="", fragment="").geturl()


class _Server:
    """A server, what it has answered, and the requests that are under way."""

    def __init__(self, url: str, remote: Remote, layout: Layout) -> None:
        self.source, self.layout, self.remote = _plain(url), layout, remote
        self._address, parts = _without_name(url), urllib.parse.urlsplit(url)
        self._secret = parts.query
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ParameterError(f"expected http(s)://HOST/invocations, got {self.source}")
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if parts.username is not None:
            names = [urllib.parse.unquote(part or "") for part in (parts.username, parts.password)]
            self._headers |= urllib3.make_headers(basic_auth=":".join(names))
        if token := os.environ.get(TOKEN):
            self._headers["authorization"] = f"Bearer {token}"
        self._ended = threading.Event()
        self._pool = urllib3.PoolManager(
            maxsize=remote.concurrency,
            timeout=urllib3.Timeout(connect=min(10.0, remote.timeout), read=remote.timeout),
            retries=_Retry.until(
                self._ended,
                total=remote.retries,
                redirect=0,
                backoff_factor=remote.backoff,
                backoff_max=LONGEST_WAIT,
                backoff_jitter=remote.backoff,
                status_forcelist=BUSY,
                allowed_methods=None,  # a question changes nothing, whatever the method
                raise_on_status=False,
                raise_on_redirect=False,
                retry_after_max=LONGEST_WAIT,
            ),
        )
        self._pace = _Pace(remote.rate, self._ended)
        self._threads = ThreadPoolExecutor(remote.concurrency)
        path = remote.ledger or default_path(self._address)
        self._ledger = AnswerLedger(path, self.source)

    @property
    def kept(self) -> str:
        """What an earlier run has left, in words; nothing where it has left nothing."""
        found = self._ledger.found
        return f"{found} answers of an earlier run lie in {self._ledger.path}" if found else ""

    @property
    def remedy(self) -> str:
        """What to do where the answers are wrong, in words; nothing where none stay."""
        path = self.remote.ledger
        return f"its answers stay in {path}: delete it once the server is repaired" if path else ""

    def ask(self, images: UInt8) -> list[Any]:
        """The predictions for (B, 3, H, W) images, each asked for once in all runs."""
        layout = self.layout.encode()
        questions = [hashlib.sha256(layout + image.tobytes()).digest() for image in images]
        answers = self._ledger.find(questions)
        # By question: an image that stands twice in a batch is asked for once.
        new = {each: at for at, each in enumerate(questions) if each not in answers}
        answers |= self._request(images, list(new), list(new.values()))
        return [json.loads(answers[each]) for each in questions]

    def ask_again(self, images: UInt8) -> list[Any]:
        """The predictions for images that were asked for before, of the server as it is now."""
        questions = [b"%d" % at for at in range(len(images))]
        answers = self._request(images, questions, range(len(images)), keeps=False)
        return [json.loads(answers[each]) for each in questions]

    def _request(
        self,
        images: UInt8,
        questions: Sequence[bytes],
        rows: Sequence[int],
        keeps: bool = True,
    ) -> dict[bytes, str]:
        """Ask for images; what comes is kept at once, also where another request fails."""
        size = self.remote.images
        futures = {
            self._threads.submit(self._send, images[list(rows[start : start + size])]): start
            for start in range(0, len(rows), size)
        }
        answers: dict[bytes, str] = {}

        def keep(future: Future[list[str]]) -> None:
            start = futures[future]
            came = list(zip(questions[start : start + size], future.result(), strict=True))
            if keeps:
                self._ledger.keep(came)
            answers.update(came)

        try:
            for future in as_completed(futures):
                keep(future)
        except BaseException:  # an interrupt, too: what is under way ends and is kept
            self._ended.set()
            for future in futures:
                future.cancel()
            for future in wait(futures).done:
                if not future.cancelled() and future.exception() is None:
                    keep(future)
            raise
        return answers

    def _send(self, images: UInt8) -> list[str]:
        """One request: the predictions, each as JSON."""
        body = json.dumps({"instances": to_layout(images, self.layout).tolist()}).encode()
        self._pace.wait()
        try:
            reply = self._pool.request(
                "POST", self._address, body=body, headers=self._headers, preload_content=True
            )
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ServiceError(self._stopped(f"does not answer ({reason})")) from None
        if reply.status != 200:
            raise ServiceError(self._stopped(f"answers {reply.status}: {_start(reply.data)}"))
        try:
            content = json.loads(reply.data)
        except ValueError:
            kind = reply.headers.get("content-type", "nothing")
            raise ServiceError(
                self._stopped(f"expected JSON with predictions, got {kind}: {_start(reply.data)}")
            ) from None
        predictions = content.get("predictions") if isinstance(content, dict) else content
        if not isinstance(predictions, list):
            got = _start(reply.data)
            raise ServiceError(self._stopped(f"expected a list of predictions, got {got}"))
        read_answers(predictions, len(images), self.source)  # what is wrong is not kept
        return [json.dumps(one) for one in predictions]

    def _stopped(self, words: str) -> str:
        kept = f"its answers so far are kept in {self._ledger.path}; the same command goes on there"
        if self._secret:  # a page about an error may repeat the address
            words = words.replace(self._secret, "…")
        return one_line(f"{self.source}: {words}; {kept}")

    def close(self, used: bool) -> None:
        """End: a ledger that nobody has named is deleted once it is of no more use."""
        self._threads.shutdown(cancel_futures=True)
        self._ledger.close(delete=used and self.remote.ledger is None)


def _start(data: bytes) -> str:
    """How a reply begins, in one line."""
    text = " ".join(data.decode("utf-8", "replace").split())
    return text[:SHOWN] or "nothing"


class _Retry(urllib3.Retry):
    """Waits before a request is tried again, but not where the work has ended meanwhile."""

    ended: threading.Event

    @classmethod
    def until(cls, ended: threading.Event, **settings: Any) -> "_Retry":
        """What `urllib3.Retry` is made of, and what ends the waiting."""
        retry = cls(**settings)
        retry.ended = ended
        return retry

    def new(self, **settings: Any) -> "_Retry":
        """The same for the next try; urllib3 makes one before each."""
        retry = super().new(**settings)
        retry.ended = self.ended
        return retry

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Wait as the server says, or longer from try to try."""
        after = None if response is None else self.get_retry_after(response)
        seconds = self.get_backoff_time() if after is None else after
        if self.ended.wait(min(seconds, LONGEST_WAIT)):
            raise urllib3.exceptions.HTTPError("the work has ended")


class _Pace:
    """Holds requests back so that no more than a number start in a second."""

    def __init__(self, rate: float | None, ended: threading.Event) -> None:
        self._gap, self._ended = 1 / rate if rate else 0.0, ended
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may start.

        Raises:
            ServiceError: The work has ended meanwhile.
        """
        with self._lock:
            start = max(self._next, time.monotonic())
            self._next = start + self._gap
        if self._ended.wait(max(0.0, start - time.monotonic())):
            raise ServiceError("the work has ended")
