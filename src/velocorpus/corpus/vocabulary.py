"""The vocabulary: which token number a gene has. Numbers never change once given; new genes are appended.

At the first build genes are numbered by frequency rank within their organism (cells × layers that express
the gene, frequent first; ties by gene id), organism after organism in alphabetical order, so that gaps
between a cell's tokens are small. `first` is an organism's smallest token: every cell's gaps start there,
also for genes appended later. A gene is its organism and its id: what has the same id in two organisms (GFP, a
spike-in) has a token in each.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.errors import UserMistake
from velocorpus.files import existing, replacing


@dataclass(frozen=True)
class Vocabulary:
    """Genes by token; `kept` is True for genes that pass the corpus' gene filter.

    `totals` are counts over the corpus: they map `n_<layer>` and `n_cells_<layer>` to int64 arrays by
    token; empty before a corpus is built.
    """

    gene_ids: list[str]
    symbols: list[str]
    organisms: list[str]
    kept: NDArray[np.bool_]
    totals: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.gene_ids)

    @cached_property
    def first(self) -> dict[str, int]:
        """The smallest token of each organism."""
        found: dict[str, int] = {}
        for token, organism in enumerate(self.organisms):
            found.setdefault(organism, token)
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 over gene id and organism in the order of tokens; symbols and totals do not enter."""
        lines = (f"{g}\t{o}\n" for g, o in zip(self.gene_ids, self.organisms, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def _token_of(self) -> dict[str, dict[str, int]]:
        """Tokens by organism and gene id."""
        found: dict[str, dict[str, int]] = {organism: {} for organism in self.first}
        for token, (gene_id, organism) in enumerate(zip(self.gene_ids, self.organisms, strict=True)):
            found[organism][gene_id] = token
        return found

    def tokens(self, gene_ids: Iterable[str], organism: str | None = None) -> NDArray[np.int64]:
        """Tokens of one organism's genes by Ensembl id without version, int64; −1 where the vocabulary lacks one.

        Without `organism` the ids must say whose they are: an id that several organisms have is that organism's which
        all other known ids belong to. Refused: ids that leave this open.
        """
        ids = list(gene_ids)
        if organism is None:
            owners = {g: [o for o, known in self._token_of.items() if g in known] for g in ids}
            shared = [gene for gene, of in owners.items() if len(of) > 1]
            told = sorted({of[0] for of in owners.values() if len(of) == 1})
            if shared and len(told) != 1:
                raise UserMistake(
                    f"Gene {shared[0]} stands for {' and '.join(owners[shared[0]])}, and the other genes for "
                    f"{' and '.join(told) or 'none of them'}; give the cells of one organism."
                )
            if not shared:
                return np.array([self._token_of[of[0]][g] if (of := owners[g]) else -1 for g in ids], dtype=np.int64)
            organism = told[0]
        known = self._token_of.get(organism, {})
        return np.array([known.get(gene_id, -1) for gene_id in ids], dtype=np.int64)

    def unique_ids(self, tokens: Iterable[int]) -> list[str]:
        """Gene ids of some tokens; those that stand there twice with their organism: `GFP:mouse`."""
        pairs = [(self.gene_ids[token], self.organisms[token]) for token in tokens]
        times = Counter(gene for gene, _ in pairs)
        return [gene if times[gene] == 1 else f"{gene}:{organism}" for gene, organism in pairs]

    def extended(self, gene_ids: Sequence[str], symbols: Sequence[str], organisms: Sequence[str]) -> "Vocabulary":
        """The vocabulary with genes appended after its last token; totals of the new genes are 0."""
        n_new = len(gene_ids)
        return replace(
            self,
            gene_ids=[*self.gene_ids, *gene_ids],
            symbols=[*self.symbols, *symbols],
            organisms=[*self.organisms, *organisms],
            kept=np.concatenate([self.kept, np.zeros(n_new, bool)]),
            totals={k: np.concatenate([v, np.zeros(n_new, np.int64)]) for k, v in self.totals.items()},
        )

    def as_vocabulary(self) -> "Vocabulary":
        """Only the numbering: without totals, every gene kept."""
        return replace(self, kept=np.ones(len(self), bool), totals={})

    def with_totals(self, totals: Mapping[str, NDArray[np.int64]]) -> "Vocabulary":
        """The vocabulary with totals of its first genes; genes after them have 0."""
        padded = {
            name: np.concatenate([values, np.zeros(len(self) - len(values), np.int64)])
            for name, values in totals.items()
        }
        return replace(self, totals=padded)

    def to_table(self) -> pa.Table:
        """The columns of `genes.feather`; without totals those of a vocabulary table."""
        columns: dict[str, Any] = {
            "token": np.arange(len(self), dtype=np.int64),
            names.GENE_ID: self.gene_ids,
            names.SYMBOL: self.symbols,
            names.ORGANISM: self.organisms,
        }
        layout = schema.VOCABULARY_SCHEMA
        if self.totals:
            columns |= {**self.totals, "kept": self.kept}
            layout = schema.GENES_SCHEMA
        return pa.table(columns, schema=schema.with_metadata(layout, {"schema_version": schema.SCHEMA_VERSION}))

    def write(self, path: Path | str) -> None:
        """Write the table as Feather; equal vocabularies are equal bytes."""
        with replacing(path) as aside:
            write_table(self.to_table(), aside)

    @classmethod
    def read(cls, path: Path | str, content: bytes | None = None) -> "Vocabulary":
        """Read a vocabulary table or a `genes.feather`; genes without a `kept` column are all kept."""
        table = read_table(path, "vocabulary table", content)
        for column in schema.VOCABULARY_SCHEMA.names:
            if column not in table.column_names:
                raise UserMistake(
                    f"{path} has no column '{column}'; a vocabulary table needs {schema.VOCABULARY_SCHEMA.names}."
                )
        gene_ids = table[names.GENE_ID].to_pylist()
        if table["token"].to_pylist() != list(range(len(gene_ids))):
            raise UserMistake(f"{path}: the tokens must be 0, 1, 2, … in the order of the rows.")
        if len({*zip(gene_ids, table[names.ORGANISM].to_pylist(), strict=True)}) != len(gene_ids):
            raise UserMistake(f"{path}: a gene id stands twice in one organism; each gene has one token.")
        kept = table["kept"].to_numpy() if "kept" in table.column_names else np.ones(len(gene_ids), bool)
        totals = {
            name: table[name].to_numpy() for name in schema.GENES_SCHEMA.names[4:-1] if name in table.column_names
        }
        return cls(gene_ids, table[names.SYMBOL].to_pylist(), table[names.ORGANISM].to_pylist(), kept, totals)


EMPTY = Vocabulary([], [], [], np.empty(0, bool))


def write_table(table: pa.Table, path: Path | str) -> None:
    """Write a small table as Feather (Arrow IPC, zstd) in one record batch."""
    feather.write_feather(
        table, str(path), compression="zstd", compression_level=schema.COMPRESSION_LEVEL, chunksize=1 << 30
    )


def read_table(path: Path | str, what: str, content: bytes | None = None) -> pa.Table:
    """Read a Feather file, or its `content`; a missing or broken one is the user's mistake."""
    try:
        return feather.read_table(
            str(existing(path, what)) if content is None else io.BytesIO(content), memory_map=False
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise UserMistake(f"The {what} {path} cannot be read as Feather ({error}); make it again.") from None


def read_layout(path: Path | str, what: str) -> pa.Schema:
    """The schema of a Feather file, without its columns; refusals are those of `read_table`."""
    try:
        with pa.memory_map(str(existing(path, what))) as file:
            return pa.ipc.open_file(file).schema
    except (pa.ArrowInvalid, OSError) as error:
        raise UserMistake(f"The {what} {path} cannot be read as Feather ({error}); make it again.") from None
