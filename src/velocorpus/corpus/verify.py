"""Check a corpus against its manifest, file by file and number by number.

Bytes first (sha256 of every file of every version), then meaning: every shard is decoded, and content digests, totals
of genes and samples, splits, filter and duplicates are computed again. Every fault is named; one fault never hides
another, but meaning is asked only where all bytes are right. Memory: one record batch, and a number a cell of a shard.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from velocorpus import names
from velocorpus.cells.filter import Cuts, keep_cells, keep_genes
from velocorpus.corpus import content, schema
from velocorpus.corpus.duplicates import duplicates, from_table, sketch_shards, to_table
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import Corpus, read_batches
from velocorpus.corpus.shard import Sums, decoded, shard_entry
from velocorpus.corpus.storage import require_folder
from velocorpus.corpus.vocabulary import read_table
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, sha256


def verify(folder: Path | str) -> list[str]:
    """The faults of a corpus, one sentence each; empty when it is whole."""
    require_folder(folder)
    folder = existing(folder, "corpus")
    try:
        damaged = list(_bytes(folder, read_json(existing(folder / schema.MANIFEST_FILE, "manifest of a corpus"))))
        if damaged:
            return damaged
        return list(_meaning(Corpus(folder)))
    except UserMistake as mistake:
        return [str(mistake)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return [f"{folder / schema.MANIFEST_FILE} does not describe a corpus ({type(error).__name__}: {error})."]


def _bytes(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Files that are missing, strange, or not those of their version's manifest, and versions that do not follow."""
    newest, pruned = {entry["path"]: entry["sha256"] for entry in manifest["shards"]}, manifest.get("pruned", [])
    versions = {f"{schema.VERSIONS_FOLDER}/{version}.json" for version in range(1, manifest["version"] + 1)}
    files: dict[str, set[str]] = defaultdict(set)
    for name in (schema.GENES_FILE, schema.SAMPLES_FILE):
        files[name].add(manifest["files"][Path(name).stem]["sha256"])
    follows = sha256(folder / schema.MANIFEST_FILE)
    for version in range(manifest["version"], 0, -1):
        path = folder / schema.VERSIONS_FOLDER / f"{version}.json"
        if not path.exists():
            yield f"{path} is missing: every version's manifest stays; restore it."
            break
        if sha256(path) != follows:
            other = schema.MANIFEST_FILE if version == manifest["version"] else f"{version + 1}.json"
            yield f"{path} or {other} was changed: they do not belong together; restore them."
            break
        older = read_json(path)
        for entry in older["files"].values():
            files[entry["path"]].add(entry["sha256"])
        for entry in older["shards"]:
            # A shard made anew in its place is the newest version's; older ones may have been deleted, on record.
            there = (folder / entry["path"]).exists() or entry["path"] not in pruned
            if entry["path"] not in newest and there:
                files[entry["path"]].add(entry["sha256"])
        follows = older["follows"]
    files |= {path: {digest} for path, digest in newest.items()}
    for name, digests in sorted(files.items()):
        if not (folder / name).exists():
            yield f"{folder / name} is missing; restore it."
        elif sha256(folder / name) not in digests:
            yield f"{folder / name} was changed: its sha256 is not that of the manifest; restore it."
    for name in (schema.SHARDS_FOLDER, schema.VERSIONS_FOLDER):
        for path in sorted((folder / name).iterdir() if (folder / name).is_dir() else ()):
            if f"{name}/{path.name}" not in files.keys() | versions:
                yield f"{path} is not in the manifest: a foreign or unfinished file; remove it."


def _meaning(corpus: Corpus) -> Iterator[str]:
    """Sums that do not come out: the manifest, the tables or a shard tell different stories."""
    genes, manifest = corpus.genes, corpus.manifest
    about: dict[str, Any] = {"digest": genes.digest, "genes": len(genes), "first": genes.first}
    if about != manifest["vocabulary"]:
        yield f"{schema.GENES_FILE}: the vocabulary is not the one of the manifest."
    sums, whole = Sums.zero(len(genes)), content.add([])
    lanes = content.lanes_of(genes.gene_ids)
    split_of = dict(zip(*(corpus.samples[name].to_pylist() for name in (names.SAMPLE, "split")), strict=True))
    for entry, shard in zip(manifest["shards"], corpus.shards(), strict=True):
        if shard_entry(corpus.path, shard.path) != entry:
            yield f"{shard.path}: what the file says of itself is not what the manifest says."
        before, seen = sums.digest, []
        try:
            for batch in read_batches(shard.path):
                yield from _cells(corpus, shard.path, batch, sums, lanes)
                seen.append(content.lanes_of(_ids(batch))[:, 0])
                for sample in pc.unique(batch[names.SAMPLE]).to_pylist():
                    if split_of.get(sample) != shard.split:
                        yield f"{shard.path} is of split {shard.split} and has cells of sample {sample}, which is not."
        except (KeyError, ValueError, pa.ArrowException) as error:
            yield f"{shard.path} cannot be decoded ({str(error).strip()})."
            continue
        ids = np.concatenate([np.empty(0, np.uint64), *seen])
        if len(np.unique(ids)) != len(ids):
            yield f"{shard.path} has a cell twice."
        digest = sums.digest - before
        whole = content.add([whole, digest])
        if (len(ids), content.to_hex(digest)) != (entry["rows"], entry["content_digest"]):
            yield f"{shard.path}: rows or content digest are not those of the manifest."
    yield from _totals(corpus, sums)
    yield from _whole(corpus, content.to_hex(whole))


def _cells(corpus: Corpus, path: Path, batch: pa.RecordBatch, sums: Sums, lanes: content.Lanes) -> Iterator[str]:
    """Columns of cells that are not what their counts give; the counts are added to `sums`."""
    layers = decoded(batch, np.arange(batch.num_rows), corpus.genes)
    for layer, (indptr, _, counts) in layers.items():
        running = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        for name, values in ((names.total_of(layer), running[indptr]), (names.genes_of(layer), indptr)):
            if not np.array_equal(np.diff(values), batch[name].to_numpy(zero_copy_only=False)):
                yield f"{path}: a cell's {name} is not what its counts give."
    cuts = Cuts.of(corpus.manifest["filter"])
    judged = {
        name: batch[name].to_numpy(zero_copy_only=False) for name in (names.total_of(names.SPLICED), *cuts.columns)
    }
    if not keep_cells(judged, corpus.manifest["filter"]["min_counts"], cuts).all():
        yield f"{path} has a cell that does not pass the filter."
    sums.add(batch, layers, lanes)


def _totals(corpus: Corpus, sums: Sums) -> Iterator[str]:
    """Totals of genes and samples that are not those of the shards."""
    genes, manifest = corpus.genes, corpus.manifest
    for name, values in sums.genes.items():
        for token in np.flatnonzero(values != genes.totals[name])[:1]:
            yield (
                f"{schema.GENES_FILE}: {name} of {genes.gene_ids[token]} is {genes.totals[name][token]}, "
                f"the shards have {values[token]}."
            )
    kept = keep_genes(sums.genes[names.total_of(names.SPLICED)], manifest["filter"]["min_gene_counts"])
    if not np.array_equal(kept, genes.kept) or int(kept.sum()) != manifest["genes_kept"]:
        yield f"{schema.GENES_FILE}: the column 'kept' is not what the filter gives, or the manifest counts it wrongly."
    splits = Splits(*(tuple(manifest["splits"][name]) for name in ("validation", "test")))
    rows = corpus.samples.to_pylist()
    for row in rows:
        sample = row[names.SAMPLE]
        for name in ("cells", *map(names.total_of, names.LAYERS)):
            found = sums.samples.get(sample, {}).get(name, 0)
            if row[name] != found:
                yield f"{schema.SAMPLES_FILE}: sample {sample} has {name} {row[name]}, the shards have {found}."
        if row["split"] != splits.of(row[names.STUDY]):
            yield f"{schema.SAMPLES_FILE}: sample {sample} is in split {row['split']}, its study is not."
    for sample in sorted(sums.samples.keys() - {row[names.SAMPLE] for row in rows}):
        yield f"{schema.SAMPLES_FILE} lacks sample {sample}, of which the shards have cells."
    if {row[names.SAMPLE]: row["counts_digest"] for row in rows} != manifest["counts"]:
        yield f"{schema.MANIFEST_FILE}: 'counts' are not the samples and digests of {schema.SAMPLES_FILE}."


def _whole(corpus: Corpus, digest: str) -> Iterator[str]:
    """Figures of the whole corpus that its parts do not give."""
    manifest = corpus.manifest
    for key, value in {"cells": sum(shard.rows for shard in corpus.shards()), "content_digest": digest}.items():
        if manifest[key] != value:
            yield f"{schema.MANIFEST_FILE}: '{key}' is {manifest[key]}, the shards give {value}."
    if "sketches" not in manifest["files"]:
        return  # a corpus of an older release, until it grows
    table = read_table(corpus.path / manifest["files"]["sketches"]["path"], "table of sketches")
    if from_table(table) is None:
        return
    sketches = sketch_shards(shard.path for shard in corpus.shards())
    if not table.equals(to_table(sketches)) or manifest["duplicates"] != duplicates(sketches, sketches):
        yield f"{schema.MANIFEST_FILE}: the sketches or the 'duplicates' are not those of the shards' cells."


def _ids(batch: pa.RecordBatch) -> list[str]:
    pairs = zip(*(batch[name].to_pylist() for name in (names.SAMPLE, names.BARCODE)), strict=True)
    return [names.cell_id(*pair) for pair in pairs]
