"""A file on an HTTP(S) server, by ranges where the server takes them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from velocorpus.errors import UserMistake
from velocorpus.reads.fetch.parts import Broken, Stale
from velocorpus.reads.fetch.transfer import Found

# What another try may mend; 403 and 404 stay what they are.
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class HttpSource:
    """One address. Without `proxy`, httpx takes one from HTTPS_PROXY and its kin."""

    def __init__(self, address: str, *, timeout_s: float, proxy: str | None = None):
        import httpx

        self.address = address
        # A file has no fragment: `#` is part of its name (the Sanger Institute's `24013_5#6.bam`).
        self.asked = address.replace("#", "%23")
        limits = httpx.Limits(max_connections=None)
        self.client = httpx.Client(follow_redirects=True, timeout=timeout_s, proxy=proxy, limits=limits)

    def look(self) -> Found:
        """Ask for the first byte: some hosts refuse HEAD, and only the answer shows whether ranges are taken."""
        with self._get({"Range": "bytes=0-0"}) as response:
            if response.status_code == 206:
                said = re.fullmatch(r"bytes 0-0/(\d+)", response.headers.get("Content-Range", ""))
                if said:
                    return Found(_version(response), int(said[1]), ranged=True)
            length = response.headers.get("Content-Length", "") if response.status_code == 200 else ""
            return Found("", int(length) if length.isdecimal() else None, ranged=False)

    @contextmanager
    def read(self, found: Found, span: tuple[int, int] | None) -> Iterator[Iterator[bytes]]:
        """The bytes of `span`, exactly; `If-Range` and the answer's own words tell another version."""
        if span is None:
            with self._get({}) as response:
                if response.status_code != 200:
                    raise Broken(f"status {response.status_code} without having been asked for a range")
                yield response.iter_raw()
            return
        with self._get({"Range": f"bytes={span[0]}-{span[1] - 1}", "If-Range": found.version}) as response:
            if _version(response) != found.version:
                raise Stale(f"the file changed: version {_version(response)!r} instead of {found.version!r}")
            if response.status_code != 206:
                raise Stale(f"asked for a range, answered with status {response.status_code}")
            said = response.headers.get("Content-Range", "")
            if said != f"bytes {span[0]}-{span[1] - 1}/{found.total}":
                raise Stale(f"asked for bytes {span[0]}-{span[1] - 1} of {found.total}, answered with {said!r}")
            yield response.iter_raw()

    def close(self) -> None:
        """Close the connections that were kept."""
        self.client.close()

    @contextmanager
    def _get(self, headers: dict[str, str]) -> Iterator[Any]:
        import httpx

        try:
            with self.client.stream("GET", self.asked, headers={"Accept-Encoding": "identity"} | headers) as response:
                self._check(response)
                yield response
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UserMistake(f"{self.address} is not an address ({error}).") from None
        except httpx.HTTPError as error:
            raise Broken(f"{type(error).__name__}: {error}") from None

    def _check(self, response: Any) -> None:
        status = response.status_code
        if status in RETRIED_STATUS:
            raise Broken(f"status {status}", pause_asked_for(response))
        # 416: an empty file has no first byte, or a shorter one has no such range.
        if status not in (200, 206, 416):
            raise UserMistake(f"{self.address} was refused with status {status}; check the address.")
        if response.headers.get("Content-Type", "").startswith("text/html") and not self.address.endswith("html"):
            raise UserMistake(f"{self.address} answers with a web page instead of a file; check the address.")


def pause_asked_for(response: Any) -> float:
    """Seconds that the server asks to wait; a date is not read."""
    after: str = response.headers.get("Retry-After", "")
    return float(after) if after.isdecimal() else 0.0


def _version(response: Any) -> str:
    """A strong ETag, else the date; a weak ETag may not be used in If-Range (RFC 9110, 13.1.5)."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
