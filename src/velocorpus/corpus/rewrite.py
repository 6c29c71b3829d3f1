"""Part of a shard as a new shard, a record batch at a time, and what the cells in it add up to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import content, schema
from velocorpus.corpus.content import Lanes
from velocorpus.corpus.encoding import decode_layer
from velocorpus.corpus.reader import encoded_layer, first_tokens
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.files import replacing, sha256

Choose = Callable[[pa.RecordBatch], NDArray[np.bool_]]


@dataclass
class Sums:
    """What some cells add up to: gene sums by token, figures by sample (`cells`, `n_<layer>`), content sum."""

    genes: dict[str, NDArray[np.int64]]
    samples: dict[str, dict[str, int]] = field(default_factory=dict)
    digest: Lanes = field(default_factory=lambda: np.zeros(2, np.uint64))

    @classmethod
    def zero(cls, n_genes: int) -> "Sums":
        """No cell yet."""
        columns = [f(layer) for f in (names.total_of, names.cells_with) for layer in names.LAYERS]
        return cls({column: np.zeros(n_genes, np.int64) for column in columns})

    def add(self, batch: pa.RecordBatch, layers: dict[str, Any], lanes: Lanes) -> None:
        """Add the cells of a record batch, whose `layers` are decoded; `lanes` are those of the genes."""
        for layer, (_, tokens, counts) in layers.items():
            # Sums of doubles are exact below 2⁵³: of one batch they always are.
            for name, weights in ((names.total_of(layer), counts), (names.cells_with(layer), None)):
                self.genes[name] += np.bincount(tokens, weights, len(lanes)).astype(np.int64)
        samples = batch[names.SAMPLE].to_pylist()
        ids = [names.cell_id(*pair) for pair in zip(samples, batch[names.BARCODE].to_pylist(), strict=True)]
        self.digest = self.digest + content.content_sum(ids, lanes, layers)
        totals = {names.total_of(layer): batch[names.total_of(layer)].to_numpy() for layer in names.LAYERS}
        of = np.array(samples, dtype=object)
        for sample in sorted(set(samples)):
            mine = of == sample
            figures = self.samples.setdefault(sample, {"cells": 0, **dict.fromkeys(totals, 0)})
            figures["cells"] += int(mine.sum())
            for name, values in totals.items():
                figures[name] += int(values[mine].sum())


def decoded(batch: pa.RecordBatch, rows: NDArray[np.int64], genes: Vocabulary) -> dict[str, Any]:
    """Some rows of a record batch as CSR triples by layer, all genes; `ValueError` where they do not decode."""
    first, every = first_tokens(batch, genes)[rows], np.ones(len(genes), bool)
    return {layer: decode_layer(encoded_layer(batch, layer), rows, first, every) for layer in names.LAYERS}


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
