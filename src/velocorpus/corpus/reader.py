"""Read a corpus: numpy and pyarrow only.

`Corpus(path).read(split="train")` gives the cells of a split in memory; `velocorpus.data.loader` streams
them. Genes that fail the corpus' gene filter are left out on reading unless asked for; tokens keep their
numbers either way.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.corpus.encoding import EncodedLayer, Rows, decode_layer
from velocorpus.corpus.storage import Folder, S3Folder, open_storage
from velocorpus.corpus.vocabulary import Vocabulary, read_table
from velocorpus.errors import UserMistake
from velocorpus.files import existing, parse_json

if TYPE_CHECKING:
    from velocorpus.config import FetchConfig


class CSR(NamedTuple):
    """Cells × genes counts: cell r owns `[indptr[r], indptr[r + 1])`."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]  # tokens, ascending within a cell; −1 only where asked for, see data.tokens.cells_of
    data: NDArray[np.int32]
    n_genes: int

    @property
    def totals(self) -> NDArray[np.int64]:
        """The sum of each cell's counts."""
        running = np.concatenate([[0], np.cumsum(self.data, dtype=np.int64)])
        return running[self.indptr[1:]] - running[self.indptr[:-1]]


@dataclass(frozen=True)
class Cells:
    """Cells in memory: a table of columns per cell and one CSR per layer, rows in the same order.

    `obs` has `cell_id`, `study` and the columns of a shard. `unmapped` lists genes of the input that the
    vocabulary lacks (only cells that come from an AnnData have such).
    """

    obs: pa.Table
    layers: dict[str, CSR]
    unmapped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.obs.num_rows


@dataclass(frozen=True)
class Shard:
    """One shard file as the manifest names it."""

    storage: Folder | S3Folder
    name: str
    split: str
    rows: int
    batch_cells: int  # of each record batch but the last
    samples: tuple[str, ...]
    n_bytes: int

    @property
    def path(self) -> Path:
        """The file; refused where it lies in a bucket."""
        return self.storage.path / self.name

    @property
    def address(self) -> str:
        """What the file is called in a message."""
        return self.storage.address(self.name)

    def open(self, *, little: bool = False) -> pa.NativeFile:
        """The file, for random access; `little`: only a few columns of each cell are wanted, and no counts."""
        return self.storage.open(self.name, self.n_bytes, little=little)

    def batches(self, layers: Sequence[str] = names.LAYERS) -> Iterator[pa.RecordBatch]:
        """The record batches with the columns of `obs` and of some layers."""
        with self.open() as source:
            yield from _all_batches(open_shard(source, self.address, layers))


class Corpus:
    """A corpus, opened: `.genes`, `.samples`, `.manifest`, `.digest` (SHA-256 of the manifest's bytes).

    `path` is a folder, or `s3://bucket/folder`, of which only what is asked for is read; `how` says how a bucket is
    asked (see `storage.S3Folder`).
    """

    def __init__(self, path: Path | str, version: int | None = None, *, how: "FetchConfig | None" = None) -> None:
        self.storage = open_storage(path, how)
        self.address = self.storage.address()
        name = schema.MANIFEST_FILE if version is None else f"{schema.VERSIONS_FOLDER}/{version}.json"
        file, content = self.storage.address(name), self.storage.read(name, "manifest of a corpus")
        self.manifest: dict[str, Any] = parse_json(content, file)
        if self.manifest.get("schema_version") != schema.SCHEMA_VERSION:
            raise UserMistake(
                f"{file} has corpus schema {self.manifest.get('schema_version')}, this version reads "
                f"{schema.SCHEMA_VERSION}; `velocorpus corpus convert` reads version 1."
            )
        self._superseded = {}
        if version is not None:
            newest = parse_json(self.storage.read(schema.MANIFEST_FILE, "manifest of a corpus"), self.address)
            self._superseded = {entry["path"]: entry["sha256"] for entry in newest["shards"]}
        self.digest = hashlib.sha256(content).hexdigest()
        self.genes = Vocabulary.read(*self._table("genes", "vocabulary table"))
        where, table = self._table("samples", "table of samples")
        self.samples = read_table(where, "table of samples", table)

    @property
    def path(self) -> Path:
        """The folder; refused where the corpus lies in a bucket."""
        return self.storage.path

    def _table(self, name: str, what: str) -> tuple[str, bytes]:
        file = self.manifest["files"][name]
        return self.storage.address(file["path"]), self.storage.read(file["path"], what, file["sha256"])

    def shards(self, split: str | None = None) -> list[Shard]:
        """The shard files of one split (or all), in the order of the manifest."""
        if split is not None and split not in names.SPLITS:
            raise UserMistake(f"'{split}' is not a split; allowed are {', '.join(names.SPLITS)}.")
        entries = [entry for entry in self.manifest["shards"] if split in (None, entry["split"])]
        for entry in entries if self._superseded else ():
            made_anew = self._superseded.get(entry["path"], entry["sha256"]) != entry["sha256"]
            if made_anew or not (entry["path"] in self._superseded or self.storage.exists(entry["path"])):
                raise UserMistake(
                    f"Version {self.manifest['version']} of {self.address} cannot be read: its {entry['path']} was "
                    f"{'made anew' if made_anew else 'deleted'} in a later version; read the newest."
                )
        return [
            Shard(self.storage, e["path"], e["split"], e["rows"], e["batch_cells"], tuple(e["samples"]), e["bytes"])
            for e in entries
        ]

    def samples_of(
        self,
        studies: Sequence[str] | None = None,
        samples: Sequence[str] | None = None,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> list[str]:
        """The samples that belong to any of `studies`, are among `samples` and have one of the values of `where` in
        each of its columns of samples.feather (`{"tissue": ["lung"]}`); columns and values that are absent are refused.
        """
        found = self.samples
        for column, wanted in ((names.STUDY, studies), (names.SAMPLE, samples), *(where or {}).items()):
            if wanted is None:
                continue
            if column not in self.samples.column_names:
                raise UserMistake(
                    f"Samples have no column '{column}'; they have {', '.join(self.samples.column_names)}."
                )
            known = {value for value in self.samples[column].to_pylist() if value is not None}
            for name in wanted:
                if name not in known:
                    raise UserMistake(
                        f"The corpus has no {column} '{name}'; it has {', '.join(map(str, sorted(known))) or 'none'}."
                    )
            found = found.filter(pc.is_in(found[column], value_set=pa.array(wanted, found[column].type)))
        return list(found[names.SAMPLE].to_pylist())

    def chooser(
        self,
        studies: Sequence[str] | None = None,
        samples: Sequence[str] | None = None,
        where: Mapping[str, Sequence[str]] | None = None,
        cells: Collection[str] | None = None,
    ) -> "Chooser":
        """What picks the cells of some samples (see `samples_of`), or those of a list of ids, from record batches."""
        everything = studies is None and samples is None and where is None
        wanted = None if everything else pa.array(self.samples_of(studies, samples, where), pa.string())
        return Chooser(wanted, None if cells is None else frozenset(cells))

    def read(
        self,
        split: str | None = None,
        studies: Sequence[str] | None = None,
        samples: Sequence[str] | None = None,
        layers: Sequence[str] = names.LAYERS,
        *,
        where: Mapping[str, Sequence[str]] | None = None,
        cells: Collection[str] | None = None,
        all_genes: bool = False,
    ) -> Cells:
        """Cells of a split, of some samples (see `samples_of`) or of a list of cell ids, in the order of the shards.

        Counts of genes that fail the gene filter are left out unless `all_genes`; `obs` totals always are
        of all genes. Cells of the list that are not in the selection are refused.
        """
        choose = self.chooser(studies, samples, where, cells)
        keep = np.ones(len(self.genes), bool) if all_genes else self.genes.kept
        obs: list[pa.Table] = []
        parts: dict[str, list[tuple[Any, Any, Any]]] = {layer: [] for layer in layers}
        for shard in self.shards(split):
            for batch in shard.batches(layers):
                rows = np.flatnonzero(choose(batch))
                if not len(rows):
                    continue
                table = pa.Table.from_batches([batch.select(list(schema.OBS_COLUMNS))])
                obs.append(table if len(rows) == batch.num_rows else table.take(rows))
                first = first_tokens(batch, self.genes)[rows]
                for layer in layers:
                    parts[layer].append(decode_layer(encoded_layer(batch, layer), rows, first, keep))
        choose.check()
        table = pa.concat_tables(
            [pa.schema(schema.OBS_FIELDS).empty_table(), *(t.replace_schema_metadata(None) for t in obs)]
        )
        return Cells(self._named(table), {layer: join_csr(parts[layer], len(self.genes)) for layer in layers})

    def _named(self, obs: pa.Table) -> pa.Table:
        """Shard columns with the cell's id and study in front."""
        at = pc.index_in(obs[names.SAMPLE], value_set=self.samples[names.SAMPLE].combine_chunks())
        study = self.samples[names.STUDY].take(at) if obs.num_rows else pa.array([], pa.string())
        return obs.add_column(0, "cell_id", cell_ids(obs)).add_column(4, names.STUDY, study)


class Chooser:
    """A mask of a record batch's rows: cells of some samples (None: of all) that are on a list (None: every one)."""

    def __init__(self, samples: pa.Array | None, cells: frozenset[str] | None) -> None:
        self._samples, self._cells = samples, None if cells is None else pa.array(sorted(cells), pa.string())
        self._missing = set(cells or ())

    def __call__(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """True for the rows that are chosen."""
        chosen = pa.array(np.ones(batch.num_rows, bool))
        if self._samples is not None:
            chosen = pc.is_in(batch[names.SAMPLE], value_set=self._samples)
        if self._cells is not None:
            ids = cell_ids(batch)
            chosen = pc.and_(chosen, pc.is_in(ids, value_set=self._cells))
            self._missing.difference_update(ids.filter(chosen).to_pylist())
        return np.asarray(chosen.to_numpy(zero_copy_only=False), dtype=bool)

    def check(self) -> None:
        """Refuse a list of which some cells did not come."""
        if self._missing:
            raise UserMistake(
                f"{len(self._missing)} cells of the list are not in this selection (first: {min(self._missing)}); name "
                "cells as sample:barcode, and only those of the samples and the split that are asked for."
            )


def cell_ids(cells: pa.Table | pa.RecordBatch) -> Any:
    """The names of cells in the whole corpus, `sample:barcode`, as an Arrow array."""
    return pc.binary_join_element_wise(cells[names.SAMPLE], cells[names.BARCODE], ":")


def read_batches(path: Path, layers: Sequence[str] = names.LAYERS) -> Iterator[pa.RecordBatch]:
    """The record batches of one shard with the columns of `obs` and of some layers."""
    with pa.memory_map(str(existing(path, "shard"))) as source:
        yield from _all_batches(open_shard(source, path, layers))


def _all_batches(file: pa.ipc.RecordBatchFileReader) -> Iterator[pa.RecordBatch]:
    for i in range(file.num_record_batches):
        yield file.get_batch(i)


def open_shard(
    source: pa.NativeFile, path: Path | str, layers: Sequence[str], obs: Sequence[str] = schema.OBS_COLUMNS
) -> pa.ipc.RecordBatchFileReader:
    """Open a shard for random access, reading only some columns."""
    wanted = [*obs, *(column for layer in layers for column in schema.layer_columns(layer))]
    try:
        layout = pa.ipc.open_file(source).schema
        columns = sorted(layout.get_field_index(name) for name in wanted)
        return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserMistake(f"The shard {path} cannot be read as Arrow ({error}); restore or rebuild it.") from None


def encoded_layer(batch: pa.RecordBatch, layer: str) -> EncodedLayer:
    """One layer's bytes of a record batch, without copying."""
    return EncodedLayer(*(_rows(batch[column]) for column in schema.layer_columns(layer)))


def first_tokens(batch: pa.RecordBatch, genes: Vocabulary) -> NDArray[np.int64]:
    """The first token of each cell's organism."""
    coded = batch[names.ORGANISM].dictionary_encode()
    by_code = np.array([genes.first[organism] for organism in coded.dictionary.to_pylist()], dtype=np.int64)
    return by_code[coded.indices.to_numpy(zero_copy_only=False)] if batch.num_rows else by_code[:0]


def join_csr(parts: Sequence[tuple[Any, Any, Any]], n_genes: int) -> CSR:
    """CSR pieces, one below the other."""
    lengths = [np.diff(indptr) for indptr, _, _ in parts]
    return CSR(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]))]),
        np.concatenate([np.empty(0, np.int32), *(indices for _, indices, _ in parts)]),
        np.concatenate([np.empty(0, np.int32), *(data for _, _, data in parts)]),
        n_genes,
    )


def _rows(column: pa.Array) -> Rows:
    return Rows(column.values.to_numpy(), column.offsets.to_numpy())
