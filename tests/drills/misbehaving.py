"""A local HTTP server of a few files, or in front of another server, that misbehaves as it is told.

Each request takes one fault from `Site.faults` (None: behave); faults are functions that spoil a good reply.
"""

import base64
import hashlib
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@dataclass
class Reply:
    """What goes out: `cut` bytes of the body and then a closed connection; a `pause_s` after `pause_at` bytes."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None
    pause_at: int = 0
    pause_s: float = 0.0
    trickle_s: float = 0.0


Fault = Callable[[Reply, random.Random], Reply]
# Spoils the body of a request before it is passed on; None: it never is, and the connection is closed.
SentFault = Callable[[bytes, random.Random], bytes | None]


@dataclass
class Kept:
    """A file of the site."""

    content: bytes
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def reply(self, asked: dict[str, str]) -> Reply:
        headers = self.headers | ({"ETag": self.etag} if self.etag else {})
        headers |= {"Last-Modified": self.modified} if self.modified else {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
        same = asked.get("if-range", self.etag or self.modified) in (self.etag, self.modified)
        if not (wanted and self.ranges and same):
            return Reply(200, headers, self.content)
        first, last = int(wanted[1]), min(int(wanted[2] or len(self.content)), len(self.content) - 1)
        if first >= len(self.content):
            return Reply(416, headers, b"")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(self.content)}"
        return Reply(206, headers, self.content[first : last + 1])


class Site:
    """The server. `behind`: the address of a server whose good replies are spoiled here, instead of own files."""

    def __init__(self, seed: int = 0, behind: str = ""):
        self.files: dict[str, Kept] = {}
        self.faults: deque[Fault | None] = deque()
        self.sent_faults: deque[SentFault | None] = deque()
        self.asked: list[dict[str, str]] = []
        self.rng, self.lock = random.Random(seed), threading.Lock()
        # Seconds before each reply, to let a test kill a transfer in its middle.
        self.slow_s = 0.0
        # More requests at once than `allowed` are put off.
        self.allowed, self.open, self.most_open = 1000, 0, 0
        site, upstream = self, httpx.Client(base_url=behind) if behind else None

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with site.lock:
                    site.open += 1
                    site.most_open = max(site.most_open, site.open)
                try:
                    self.answer()
                finally:
                    with site.lock:
                        site.open -= 1

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def answer(self) -> None:
                asked = {key.lower(): value for key, value in self.headers.items()}
                sent: bytes | None = self.rfile.read(int(asked.get("content-length", 0)))
                with site.lock:
                    fault = site.faults.popleft() if site.faults else None
                    sent_fault = site.sent_faults.popleft() if site.sent_faults else None
                    site.asked.append(asked | {":request": f"{self.command} {self.path}"})
                    if sent_fault and sent is not None:
                        sent = sent_fault(sent, site.rng)
                if sent is None:
                    self.close_connection = True
                    return
                if upstream is not None:
                    headers = {k: v for k, v in asked.items() if k not in ("content-length", "expect")}
                    if changed_on_condition(asked, sent):
                        reply = Reply(400, {}, b"<Error><Code>BadDigest</Code></Error>")
                    else:
                        reply = forwarded(upstream.request(self.command, self.path, headers=headers, content=sent))
                else:
                    kept = site.files.get(self.path)
                    reply = kept.reply(asked) if kept else Reply(404, {}, b"")
                length = len(reply.body)
                with site.lock:
                    reply = fault(reply, site.rng) if fault else reply
                if site.open > site.allowed:
                    reply = Reply(503, {}, b"")
                time.sleep(site.slow_s)
                try:
                    self.send(reply, length)
                except OSError:
                    self.close_connection = True

            def send(self, reply: Reply, length: int) -> None:
                if reply.status == 0:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for key, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                    self.send_header(key, value)
                self.end_headers()
                body = reply.body if reply.cut is None else reply.body[: reply.cut]
                if reply.trickle_s:
                    for i in range(0, len(body), 8):
                        self.wfile.write(body[i : i + 8])
                        time.sleep(reply.trickle_s)
                elif reply.pause_s:
                    self.wfile.write(body[: reply.pause_at])
                    self.wfile.flush()
                    time.sleep(reply.pause_s)
                    self.wfile.write(body[reply.pause_at :])
                else:
                    self.wfile.write(body)
                if reply.cut is not None or "Content-Length" in reply.headers:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A client that was killed is no news.
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def keep(self, name: str, content: bytes, **how: object) -> str:
        """Put a file on the site; returns its address."""
        self.files[f"/{name}"] = Kept(content, **how)  # type: ignore[arg-type]
        return f"{self.address}/{name}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def forwarded(answer: httpx.Response) -> Reply:
    """Another server's answer, without what belongs to its connection."""
    own = {"content-length", "connection", "date", "server", "transfer-encoding"}
    headers = {key: value for key, value in answer.headers.items() if key.lower() not in own}
    if answer.request.method == "HEAD":
        headers["Content-Length"] = answer.headers.get("Content-Length", "0")
    return Reply(answer.status_code, headers, answer.content)


def changed_on_condition(asked: dict[str, str], sent: bytes) -> bool:
    """Whether S3 would refuse the bytes of a write on condition by their checksum, which moto never looks at.

    Of other writes it is left to the client to see what arrived.
    """
    wanted = asked.get("x-amz-checksum-sha256")
    return bool(wanted and {"if-match", "if-none-match"} & asked.keys()) and (
        wanted != base64.b64encode(hashlib.sha256(sent).digest()).decode()
    )


def never_sent(body: bytes, rng: random.Random) -> None:
    """The request is lost."""


def sent_short(body: bytes, rng: random.Random) -> bytes:
    """Only the first bytes of the request arrive."""
    return body[: rng.randrange(max(1, len(body)))]


def sent_wrong(body: bytes, rng: random.Random) -> bytes:
    """A byte of the request is another when it arrives."""
    at = rng.randrange(max(1, len(body)))
    return body[:at] + bytes([body[at] ^ (1 + rng.randrange(255))]) + body[at + 1 :] if body else body


def status(number: int, **headers: str) -> Fault:
    """Refuse or put off with this status."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda reply, rng: Reply(number, named, b"")


def hang_up(reply: Reply, rng: random.Random) -> Reply:
    """Close the connection without a word."""
    return replace(reply, status=0)


def drop(reply: Reply, rng: random.Random) -> Reply:
    """Close the connection at a random byte."""
    return replace(reply, cut=rng.randrange(max(1, len(reply.body))))


def stall(seconds: float) -> Fault:
    """Go silent at a random byte."""
    return lambda reply, rng: replace(reply, pause_at=rng.randrange(max(1, len(reply.body))), pause_s=seconds)


def trickle(seconds: float) -> Fault:
    """A few bytes now and then."""
    return lambda reply, rng: replace(reply, trickle_s=seconds)


def wrong_byte(reply: Reply, rng: random.Random) -> Reply:
    """One byte is another."""
    body, at = bytearray(reply.body), rng.randrange(max(1, len(reply.body)))
    body[at : at + 1] = bytes([body[at] ^ (1 + rng.randrange(255))]) if body else b""
    return replace(reply, body=bytes(body))


def short_body(reply: Reply, rng: random.Random) -> Reply:
    """Fewer bytes than were asked for, and a Content-Length that says so calmly."""
    return replace(reply, body=reply.body[: rng.randrange(max(1, len(reply.body)))])


def long_body(reply: Reply, rng: random.Random) -> Reply:
    """More bytes than were asked for."""
    return replace(reply, body=reply.body + rng.randbytes(rng.randrange(1, 5000)))


def length_too_small(reply: Reply, rng: random.Random) -> Reply:
    """Content-Length says less than what comes."""
    return replace(reply, headers=reply.headers | {"Content-Length": str(rng.randrange(max(1, len(reply.body))))})


def length_too_large(reply: Reply, rng: random.Random) -> Reply:
    """Content-Length says more than what comes."""
    lie = {"Content-Length": str(len(reply.body) + rng.randrange(1, 5000))}
    return replace(reply, headers=reply.headers | lie)


def wrong_range(reply: Reply, rng: random.Random) -> Reply:
    """Bytes of another place, as Content-Range admits."""
    said = {k: re.sub(r"\d+", lambda m: str(int(m[0]) + 7), v, count=1) for k, v in reply.headers.items()}
    key = next((k for k in reply.headers if k.lower() == "content-range"), None)
    return replace(reply, headers=reply.headers | ({key: said[key]} if key else {}))


def other_version(reply: Reply, rng: random.Random) -> Reply:
    """Bytes of another version, whose ETag says so, though a certain version was asked for."""
    key = next((k for k in reply.headers if k.lower() == "etag"), "ETag")
    return replace(reply, headers=reply.headers | {key: '"another"'}, body=rng.randbytes(len(reply.body)))


def web_page(reply: Reply, rng: random.Random) -> Reply:
    """Log in first."""
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Please log in.</html>")
