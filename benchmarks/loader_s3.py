"""An epoch read from a folder and from S3, where every request takes its time: does reading ahead hide it?

python benchmarks/loader_s3.py CORPUS [--latency 0.05] [--step 0.02] [--readers 0 1 4 16] [--cells 16384]

moto's S3 on this machine, in a process of its own, which waits `--latency` seconds before each answer. A training step
of `--step` seconds per batch of 256 cells is a pause: the loader's other threads may read meanwhile. `waited` is what
an epoch (at most `--cells` cells of it, 4 blocks at once) takes beyond these pauses, decoding included; `readers` is
the loader's option, 0 reads nothing ahead. The first batch waits for the first 4 blocks, which nothing can hide.
"""

import argparse
import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from velocorpus import names

BUCKET, BATCH, WINDOW = "corpora", 256, 4


def serve(pipe: Connection, latency: float) -> None:
    """moto's S3 with a pause before each answer; tells its port, then, when asked, how many requests came."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app, asked = DomainDispatcherApplication(create_backend_app), []

    def late(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            asked.append(environ["PATH_INFO"])
            time.sleep(latency)
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, late, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.port)
    while pipe.recv():
        pipe.send(len(asked))


def put(corpus: Path, address: str) -> str:
    """Upload a corpus as it lies; its address."""
    import boto3

    client = boto3.client("s3", endpoint_url=address)
    client.create_bucket(Bucket=BUCKET)
    for file in sorted(corpus.rglob("*")):
        if file.is_file():
            client.upload_file(str(file), BUCKET, f"corpus/{file.relative_to(corpus).as_posix()}")
    return f"s3://{BUCKET}/corpus"


def epoch(place: str, readers: int, step: float, n_batches: int) -> tuple[float, float]:
    """Seconds until the loader is there and its first batch, and seconds of the batches after it less the pauses."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.data.loader import Loader

    begin = time.perf_counter()
    loader = Loader(
        Corpus(place),
        "train",
        batch_cells=BATCH,
        seed=0,
        modalities=(names.SPLICED, names.UNSPLICED),
        max_genes=2048,
        truncation="top",
        window_blocks=WINDOW,
        readers=readers,
    )
    next(loader)
    first = time.perf_counter() - begin
    n = min(n_batches, loader.n_cells // BATCH) - 1
    begin = time.perf_counter()
    for _ in range(n):
        time.sleep(step)
        next(loader)
    waited = time.perf_counter() - begin - n * step
    del loader  # its threads end when they have read what they were asked to
    for thread in threading.enumerate():
        if thread.name.startswith("velocorpus-read"):
            thread.join()
    return first, waited


def main() -> None:
    """Serve, upload, read, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--step", type=float, default=0.02, help="seconds of a training step")
    parser.add_argument("--readers", type=int, nargs="+", default=[0, 1, 4, 16])
    parser.add_argument("--cells", type=int, default=16_384)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    ours, its = spawn.Pipe()
    server = spawn.Process(target=serve, args=(its, options.latency), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{ours.recv()}"
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": address}
    remote = put(options.corpus, address)
    n_batches = options.cells // BATCH
    epoch(str(options.corpus), 1, 0, 2)  # compiles
    print(f"{n_batches} batches, {options.step * 1000:.0f} ms a step, {options.latency * 1000:.0f} ms a request")
    print("| from | readers | first batch, s | then waited, s | a batch, ms | requests |")
    print("|---|--:|--:|--:|--:|--:|")
    for place in (str(options.corpus), remote):
        for readers in options.readers:
            ours.send(True)
            before = ours.recv()
            first, waited = epoch(place, readers, options.step, n_batches)
            ours.send(True)
            asked = ours.recv() - before
            where = "S3" if place == remote else "folder"
            print(f"| {where} | {readers} | {first:.2f} | {waited:.2f} | {1000 * waited / n_batches:.1f} | {asked} |")
    ours.send(False)
    server.join()


if __name__ == "__main__":
    main()
