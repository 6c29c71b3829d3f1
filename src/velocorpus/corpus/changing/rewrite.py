"""Part of a shard as a new shard, a record batch at a time."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import content, schema
from velocorpus.corpus.shard import Sums, decoded
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.files import replacing, sha256

Choose = Callable[[pa.RecordBatch], NDArray[np.bool_]]


def read_whole(path: Path, entry: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
    """All columns of a shard, batch by batch; one whose bytes are not the manifest's is refused: it would be
    copied, damage and all, under a digest of its own.
    """
    if not path.exists() or sha256(path) != entry["sha256"]:
        raise UserMistake(f"The shard {path} is missing or damaged; restore it (see `velocorpus corpus verify`).")
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        for i in range(file.num_record_batches):
            yield file.get_batch(i)


def rewrite_shard(
    path: Path,
    entry: Mapping[str, Any],
    choose: Choose,
    name: Callable[[str], Path],
    genes: Vocabulary,
    staying: Sums,
) -> tuple[Path, Sums]:
    """Write the chosen cells of a shard, in their order, as a shard named by `name(content digest)`.

    Returns its path and the sums of the cells that go; those that stay are added to `staying`. Memory: two record
    batches.
    """
    lanes = content.lanes_of(genes.gene_ids)
    before, n_rows, going = staying.digest, 0, Sums.zero(len(genes))
    samples: set[str] = set()
    with pa.memory_map(str(path)) as source:
        layout = pa.ipc.open_file(source).schema
    # First the sums: name and metadata of the new file hold the digest.
    for batch in read_whole(path, entry):
        chosen = choose(batch)
        n_rows += int(chosen.sum())
        samples |= {*batch[names.SAMPLE].filter(pa.array(chosen)).to_pylist()}
        for sums, mask in ((staying, chosen), (going, ~chosen)):
            rows = np.flatnonzero(mask)
            sums.add(batch.take(rows), decoded(batch, rows, genes), lanes)
    about = schema.metadata_of(layout) or {}
    digest = content.to_hex(staying.digest - before)
    counts = {sample: about["counts"][sample] for sample in sorted(samples)}
    layout = schema.with_metadata(
        layout, about | {"rows": n_rows, "samples": sorted(samples), "counts": counts, "content_digest": digest}
    )
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", schema.COMPRESSION_LEVEL))
    with replacing(name(digest)) as aside, pa.ipc.new_file(str(aside), layout, options=options) as file:
        for batch in _full_batches(batch.filter(pa.array(choose(batch))) for batch in read_whole(path, entry)):
            file.write_batch(batch.replace_schema_metadata(layout.metadata))
    return name(digest), going


def _full_batches(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in record batches of the size that shards have."""
    waiting: list[pa.RecordBatch] = []
    for part in parts:
        waiting.append(part)
        while sum(batch.num_rows for batch in waiting) >= schema.BATCH_CELLS:
            joined = pa.concat_batches(waiting)
            yield joined.slice(0, schema.BATCH_CELLS)
            waiting = [joined.slice(schema.BATCH_CELLS)]
    if sum(batch.num_rows for batch in waiting):
        yield pa.concat_batches(waiting)
