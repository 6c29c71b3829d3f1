"""What one sample adds to the corpus' totals: its genes' sums over its kept cells, and its own figures.

One small Feather file per sample, made by its own job. A refused sample has a totals file too, without
genes, that says why: so the manifest can list it as missing without anyone reading its outcome again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from velocorpus import names
from velocorpus.cells.filter import NO_CUTS, Cuts, gene_sums
from velocorpus.cells.qc import kept_cells
from velocorpus.corpus import schema
from velocorpus.corpus.plan import ENSEMBL_GENE
from velocorpus.corpus.vocabulary import EMPTY, Vocabulary, read_layout, read_table, write_table
from velocorpus.counting.counts_file import read_pieces
from velocorpus.errors import UserMistake
from velocorpus.files import replacing
from velocorpus.outcomes.outcome import Outcome, counts_of, read_outcome, stored_sample
from velocorpus.reference.gtf import split_version


@dataclass(frozen=True)
class Totals:
    """Gene sums of one sample over its kept cells (`genes`: columns of TOTALS_SCHEMA) and what its counts say
    of it.

    `stored` are the genes or the file that they stand in, which is read at each use: 2 MB a sample are too much for
    thousands. `figures`: cells_in, cells, n_<layer>. A refused sample has a `reason`, no genes and no figures.
    """

    sample: str
    stored: pa.Table | Path
    min_counts: int
    figures: dict[str, int] = field(default_factory=dict)
    counts_digest: str = ""
    ambiguous_present: bool = False
    source: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    cuts: Cuts = NO_CUTS

    @property
    def genes(self) -> pa.Table:
        """Columns of TOTALS_SCHEMA."""
        if isinstance(self.stored, pa.Table):
            return self.stored
        return read_table(self.stored, "totals file").replace_schema_metadata(None)

    @property
    def refused(self) -> bool:
        """Whether the sample has no counts."""
        return bool(self.reason)

    def write(self, path: Path | str) -> None:
        """Write as Feather; everything but the genes goes into the schema's metadata."""
        value = {k: v for k, v in self.__dict__.items() if k != "stored"}
        value |= {"kind": "totals", "cuts": self.cuts.applied}
        with replacing(path) as aside:
            write_table(
                self.genes.replace_schema_metadata({schema.METADATA: json.dumps(value, sort_keys=True)}),
                aside,
            )

    @classmethod
    def read(cls, path: Path | str) -> "Totals":
        """Read what `write` wrote."""
        value = schema.metadata_of(read_layout(path, "totals file"))
        if not value or value.pop("kind", "") != "totals":
            raise UserMistake(f"{path} is not a totals file; make it with `velocorpus corpus totals`.")
        return cls(stored=Path(path), cuts=Cuts(**value.pop("cuts", {})), **value)


def read_sample(path: Path | str, *, check: bool = True) -> tuple[str, Iterator[Any], str]:
    """(sample, its AnnData piece by piece, "") of a counts file or of an `ok` outcome; (sample, nothing, reason) of a
    refused outcome. `check`: see `counts_file.read_counts`.
    """
    if Path(path).suffix != ".json":
        pieces = read_pieces(path, check=check)
        first = next(pieces)
        return str(first.uns[names.UNS]["sample"]), _with(first, pieces), ""
    outcome = read_outcome(path)
    if outcome.state != "ok":
        return outcome.sample, iter(()), outcome.reason or f"{outcome.state} without a reason"
    return outcome.sample, _expected(outcome, path, read_pieces(counts_of(path), check=check)), ""


def _with(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    """Both; `itertools.chain` would hold the first piece to the end."""
    yield first
    del first
    yield from others


def _expected(outcome: Outcome, path: Path | str, pieces: Iterator[Any]) -> Iterator[Any]:
    """The pieces of the counts that an outcome speaks of; others are refused."""
    for adata in pieces:
        found = (str(adata.uns[names.UNS]["sample"]), str(adata.uns[names.UNS]["content_digest"]))
        if found != (outcome.sample, outcome.counts_digest):
            raise UserMistake(
                f"{counts_of(path)} is not the counts file that {path} speaks of; run the job of "
                f"sample {outcome.sample} again."
            )
        yield adata
        del adata


def sample_name(path: Path | str) -> str:
    """The sample of a counts file or an `outcome.json`, without reading the matrices."""
    if Path(path).suffix == ".json":
        return read_outcome(path).sample
    return stored_sample(path)


def sample_totals(path: Path | str, *, min_counts: int, cuts: Cuts = NO_CUTS) -> Totals:
    """Totals of one sample, from its counts file or its `outcome.json`."""
    sample, pieces, reason = read_sample(path)
    if reason:
        return Totals(sample, schema.TOTALS_SCHEMA.empty_table(), min_counts, reason=reason, cuts=cuts)
    figures = dict.fromkeys(("cells_in", "cells"), 0)
    sums: dict[str, Any] = {}
    for adata in pieces:
        versioned = [gene for gene in adata.var_names if "." in gene and split_version(gene)[1]]
        if versioned:
            raise UserMistake(
                f"{path} has {len(versioned)} gene ids with a version (first: {versioned[0]}); a gene has one token, "
                "whatever its version: bring the counts in with `velocorpus import`, which takes versions off."
            )
        kept = kept_cells(adata, min_counts, cuts)
        figures["cells_in"] += int(adata.n_obs)
        figures["cells"] += len(kept)
        for layer in names.LAYERS:
            columns = names.total_of(layer), names.cells_with(layer)
            for column, values in zip(columns, gene_sums(adata.layers[layer], kept), strict=True):
                sums[column] = sums.get(column, 0) + values
        genes, meta = adata.var, adata.uns[names.UNS]
        del adata  # else it stays while the next is read
    figures |= {names.total_of(layer): int(sums[names.total_of(layer)].sum()) for layer in names.LAYERS}
    sums |= {names.GENE_ID: genes.index.tolist(), names.SYMBOL: genes[names.SYMBOL].astype(str).tolist()}
    return Totals(
        sample,
        pa.table(sums, schema=schema.TOTALS_SCHEMA),
        min_counts,
        figures,
        str(meta["content_digest"]),
        bool(meta["ambiguous_present"]),
        meta["source"],
        cuts=cuts,
    )


def build_vocabulary(totals: Iterable[Totals], organism_of: dict[str, str], base: Vocabulary = EMPTY) -> Vocabulary:
    """Number the genes of some samples, after those that `base` numbers already.

    `organism_of` maps samples to organisms. New genes follow frequency rank (cells × layers that express
    the gene, ties by gene id), organism after organism. Refuses an Ensembl id that stands for two organisms, since
    one of them is wrong; other ids (GFP, a spike-in) get a token in each.
    """
    owner = dict(zip(base.gene_ids, base.organisms, strict=True))
    symbols: dict[tuple[str, str], str] = {}
    frequency: dict[tuple[str, str], int] = {}
    for one in sorted(totals, key=lambda t: t.sample):
        organism = organism_of.get(one.sample, "")
        genes = one.genes
        cells = sum(genes[names.cells_with(layer)].to_numpy() for layer in names.LAYERS)
        ids, labels = genes[names.GENE_ID].to_pylist(), genes[names.SYMBOL].to_pylist()
        for gene_id, symbol, n in zip(ids, labels, np.asarray(cells).tolist(), strict=True):
            if owner.setdefault(gene_id, organism) != organism and ENSEMBL_GENE.match(gene_id):
                raise UserMistake(
                    f"Gene {gene_id} of sample {one.sample} ({organism}) belongs to {owner[gene_id]} already; "
                    "check the organism in samples.tsv, an Ensembl id has one."
                )
            gene = (organism, gene_id)
            symbols.setdefault(gene, symbol)
            frequency[gene] = frequency.get(gene, 0) + n
    old = {*zip(base.organisms, base.gene_ids, strict=True)}
    new = sorted(frequency.keys() - old, key=lambda gene: (gene[0], -frequency[gene], gene[1]))
    return base.extended([g for _, g in new], [symbols[gene] for gene in new], [organism for organism, _ in new])


def add_totals(vocabulary: Vocabulary, totals: Iterable[Totals], organism_of: Mapping[str, str]) -> Vocabulary:
    """The vocabulary with the samples' gene sums added to its totals (which start at 0); `kept` is left as it is.

    `organism_of` maps samples to organisms.
    """
    columns = [name for name in schema.TOTALS_SCHEMA.names if name not in (names.GENE_ID, names.SYMBOL)]
    summed = {name: vocabulary.totals.get(name, np.zeros(len(vocabulary), np.int64)).copy() for name in columns}
    for one in totals:
        genes = one.genes
        tokens = vocabulary.tokens(genes[names.GENE_ID].to_pylist(), organism_of[one.sample])
        if (tokens < 0).any():
            raise UserMistake(
                f"Sample {one.sample} has genes that the vocabulary lacks; make the vocabulary from all totals "
                "(`velocorpus corpus vocab`)."
            )
        for name in columns:
            summed[name][tokens] += genes[name].to_numpy()
    return Vocabulary(vocabulary.gene_ids, vocabulary.symbols, vocabulary.organisms, vocabulary.kept, summed)
