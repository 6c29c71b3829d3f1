"""Shards: the cells of one group of samples, one Arrow IPC file per split.

A job reads its group's samples one at a time, large ones in pieces, keeps the cells that pass the filter and encodes
them; then each split's cells are shuffled by a seed and written in record batches of 1,024. The same inputs give the
same bytes on any machine: samples are taken in the order of their names, and no time or path is written.
Memory: one piece's matrices, 540 MB; the encoded bytes wait on disk (see `spill`), about 6 kB a cell of the group.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.cells.filter import NO_CUTS, Cuts
from velocorpus.cells.qc import cell_figures, kept_cells
from velocorpus.corpus import content, schema
from velocorpus.corpus.building.ordering import by_token
from velocorpus.corpus.building.spill import Spill
from velocorpus.corpus.building.totals import read_sample
from velocorpus.corpus.content import Lanes
from velocorpus.corpus.encoding import EncodedLayer, Rows, encode_layer
from velocorpus.corpus.plan import Splits, describe, shard_name
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.files import replacing

# Bytes of a layer that a record batch can hold: the offsets of an Arrow list are 32 bits wide.
MOST_BYTES = 2**31 - 1
# Cells that are encoded at once: what this takes beside the sample's matrices is bounded.
CHUNK_CELLS = 512


def write_shards(
    inputs: Mapping[str, Path],
    folder: Path | str,
    *,
    group: str,
    vocabulary: Vocabulary,
    samples: Mapping[str, Mapping[str, str]],
    splits: Splits,
    min_counts: int,
    seed: int,
    cuts: Cuts = NO_CUTS,
) -> list[Path]:
    """Write one shard per split into `folder`; a split without cells gets a valid, empty file.

    `inputs` maps samples to counts files or `outcome.json`; refused samples are left out. `samples` is
    samples.tsv (may be empty, see `plan.describe`). Raises `UserMistake` for a gene that the vocabulary
    lacks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    genes = content.lanes_of(vocabulary.gene_ids)
    with ExitStack() as stack:
        stack.callback(_remove_if_empty, folder)
        counts: dict[str, dict[str, str]] = {split: {} for split in names.SPLITS}
        spills = {split: stack.enter_context(Spill(folder)) for split in names.SPLITS}
        for sample in sorted(inputs):
            # Its totals were made of counts that match their digest, and the manifest sees that it is this one.
            for adata in read_sample(inputs[sample], check=False)[1]:
                about = describe(sample, adata.uns[names.UNS]["source"], adata.var_names, samples)
                split = splits.of(about[names.STUDY])
                counts[split][sample] = adata.uns[names.UNS]["content_digest"]
                for cells in encode_cells(adata, sample, about[names.ORGANISM], vocabulary, genes, min_counts, cuts):
                    spills[split].add(*cells)
                del adata  # else it stays while the next is read
        about_shard = {"group": group, "seed": seed, "min_counts": min_counts, **cuts.applied}
        return [
            write_shard(
                folder / shard_name(group, split),
                spill,
                about_shard | {"split": split, "counts": counts[split]},
                vocabulary,
            )
            for split, spill in spills.items()
        ]


def encode_cells(
    adata: Any, sample: str, organism: str, vocabulary: Vocabulary, genes: Lanes, min_counts: int, cuts: Cuts
) -> Iterator[tuple[pa.Table, dict[str, EncodedLayer], Lanes]]:
    """Encode the kept cells of one sample, or of a piece of it, some at a time: their columns, layers and content sum;
    `genes` are the content lanes of the vocabulary.
    """
    figures = cell_figures(adata.layers, adata.var[names.SYMBOL].tolist())
    every = kept_cells(adata, min_counts, cuts, figures)
    tokens_G = vocabulary.tokens(adata.var_names, organism)
    wrong = [g for g, t in zip(adata.var_names, tokens_G, strict=True) if t < 0]
    if wrong:
        raise UserMistake(
            f"Sample {sample}: the vocabulary has no gene {wrong[0]} of {organism} ({len(wrong)} such genes); make the "
            "vocabulary from the totals of all samples (`velocorpus corpus vocab`)."
        )
    columns: dict[str, Any] = {
        names.BARCODE: adata.obs[names.BARCODE].astype(str).to_numpy()[every],
        names.SAMPLE: [sample] * len(every),
        names.ORGANISM: [organism] * len(every),
        **{name: pa.array(values[every], from_pandas=True) for name, values in figures.items()},
        **{name: _label(adata.obs.get(name), kind, every) for name, kind in schema.LABELS.items()},
    }
    obs = pa.table({f.name: columns[f.name] for f in schema.OBS_FIELDS}, schema=pa.schema(schema.OBS_FIELDS))
    first = vocabulary.first.get(organism, 0)
    for start in range(0, len(every), CHUNK_CELLS):
        kept, about = every[start : start + CHUNK_CELLS], obs.slice(start, CHUNK_CELLS)
        csr = {layer: by_token(adata.layers[layer], kept, tokens_G - first) for layer in names.LAYERS}
        cell_ids = [names.cell_id(sample, barcode) for barcode in about[names.BARCODE].to_pylist()]
        digest = content.content_sum(cell_ids, genes[first:], csr)
        yield about, {layer: encode_layer(*csr[layer]) for layer in names.LAYERS}, digest


def write_shard(path: Path, spill: Spill, about: Mapping[str, Any], vocabulary: Vocabulary) -> Path:
    """Write cells as one Arrow IPC file, shuffled by a seed that also depends on group and split."""
    obs, starts = spill.cells()
    metadata = {
        **about,
        "kind": "shard",
        "schema_version": schema.SCHEMA_VERSION,
        "rows": obs.num_rows,
        "batch_cells": schema.BATCH_CELLS,
        "samples": sorted(obs[names.SAMPLE].unique().to_pylist()),
        "first": vocabulary.first,
        "content_digest": content.to_hex(spill.digest),
    }
    order = _order(obs.num_rows, f"{about['seed']}|{about['group']}|{about['split']}")
    layout = schema.with_metadata(schema.SHARD_SCHEMA, metadata)
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", schema.COMPRESSION_LEVEL))
    with replacing(path) as aside, pa.ipc.new_file(str(aside), layout, options=options) as file:
        for start in range(0, len(order), schema.BATCH_CELLS):
            rows = order[start : start + schema.BATCH_CELLS]
            lists = [_lists(column) for column in spill.take(starts, rows)]
            block = obs.take(rows).combine_chunks().columns
            arrays = [column.chunk(0) for column in block]
            file.write_batch(pa.record_batch([*arrays, *lists], schema=layout))
    return path


def _remove_if_empty(folder: Path) -> None:
    """Nothing is left of a refused group, nor a folder that was made for it."""
    with suppress(OSError):
        folder.rmdir()


def _order(n: int, word: str) -> NDArray[np.int64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed)).permutation(n)


def _lists(rows: Rows) -> pa.Array:
    if rows.offsets[-1] > MOST_BYTES:
        raise UserMistake(
            f"{schema.BATCH_CELLS} cells need {rows.offsets[-1]} bytes in one layer, an Arrow list holds {MOST_BYTES}: "
            "a count of thousands of millions takes megabytes; such counts are no molecules, leave those cells out."
        )
    return pa.ListArray.from_arrays(pa.array(rows.offsets.astype(np.int32)), pa.array(rows.bytes))


def _label(column: Any, kind: pa.DataType, kept: NDArray[np.int64]) -> pa.Array:
    if column is None:
        return pa.nulls(len(kept), kind)
    values = column.astype(object).to_numpy()[kept]
    if pa.types.is_string(kind):
        return pa.array([None if v is None or v != v else str(v) for v in values], kind)
    return pa.array(values.astype(np.float64), kind, from_pandas=True)
