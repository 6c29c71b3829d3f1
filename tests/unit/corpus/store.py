"""moto's S3 on this machine, with a server in front of it that misbehaves as told, for tests of publishing."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.drills import misbehaving as bad

from velocorpus.config import FetchConfig


@dataclass
class Store:
    """The bucket `corpora`: its server, and a client that goes past it."""

    site: bad.Site
    client: Any

    def how(self, **changes) -> FetchConfig:
        return FetchConfig(s3_endpoint=self.site.address, **({"retries": 1} | changes))

    def names(self, folder: str) -> list[str]:
        listed = self.client.list_objects_v2(Bucket="corpora", Prefix=folder + "/").get("Contents", [])
        return [one["Key"].removeprefix(folder + "/") for one in listed]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket="corpora", Key=key)["Body"].read()

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket="corpora", Key=key, Body=content)

    def asked(self, since: int, method: str) -> list[str]:
        """Requests of one method since the first so many."""
        requests = [one[":request"] for one in self.site.asked[since:]]
        return [one.split("?")[0].split("/", 2)[-1] for one in requests if one.startswith(method)]


@contextmanager
def store() -> Iterator[Store]:
    import boto3
    from moto.s3 import models
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test") | {"AWS_DEFAULT_REGION": "us-east-1"}
    with patch.dict(os.environ, keys), patch.object(models, "S3_UPLOAD_PART_MIN_SIZE", 1):
        moto = ThreadedMotoServer(port=0, verbose=False)
        moto.start()
        address = f"http://127.0.0.1:{moto.get_host_and_port()[1]}"
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="corpora")
        site = bad.Site(behind=address)
        try:
            yield Store(site, client)
        finally:
            site.close()
            client.close()
            moto.stop()
