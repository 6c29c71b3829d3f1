"""A web service asked politely: so many requests a second, retries with backoff, an answer parsed or a sentence why."""

import functools
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.fetch.http import RETRIED_STATUS, pause_asked_for
from velocorpus.reads.fetch.parts import Broken

TIMEOUT_S = 120.0
MAX_WAIT_S = 120.0

Answer = TypeVar("Answer")


class Refused(UserMistake):
    """A request that the service refused, with the status and its words."""

    def __init__(self, where: str, status: int, said: str):
        super().__init__(f"{where} was refused with status {status}: {said}")
        self.status, self.said = status, said


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates, read once for all services."""
    import httpx

    return httpx.create_ssl_context()


class Service:
    """One base address. Without `proxy`, httpx takes one from HTTPS_PROXY and its kin."""

    def __init__(
        self,
        base: str,
        *,
        per_second: float,
        always: Mapping[str, str] | None = None,
        proxy: str | None = None,
        retries: int = 6,
        wait_s: float = 2.0,
    ):
        """`always`: sent with each request. `retries` more tries, `wait_s` seconds apart at first, then doubled."""
        import httpx

        self.base = base.rstrip("/")
        self.client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, proxy=proxy, verify=_trusted())
        self.spacing_s, self.next_at = 1 / per_second, 0.0
        self.always, self.retries, self.wait_s = dict(always or {}), retries, wait_s

    def ask(
        self, path: str, values: Mapping[str, str], parse: Callable[[str], Answer], *, post: bool = False
    ) -> Answer:
        """The parsed answer; an empty one (status 204) is parsed from an empty text.

        `parse` raises `ValueError` for an answer that is not of its form, which is then asked for again. Raises
        `Refused` for a refused request, `TryLater` for a service that kept failing.
        """
        import tenacity

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            backoff = self.wait_s * 2 ** (state.attempt_number - 1)
            return min(max(backoff, getattr(error, "wait_s", 0.0)), MAX_WAIT_S)

        def say(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            print(f"{self.base}: {error}; try {state.attempt_number + 1} of {self.retries + 1}", file=sys.stderr)

        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Broken),
            stop=tenacity.stop_after_attempt(self.retries + 1),
            wait=wait,
            before_sleep=say,
            reraise=True,
        )
        try:
            return tries(self._once, path, values, parse, post)
        except Broken as error:
            raise TryLater(
                f"{self.base} did not answer in {self.retries + 1} tries ({error}); nothing was written: run again "
                "later, or name a mirror."
            ) from None

    def _once(self, path: str, values: Mapping[str, str], parse: Callable[[str], Answer], post: bool) -> Answer:
        import httpx

        time.sleep(max(0.0, self.next_at - time.monotonic()))
        self.next_at = time.monotonic() + self.spacing_s
        sent: dict[str, Any] = {"data" if post else "params": {**values, **self.always}}
        try:
            response = self.client.request("POST" if post else "GET", f"{self.base}/{path}", **sent)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UserMistake(f"{self.base} is not an address ({error}).") from None
        except httpx.HTTPError as error:
            raise Broken(f"{type(error).__name__}: {error}") from None
        if response.status_code in RETRIED_STATUS:
            raise Broken(f"status {response.status_code}", pause_asked_for(response))
        if response.status_code not in (200, 204):
            raise Refused(f"{self.base}/{path}", response.status_code, " ".join(response.text.split())[:200])
        try:
            return parse(response.text if response.status_code == 200 else "")
        except ValueError as error:
            raise Broken(f"an answer that cannot be read ({error})") from None
