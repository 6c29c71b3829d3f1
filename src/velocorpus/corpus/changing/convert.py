"""A corpus of schema version 1 as one of today's: the same cells under the same tokens, coded anew.

Version 1 had two columns a layer: gaps between genes, the first one counted from −1, and counts, each number as bytes
in which 255 means "and go on". What is written is decoded again, and its content digest held against the old
manifest's.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import content, schema
from velocorpus.corpus.building.manifest import Left, write_manifest
from velocorpus.corpus.duplicates import sketch_shards
from velocorpus.corpus.encoding import encode_layer
from velocorpus.corpus.lock import locked
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.shard import Sums, decoded, shard_entry
from velocorpus.corpus.vocabulary import Vocabulary, read_table
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, replacing, sha256

OLD_VERSION = 1


def convert(old: Path | str, out: Path | str, *, say: Callable[[str], None] = lambda line: None) -> Path:
    """Write the newest version of the corpus `old` as a corpus of this schema at `out`, whole or not at all.

    Groups, splits, order of cells, tokens, totals and records stay; columns that version 1 had not are null. The
    manifest's `converted_from` names the old one. Refused: another schema, an `out` that is there, a file that is not
    the manifest's. Memory: one record batch, and the names of a shard's samples, cell by cell.
    """
    old, out = existing(old, "corpus"), Path(out)
    was = read_json(existing(old / schema.MANIFEST_FILE, "manifest of a corpus"))
    if was.get("schema_version") != OLD_VERSION:
        raise UserMistake(
            f"{old} has corpus schema {was.get('schema_version')}; only {OLD_VERSION} is converted, and "
            f"{schema.SCHEMA_VERSION} is read as it is."
        )
    if out.exists():
        raise UserMistake(f"{out} is there already; give a new folder for the converted corpus.")
    # All of them first: a conversion of hours ends in no refusal that could have come at once.
    for file in (*was["files"].values(), *was["shards"]):
        path = old / file["path"]
        if not path.exists() or sha256(path) != file["sha256"]:
            raise UserMistake(f"{path} is missing, or is not the file that the manifest names; restore it.")
    genes_table, samples_table = (old / was["files"][name]["path"] for name in ("genes", "samples"))
    genes, samples = Vocabulary.read(genes_table), read_table(samples_table, "table of samples")
    with locked(out), replacing(out) as folder:
        sums, entries = Sums.zero(len(genes)), []
        (folder / schema.SHARDS_FOLDER).mkdir(parents=True)
        for entry in was["shards"]:
            path = folder / entry["path"]
            _convert_shard(old / entry["path"], entry, path, genes, was["counts"], sums)
            entries.append(shard_entry(folder, path))
            say(f"{entry['path']}: {entry['rows']} cells")
        # As version 0: the versions before stay where they are.
        before = was | {"version": 0}
        for key in ("shards", "pruned", "duplicates"):
            before.pop(key, None)
        write_manifest(
            folder,
            shards=[],
            totals=[],
            vocabulary=genes,
            samples={},
            splits=Splits(*(tuple(was["splits"][name]) for name in ("validation", "test"))),
            hold_out=was.get("hold_out", ()),
            min_gene_counts=was["filter"]["min_gene_counts"],
            before=Left(
                before,
                None,
                entries,
                samples.replace_schema_metadata(None),
                sums.genes,
                sketch_shards(folder / entry["path"] for entry in entries),
            ),
            notes={"converted_from": {"of": sha256(old / schema.MANIFEST_FILE), "version": was["version"]}},
        )
        _compare(old, was, genes_table, folder)
    if was["version"] > 1:
        say(f"versions 1 to {was['version'] - 1} are left behind in {old}: only the newest one is converted")
    say(f"{out}: {was['cells']} cells of {samples.num_rows} samples, the same by content digest")
    return out


def _convert_shard(
    path: Path, entry: Mapping[str, Any], made: Path, genes: Vocabulary, counts: Mapping[str, str], sums: Sums
) -> None:
    """Write one shard's cells, in their order, in today's columns; `sums` grows by them as they decode."""
    lanes, before = content.lanes_of(genes.gene_ids), sums.digest
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", schema.COMPRESSION_LEVEL))
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        of_sample = pa.ipc.IpcReadOptions(included_fields=[file.schema.get_field_index(names.SAMPLE)])
        samples = sorted(pa.ipc.open_file(source, options=of_sample).read_all()[names.SAMPLE].unique().to_pylist())
        about = (schema.metadata_of(file.schema) or {}) | {
            "schema_version": schema.SCHEMA_VERSION,
            "batch_cells": schema.BATCH_CELLS,
            "samples": samples,
            "counts": {sample: counts[sample] for sample in samples},
        }
        layout = schema.with_metadata(schema.SHARD_SCHEMA, about)
        try:
            with replacing(made) as aside, pa.ipc.new_file(str(aside), layout, options=options) as written:
                for i in range(file.num_record_batches):
                    batch = recode(file.get_batch(i), layout)
                    sums.add(batch, decoded(batch, np.arange(batch.num_rows), genes), lanes)
                    written.write_batch(batch)
                if content.to_hex(sums.digest - before) != entry["content_digest"]:
                    raise ValueError("their content digest is another")
        except ValueError as error:
            raise UserMistake(f"{path} has other cells than its manifest says ({error}); restore both.") from None


def recode(batch: pa.RecordBatch, layout: pa.Schema) -> pa.RecordBatch:
    """A record batch of version 1 with the columns of `layout`, today's; `ValueError` where it does not decode."""
    there = set(batch.schema.names)
    columns = [batch[f.name] if f.name in there else pa.nulls(batch.num_rows, f.type) for f in schema.OBS_FIELDS]
    for layer in names.LAYERS:
        indptr, gaps = _numbers(batch[f"{layer}_genes"])
        ends, counts = _numbers(batch[f"{layer}_counts"])
        if not np.array_equal(indptr, ends) or (len(gaps) and min(gaps.min(), counts.min()) < 1):
            raise ValueError("genes and counts disagree")
        reached = np.concatenate([[0], np.cumsum(gaps)])
        tokens = reached[1:] - np.repeat(reached[indptr[:-1]], np.diff(indptr)) - 1
        for rows in encode_layer(indptr, tokens, counts):
            columns.append(pa.ListArray.from_arrays(pa.array(rows.offsets.astype(np.int32)), pa.array(rows.bytes)))
    return pa.record_batch(columns, schema=layout)


def _numbers(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of each row of bytes: where a row's begin (one more than rows), and all of them."""
    row, offsets = column.values.to_numpy(), column.offsets.to_numpy()
    ends = np.flatnonzero(row != 255)
    return np.searchsorted(ends, offsets), np.diff(np.cumsum(row, dtype=np.int64)[ends], prepend=0)


def _compare(old: Path, was: Mapping[str, Any], genes: Path, folder: Path) -> None:
    """Refuse an old corpus whose manifest or gene table is not what its shards give."""
    made = read_json(folder / schema.MANIFEST_FILE)
    differ = [key for key in ("cells", "content_digest", "vocabulary", "genes_kept", "counts") if made[key] != was[key]]
    if not read_table(folder / schema.GENES_FILE, "gene table").equals(read_table(genes, "gene table")):
        differ.append(schema.GENES_FILE)
    if differ:
        raise UserMistake(f"{old} disagrees with its own shards ({', '.join(differ)}); build it anew from its counts.")
