"""Gene tables: from symbols to Ensembl ids, counting what can't be told and guessing nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import open_text
from velocorpus.reference.gtf import split_version

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d+(\.\d+)?")
_ORGANISMS = {"ENSG0": "human", "ENSMUSG0": "mouse"}  # how the Ensembl ids of their genes begin


@dataclass(frozen=True)
class GeneTable:
    """Gene ids (without version) and the symbols that name them; a symbol of several ids is in `ambiguous`."""

    symbol_of: dict[str, str]
    id_of: dict[str, str]
    ambiguous: frozenset[str]


def read_gene_table(path: Path | str) -> GeneTable:
    """Read a 10x `features.tsv` (id, symbol, type; no header) or a table with columns gene_id and symbol.

    Plain or gzip. Of a features.tsv only rows of type Gene Expression count, where it has types.
    """
    with open_text(path) as lines:
        rows = [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]
    if not rows or len(rows[0]) < 2:
        raise UserMistake(
            f"{path} is not a gene table; allowed: a 10x features.tsv(.gz), or a TSV with columns gene_id and symbol."
        )
    id_at, symbol_at = 0, 1
    if names.GENE_ID in rows[0]:
        if names.SYMBOL not in rows[0]:
            raise UserMistake(f"{path} has no column '{names.SYMBOL}'; a gene table has gene_id and symbol.")
        id_at, symbol_at = rows[0].index(names.GENE_ID), rows[0].index(names.SYMBOL)
        rows = rows[1:]
    else:
        rows = [row for row in rows if len(row) < 3 or row[2] == "Gene Expression"]
    symbol_of: dict[str, str] = {}
    ids_of: dict[str, set[str]] = {}
    for row in rows:
        if len(row) <= max(id_at, symbol_at):
            raise UserMistake(f"{path}: the row '{' '.join(row)}' has too few columns.")
        gene = split_version(row[id_at])[0]
        symbol_of[gene] = row[symbol_at]
        ids_of.setdefault(row[symbol_at], set()).add(gene)
    return GeneTable(
        symbol_of=symbol_of,
        id_of={symbol: next(iter(ids)) for symbol, ids in ids_of.items() if len(ids) == 1},
        ambiguous=frozenset(symbol for symbol, ids in ids_of.items() if len(ids) > 1),
    )


@dataclass(frozen=True, eq=False)
class MappedGenes:
    """Which columns stay (`kept`, ascending), the genes they are, and which columns were dropped for which reason."""

    kept: np.ndarray
    genes: pd.DataFrame
    dropped: dict[str, list[int]]


def map_genes(
    ids: Sequence[str],
    symbols: Sequence[str] | None,
    versions: Sequence[str] | None,
    table: GeneTable | None,
    *,
    ensembl_only: bool = False,
) -> MappedGenes:
    """Give every column a gene id without version.

    Without a table the ids stay, less their version, and with `ensembl_only` no other name does (`unmapped`): in a
    corpus of several species a symbol would name genes of each. With a table, a name that is an id in the table stays;
    another is looked up as a symbol. Dropped and listed: a symbol that is not in the table (`unmapped`), one that names
    several ids (`ambiguous_symbol`), and columns that come out as a gene that another column is too (`mapped_twice`).
    """
    split = [split_version(name) for name in ids]
    new: list[str | None] = [bare for bare, _ in split]
    dropped: dict[str, list[int]] = {"unmapped": [], "ambiguous_symbol": [], "mapped_twice": []}
    if table is None and ensembl_only:
        dropped["unmapped"] = [i for i, name in enumerate(ids) if not _ENSEMBL.fullmatch(name)]
        for i in dropped["unmapped"]:
            new[i] = None
    if table is not None:
        for i, name in enumerate(ids):
            if new[i] in table.symbol_of:
                continue
            new[i] = table.id_of.get(name)
            if new[i] is None:
                dropped["ambiguous_symbol" if name in table.ambiguous else "unmapped"].append(i)
        counts = pd.Series([gene for gene in new if gene is not None], dtype=object).value_counts()
        twice = set(counts.index[counts > 1])
        dropped["mapped_twice"] = [i for i, gene in enumerate(new) if gene in twice]
        new = [None if gene in twice else gene for gene in new]
    kept = np.array([i for i, gene in enumerate(new) if gene is not None], dtype=np.int64)
    index = pd.Index([new[i] for i in kept], dtype=object, name=names.GENE_ID)
    genes = pd.DataFrame(
        {
            names.SYMBOL: [
                (table.symbol_of.get(gene) if table else None) or (symbols[i] if symbols is not None else ids[i])
                for i, gene in zip(kept, index, strict=True)
            ],
            names.VERSION: [split[i][1] or (versions[i] if versions is not None else "") for i in kept],
        },
        index=index,
    )
    return MappedGenes(kept, genes, dropped)


def check_organism(genes: Sequence[str], organism: str) -> None:
    """Refuse Ensembl ids of another organism: in the corpus a gene belongs to one, and they would stop all samples."""
    for beginning, other in _ORGANISMS.items():
        strangers = [gene for gene in genes if gene.startswith(beginning)] if other != organism else []
        if strangers:
            raise UserMistake(
                f"The sample is said to be {organism}, but {len(strangers)} of its genes are of {other} (first: "
                f"{strangers[0]}); correct the organism in samples.tsv, or leave the other species' genes out."
            )


def share_of_ids(genes: Sequence[str]) -> float:
    """Which share of these names are Ensembl gene ids, with or without version."""
    return sum(_ENSEMBL.fullmatch(gene) is not None for gene in genes) / max(len(genes), 1)
