"""Check a corpus against its manifest, file by file and number by number.

Bytes first (sha256 of every file), then meaning: every shard is decoded, and its content digest, the genes'
totals and the samples' cells are computed again. Every fault is named; one fault never hides another.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from velocorpus import names
from velocorpus.cells.filter import keep_genes
from velocorpus.corpus import content, schema
from velocorpus.corpus.encoding import decode_layer
from velocorpus.corpus.reader import Corpus, encoded_layer, first_tokens, read_batches
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, sha256


def verify(folder: Path | str) -> list[str]:
    """The faults of a corpus, one sentence each; empty when it is whole."""
    folder = existing(folder, "corpus")
    try:
        damaged = list(_bytes(folder, read_json(existing(folder / schema.MANIFEST_FILE, "manifest of a corpus"))))
    except UserMistake as mistake:
        return [str(mistake)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return [f"{folder / schema.MANIFEST_FILE} does not describe a corpus ({type(error).__name__}: {error})."]
    if damaged:
        return damaged
    corpus = Corpus(folder)
    return [*_strangers(corpus), *_meaning(corpus)]


def _bytes(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Files that are missing or whose bytes are not those of the manifest, and manifests that do not follow."""
    yield from _check(folder, [(entry["path"], entry["sha256"]) for entry in manifest["shards"]])
    yield from _check(
        folder,
        [(name, manifest["files"][Path(name).stem]["sha256"]) for name in (schema.GENES_FILE, schema.SAMPLES_FILE)],
    )
    follows = sha256(folder / schema.MANIFEST_FILE)
    for version in range(manifest["version"], 0, -1):
        path = folder / schema.VERSIONS_FOLDER / f"{version}.json"
        if not path.exists():
            yield f"{path} is missing: every version's manifest stays."
            return
        if sha256(path) != follows:
            yield f"{path} was changed: it is neither {schema.MANIFEST_FILE} nor what the next version names."
            return
        manifest = read_json(path)
        yield from _check(folder, [(e["path"], e["sha256"]) for e in manifest["files"].values()])
        follows = manifest["follows"]


def _check(folder: Path, files: list[tuple[str, str]]) -> Iterator[str]:
    for name, digest in files:
        if not (folder / name).exists():
            yield f"{folder / name} is missing; restore it."
        elif sha256(folder / name) != digest:
            yield f"{folder / name} was changed: its sha256 is not that of the manifest; restore it."


def _strangers(corpus: Corpus) -> Iterator[str]:
    known = {entry["path"] for entry in corpus.manifest["shards"]}
    for path in sorted((corpus.path / schema.SHARDS_FOLDER).iterdir()):
        if f"{schema.SHARDS_FOLDER}/{path.name}" not in known:
            yield f"{path} is not in the manifest: a foreign or unfinished shard; remove it."


def _meaning(corpus: Corpus) -> Iterator[str]:
    """Sums that do not come out: the manifest, the tables or a shard tell different stories."""
    genes, manifest = corpus.genes, corpus.manifest
    if genes.digest != manifest["vocabulary"]["digest"]:
        yield f"{schema.GENES_FILE}: the vocabulary is not the one of the manifest."
    lanes = content.lanes_of(genes.gene_ids)
    everything = np.ones(len(genes), bool)
    sums = {name: np.zeros(len(genes), np.int64) for name in genes.totals}
    cells_of: dict[str, int] = dict.fromkeys(corpus.samples[names.SAMPLE].to_pylist(), 0)
    split_of = dict(zip(cells_of, corpus.samples["split"].to_pylist(), strict=True))
    for entry, shard in zip(manifest["shards"], corpus.shards(), strict=True):
        digest, n_rows = content.add([]), 0
        for batch in read_batches(shard.path):
            layers = {}
            organisms = set(batch[names.ORGANISM].to_pylist()) - genes.first.keys()
            if organisms:
                yield f"{shard.path} has cells of {sorted(organisms)}, which the vocabulary lacks."
                return
            for layer in names.LAYERS:
                try:
                    layers[layer] = decode_layer(
                        encoded_layer(batch, layer), np.arange(batch.num_rows), first_tokens(batch, genes), everything
                    )
                except ValueError as error:
                    yield f"{shard.path}, layer {layer}: {error}."
                    return
                indptr, tokens, counts = layers[layer]
                np.add.at(sums[names.total_of(layer)], tokens, counts)
                np.add.at(sums[names.cells_with(layer)], tokens, 1)
                running = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
                if not np.array_equal(np.diff(running[indptr]), batch[names.total_of(layer)].to_numpy()):
                    yield f"{shard.path}: a cell's {names.total_of(layer)} is not the sum of its counts."
            ids = [
                names.cell_id(*pair)
                for pair in zip(*(batch[c].to_pylist() for c in (names.SAMPLE, names.BARCODE)), strict=True)
            ]
            digest = content.add([digest, content.content_sum(ids, lanes, layers)])
            n_rows += batch.num_rows
            for sample in batch[names.SAMPLE].to_pylist():
                if split_of.get(sample) != shard.split:
                    yield f"{shard.path} is of split {shard.split} and has a cell of sample {sample}, which is not."
                    return
                cells_of[sample] += 1
        if (n_rows, content.to_hex(digest)) != (entry["rows"], entry["content_digest"]):
            yield f"{shard.path}: rows or content digest are not those of the manifest."
    for name, values in sums.items():
        for token in np.flatnonzero(values != genes.totals[name])[:1]:
            yield (
                f"{schema.GENES_FILE}: {name} of {genes.gene_ids[token]} is {genes.totals[name][token]}, "
                f"the shards have {values[token]}."
            )
    kept = keep_genes(sums[names.total_of(names.SPLICED)], manifest["filter"]["min_gene_counts"])
    if not np.array_equal(kept, genes.kept):
        yield f"{schema.GENES_FILE}: the column 'kept' is not what the filter gives."
    for sample, n_cells in zip(cells_of, corpus.samples["cells"].to_pylist(), strict=True):
        if cells_of[sample] != n_cells:
            yield f"{schema.SAMPLES_FILE}: sample {sample} has {n_cells} cells, the shards have {cells_of[sample]}."
