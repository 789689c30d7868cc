"""Attacks on the way in, against the limits with a small application behind it: no network, no workers."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from mask2alpha.serving.counters import ServiceCounters
from mask2alpha.serving.limits import RequestLimits
from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.settings import ServiceSettings

KEY = "a-key"
KEY_HASH = hashlib.sha256(KEY.encode()).hexdigest()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("unexpected")


class Exchange:
    """One request, message by message."""

    def __init__(self, *, app: Any = echo, room: Any = lambda: None, **settings: Any) -> None:
        self.limits = RequestLimits(
            app, settings=ServiceSettings(**settings), metrics=ServiceCounters(), check_room=room
        )
        self.num_taken = 0
        self.sent: list[Message] = []

    def ask(
        self,
        method: str = "POST",
        path: str = "/v1/mattes",
        *,
        chunks: Iterable[bytes] = (b"",),
        pause: float = 0.0,
        sending_pause: float = 0.0,
        **headers: str,
    ) -> int:
        messages = iter([*chunks])

        async def receive() -> Message:
            await asyncio.sleep(pause)
            try:
                body = next(messages)
            except StopIteration:
                await asyncio.sleep(60)
                raise
            self.num_taken += len(body)
            return {"type": "http.request", "body": body, "more_body": body != b""}

        async def send(message: Message) -> None:
            await asyncio.sleep(sending_pause)
            self.sent.append(message)

        head = {"host": "testserver", **{name.replace("_", "-"): value for name, value in headers.items()}}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in head.items()],
            "query_string": b"",
        }
        asyncio.run(asyncio.wait_for(self.limits(scope, receive, send), 10))
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def test_a_request_passes() -> None:
    exchange = Exchange()
    assert exchange.ask(chunks=[b"abc", b"de", b""]) == 200
    assert exchange.body == b"5"


def test_attack_a_body_that_is_larger_than_it_says() -> None:
    exchange = Exchange(max_body=1000)
    assert exchange.ask(chunks=[b"x" * 300] * 10 + [b""], content_length="10") == 413
    assert b"body-too-large" in exchange.body


def test_attack_a_body_without_end_is_cut_off() -> None:
    exchange = Exchange(max_body=1000)
    assert exchange.ask(chunks=[b"x" * 100] * 10_000) == 413
    assert exchange.num_taken <= 2200


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    exchange = Exchange(max_body=1000)
    assert exchange.ask(chunks=[b"x" * 3000, b""], content_length="3000", expect="100-continue") == 413
    assert exchange.num_taken == 0


def test_attack_a_body_that_trickles() -> None:
    exchange = Exchange(upload_timeout=0.1)
    assert exchange.ask(chunks=[b"x"] * 100 + [b""], pause=0.03) == 408


def test_attack_a_client_that_does_not_take_its_answer() -> None:
    exchange = Exchange(upload_timeout=0.05)
    assert exchange.ask("GET", "/health", sending_pause=1.0) == 0


def test_attack_many_uploads_at_once() -> None:
    exchange = Exchange(uploads=1)
    exchange.limits._num_uploads = 1
    assert exchange.ask() == 429
    assert int(exchange.headers["retry-after"]) >= 1


def test_a_clip_may_be_larger_and_take_longer_than_a_photograph() -> None:
    limits = {"max_body": 100, "max_clip": 3000, "upload_timeout": 0.1}
    chunks = [b"x" * 100] * 20 + [b""]
    assert Exchange(**limits).ask(path="/v1/clips", chunks=chunks, pause=0.02) == 200
    assert Exchange(**limits).ask(path="/v1/clips", chunks=[b"x" * 1000] * 9 + [b""]) == 413
    assert Exchange(**limits).ask(path="/v1/clips/id/mattes", chunks=chunks) == 413
    exchange = Exchange(clips=1)
    exchange.limits._num_clips = 1
    assert exchange.ask(path="/v1/clips") == 429


def test_without_room_the_body_is_not_parsed_but_taken() -> None:
    def full() -> None:
        raise ProblemError("queue-full", "The service is busy.", retry_after=3)

    exchange = Exchange(app=fail, room=full)
    assert exchange.ask(chunks=[b"x" * 100, b"x" * 100, b""]) == 429
    assert (exchange.headers["retry-after"], exchange.num_taken) == ("3", 200)


@pytest.mark.parametrize("path", ["/v1/mattes", "/v1/encodings/x", "/v1/progress/12345678", "/metrics"])
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer other", f"Basic {KEY}", KEY, "Bearer Ω"])
def test_attack_without_the_key(path: str, given: str) -> None:
    exchange = Exchange(api_key_hashes=(KEY_HASH,))
    assert exchange.ask(path=path, authorization=given) == 401
    assert exchange.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("path", "key"), [("/v1/mattes", KEY), ("/metrics", KEY), ("/health", ""), ("/", "")])
def test_with_the_key_or_where_none_is_needed(path: str, key: str) -> None:
    assert Exchange(api_key_hashes=(KEY_HASH, "0" * 64)).ask(path=path, authorization=f"Bearer {key}") == 200


def test_attack_a_page_of_another_site_sends_a_form() -> None:
    assert Exchange().ask(origin="https://evil.example") == 403
    assert Exchange().ask(origin="null") == 403
    assert Exchange().ask(origin="http://testserver") == 200
    assert Exchange(cors_origins=("https://friend.example",)).ask(origin="https://friend.example") == 200


def test_attack_another_name_for_this_machine() -> None:
    allowed = ("localhost", "127.0.0.1", "[::1]")
    for host, status in (
        ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("[::1]", 200),
        ("evil.example", 400), ("evil.example:8000", 400), ("localhost.evil.example", 400), ("", 400),
    ):  # fmt: skip
        assert Exchange(allowed_hosts=allowed).ask(host=host) == status, host


@pytest.mark.parametrize("given", ["short", "a" * 65, "line\r\nbreak", '"quoted-12345"', "ünïcode-1234"])
def test_attack_a_request_id_that_is_none(given: str) -> None:
    exchange = Exchange()
    exchange.ask(x_request_id=given)
    assert exchange.headers["x-request-id"] != given
    assert len(exchange.headers["x-request-id"]) == 16


def test_the_request_id_comes_back() -> None:
    exchange = Exchange()
    exchange.ask(x_request_id="upload-0001")
    assert exchange.headers["x-request-id"] == "upload-0001"


def test_every_answer_has_the_security_headers() -> None:
    for exchange in (Exchange(), Exchange(app=fail)):
        exchange.ask()
        policy = exchange.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "img-src 'self' blob: data:" in policy
        assert "unsafe" not in policy
        assert exchange.headers["x-content-type-options"] == "nosniff"
        assert exchange.headers["referrer-policy"] == "no-referrer"
        assert exchange.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in exchange.headers


def test_the_page_may_be_kept_by_browsers_where_its_name_tells_its_content() -> None:
    for path, word in (("/assets/index-3f2a.js", "immutable"), ("/", "no-cache"), ("/v1/info", "no-store")):
        exchange = Exchange()
        exchange.ask("GET", path)
        assert word in exchange.headers["cache-control"]


def test_an_unexpected_error_is_told_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    exchange = Exchange(app=fail)
    with caplog.at_level(logging.INFO):
        assert exchange.ask() == 500
    assert b"unexpected error" in exchange.body
    assert b"ValueError" not in exchange.body
    assert "ValueError" in caplog.text


def test_the_log_has_no_content_names_or_addresses(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Exchange().ask(path="/v1/mattes", chunks=[b'filename="holiday.jpg"', b""], authorization="Bearer secret")
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    logged = vars(record)
    assert (logged["method"], logged["status"], logged["bytes_in"]) == ("POST", 200, 22)
    assert not any(word in str(logged) for word in ("holiday", "secret"))
