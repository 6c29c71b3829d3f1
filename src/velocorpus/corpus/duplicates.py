"""The same library under two accessions: found by sketches of its cells, whatever was done to names or counts.

A sample's sketch is the `SIZE` smallest hashes (bottom-k MinHash, Broder 1997) of its barcodes, each with its cell's
total, and the same of its cells' three totals. One library counted twice, by whatever tool, shares its barcodes with
totals that go together; one whose cells were renamed shares the totals themselves. Two libraries share few barcodes
(20,000 of 737,280 by chance: 3 %), or all of them where every library has the same (as on spatial slides), but then
their totals differ. Sketches come from the shards' columns: 6 kB a sample, whatever its size.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import content, schema
from velocorpus.corpus.reader import open_shard

SIZE = 256
# Fewer cells in common range say nothing about a share, fewer shared barcodes nothing about totals.
MIN_COMPARED, MIN_SHARED = 20, 10
MAX_SHARE, MIN_CORRELATION = 0.1, 0.8
# The three totals of smaller cells meet by chance.
MIN_TOTAL = 1000

# Another version of what is above makes other sketches and pairs: those of an older one are not compared with it.
VERSION = 1

TABLE_SCHEMA = schema.with_metadata(
    pa.schema(
        [
            (names.SAMPLE, pa.string()),
            ("barcodes", pa.list_(pa.uint64())),
            ("barcode_totals", pa.list_(pa.int64())),
            ("totals", pa.list_(pa.uint64())),
        ]
    ),
    {"kind": "sketches", "sketch_version": VERSION},
)


@dataclass(frozen=True, eq=False)
class Sketch:
    """Of one sample's cells: hashes of barcodes (uint64, ascending), their totals (int64), hashes of three totals."""

    barcodes: NDArray[np.uint64]
    barcode_totals: NDArray[np.int64]
    totals: NDArray[np.uint64]

    def __add__(self, other: "Sketch") -> "Sketch":
        """The sketch of both samples' cells together."""
        hashes = np.concatenate([self.barcodes, other.barcodes])
        sums = np.concatenate([self.barcode_totals, other.barcode_totals])
        order = np.lexsort((-sums, hashes))  # of two cells with one barcode the larger
        hashes, sums = hashes[order], sums[order]
        first = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + np.uint64(1)))[:SIZE]
        # Copied: a view would keep the hashes of every cell.
        return Sketch(hashes[first], sums[first], np.union1d(self.totals, other.totals)[:SIZE].copy())


EMPTY = Sketch(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64))


def sketch_cells(barcodes: pa.Array, totals: NDArray[np.int64]) -> Sketch:
    """The sketch of some cells of one sample; `totals` are cells × 3 layers.

    Of a barcode only its bases count: what tools and depositors put around them differs.
    """
    bases = pc.struct_field(pc.extract_regex(barcodes, r"(?P<bases>[ACGTN]{8,})"), "bases")
    hashes = content.lanes_of(pc.coalesce(bases, barcodes).to_pylist())[:, 0]
    triple = totals[totals.sum(axis=1) >= MIN_TOTAL].astype(np.uint64) @ np.array([1, 1 << 21, 1 << 42], np.uint64)
    whole = Sketch(hashes, totals.sum(axis=1), np.unique(content.mix(triple)))
    return EMPTY + whole


def sketch_shards(shards: Iterable[Path]) -> dict[str, Sketch]:
    """The sketches of all samples in some shards, one shard's columns in memory at a time."""
    found: dict[str, Sketch] = {}
    columns = (names.BARCODE, names.SAMPLE, *map(names.total_of, names.LAYERS))
    for path in shards:
        with pa.memory_map(str(path)) as source:
            cells = open_shard(source, path, (), columns).read_all().combine_chunks()
        totals = np.stack([cells[names.total_of(layer)].to_numpy() for layer in names.LAYERS], axis=1)
        for sample in pc.unique(cells[names.SAMPLE]).to_pylist():
            rows = np.flatnonzero(pc.equal(cells[names.SAMPLE], sample))
            barcodes = cells[names.BARCODE].take(rows).combine_chunks()
            found[sample] = found.get(sample, EMPTY) + sketch_cells(barcodes, totals[rows])
    return found


def to_table(sketches: Mapping[str, Sketch]) -> pa.Table:
    """One row a sample, by name."""
    rows = [{names.SAMPLE: sample, **vars(sketches[sample])} for sample in sorted(sketches)]
    return pa.Table.from_pylist(rows, schema=TABLE_SCHEMA)


def from_table(table: pa.Table) -> dict[str, Sketch] | None:
    """What `to_table` made a table of; None for the sketches of another version."""
    if table.schema.metadata != TABLE_SCHEMA.metadata:
        return None
    return {
        row[names.SAMPLE]: Sketch(
            np.array(row["barcodes"], np.uint64),
            np.array(row["barcode_totals"], np.int64),
            np.array(row["totals"], np.uint64),
        )
        for row in table.to_pylist()
    }


def duplicates(sketches: Mapping[str, Sketch], new: Collection[str]) -> list[dict[str, Any]]:
    """Pairs of samples, one of them `new` at least, that look like one library.

    `samples` (both names, ascending), `barcodes` and `totals` (the share of the smaller sample's that both have) and
    `correlation` (Pearson's, of the logarithms of the totals of shared barcodes). Memory: the sketches.
    """
    near = [_neighbours(sketches, kind) for kind in ("barcodes", "totals")]
    found = []
    for sample in sorted(new):
        for other in sorted(near[0](sample) | near[1](sample)):
            if other in new and other < sample:
                continue  # it was its turn already
            first, second = sorted((sample, other))
            pair = _compared(first, second, sketches[first], sketches[second])
            if (pair["barcodes"] > MAX_SHARE and pair["correlation"] >= MIN_CORRELATION) or pair["totals"] > MAX_SHARE:
                found.append(pair)
    return sorted(found, key=lambda pair: pair["samples"])


def in_words(pair: Mapping[str, Any]) -> str:
    """A pair of `duplicates` as half a sentence."""
    first, second = pair["samples"]
    return (
        f"{first} and {second} look like one library: {pair['barcodes']:.0%} of the barcodes are shared (their totals "
        f"correlate by {pair['correlation']:.2f}), and {pair['totals']:.0%} of the cells' totals"
    )


def _neighbours(sketches: Mapping[str, Sketch], kind: str) -> Callable[[str], set[str]]:
    """A function that names the samples that share enough hashes with a sample."""
    samples = list(sketches)
    parts = [getattr(sketch, kind) for sketch in sketches.values()]
    hashes = np.concatenate([np.empty(0, np.uint64), *parts])
    owners = np.repeat(np.arange(len(samples)), [len(part) for part in parts])
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]

    def of(sample: str) -> set[str]:
        own = getattr(sketches[sample], kind)
        met = np.zeros(len(samples), np.int64)
        starts, ends = (np.searchsorted(hashes, own, side) for side in ("left", "right"))
        for start, end in zip(starts, ends, strict=True):
            met[owners[start:end]] += 1
        return {samples[i] for i in np.flatnonzero(met >= MIN_SHARED)} - {sample}

    return of


def _compared(first: str, second: str, a: Sketch, b: Sketch) -> dict[str, Any]:
    common, at, bt = np.intersect1d(a.barcodes, b.barcodes, assume_unique=True, return_indices=True)
    correlation = 0.0
    if len(common) >= MIN_SHARED:
        logs = np.log1p(a.barcode_totals[at]), np.log1p(b.barcode_totals[bt])
        if min(np.ptp(x) for x in logs) > 0:
            correlation = float(np.corrcoef(*logs)[0, 1])
    return {
        "samples": [first, second],
        "barcodes": _share(a.barcodes, b.barcodes),
        "correlation": round(correlation, 4),
        "totals": _share(a.totals, b.totals),
    }


def _share(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    # Below the smaller of the two greatest hashes both sketches are complete; a short sketch is complete everywhere.
    last = min((one[-1] for one in (a, b) if len(one) == SIZE), default=np.uint64(2**64 - 1))
    a, b = a[a <= last], b[b <= last]
    fewest = min(len(a), len(b))
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return round(shared / fewest, 4) if fewest >= MIN_COMPARED else 0.0
