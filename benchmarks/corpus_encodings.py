"""Bits a nonzero count by ways to write it as bytes: why the shards' code is what it is (docs/decisions/index.md).

python benchmarks/corpus_encodings.py counts.h5ad [more.h5ad …] [--cells 4096]

A code holds a gene's gap to the gene before and its count up to K, v = K·gap + min(count, K) − 1; what is above comes
in a list of its own. Genes are numbered by frequency and may be parted at borders, each part coded by itself. Sizes are
those of Arrow's compressed buffers (codes and row offsets, 1,024 rows a record batch) without names and labels of
cells; times are of decompressing all codes, the best of twenty turns.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from entropy import Layers, bits_per_nonzero, read_layers
from velocorpus import names

ROWS = 1_024  # of a record batch
TURNS = 20


class Encoding(NamedTuple):
    """A way to write a layer: K of the joint code, borders between parts of the genes, zstd level, order of rows."""

    k: int = 5
    borders: tuple[int, ...] = (4_096,)
    level: int = 1
    by_depth: bool = False
    gene_major: bool = False


VARIANTS = {
    "**schema 2**: K = 5, border at 4096, level 1": Encoding(),
    "level 3": Encoding(level=3),
    "level 9": Encoding(level=9),
    "level 19": Encoding(level=19),
    "no border": Encoding(borders=()),
    "border at 1024": Encoding(borders=(1_024,)),
    "border at 2048": Encoding(borders=(2_048,)),
    "border at 8192": Encoding(borders=(8_192,)),
    "borders at 512, 2048, 8192": Encoding(borders=(512, 2_048, 8_192)),
    "the same, level 19": Encoding(borders=(512, 2_048, 8_192), level=19),
    "K = 1 (gaps and counts apart)": Encoding(k=1),
    "K = 2": Encoding(k=2),
    "K = 3": Encoding(k=3),
    "K = 4": Encoding(k=4),
    "K = 6": Encoding(k=6),
    "cells of a batch by depth": Encoding(by_depth=True),
    "schema 1: K = 1, no border": Encoding(k=1, borders=()),
    "genes × cells, K = 1": Encoding(k=1, borders=(), gene_major=True),
    "genes × cells": Encoding(borders=(), gene_major=True),
    "genes × cells, level 19": Encoding(borders=(), gene_major=True, level=19),
}


def by_frequency(layers: Layers) -> Layers:
    """The same counts, genes numbered as the corpus numbers them: by cells × layers with a count."""
    order = np.argsort(-sum(matrix.getnnz(axis=0) for matrix in layers.values()), kind="stable")
    return {name: matrix[:, order].sorted_indices() for name, matrix in layers.items()}


def as_bytes(values: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as bytes, 255 meaning "and go on", and where each row begins (int32)."""
    sizes = values // 255 + 1
    ends = np.concatenate([[0], np.cumsum(sizes)])
    coded = np.full(ends[-1], 255, np.uint8)
    coded[ends[1:] - 1] = values % 255
    return coded, ends[indptr].astype(np.int32)


def columns(matrix: sparse.csr_matrix, k: int, borders: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The list columns of a layer as (bytes, offsets): the codes of each part of the genes, then counts above K."""
    edges = [0, *(border for border in borders if border < matrix.shape[1]), matrix.shape[1]]
    for low, high in pairwise(edges):
        part = matrix[:, low:high] if len(edges) > 2 else matrix
        gaps = np.diff(part.indices.astype(np.int64), prepend=-1)
        starts = part.indptr[:-1][np.diff(part.indptr) > 0]
        gaps[starts] = part.indices[starts] + 1
        yield as_bytes(k * gaps + np.minimum(part.data, k) - 1, part.indptr)
    above = matrix.data >= k
    yield as_bytes(matrix.data[above] - k, np.concatenate([[0], np.cumsum(above)])[matrix.indptr])


class Packed(NamedTuple):
    """Layers as Arrow would keep them."""

    n_bytes: int  # compressed, codes and offsets
    codes: list[tuple[pa.Buffer, int]]  # compressed, with the size before


def pack(layers: Layers, encoding: Encoding) -> Packed:
    """Encode and compress all layers."""
    codec = pa.Codec("zstd", compression_level=encoding.level)
    n_bytes, codes = 0, []
    for matrix in layers.values():
        for start in range(0, matrix.shape[0], ROWS):
            block = matrix[start : start + ROWS]
            if encoding.by_depth:
                block = block[np.argsort(np.diff(block.indptr), kind="stable")]
            if encoding.gene_major:
                block = block.T.tocsr()
            for coded, offsets in columns(block, encoding.k, encoding.borders):
                codes.append((codec.compress(coded), len(coded)))
                n_bytes += len(codes[-1][0]) + len(codec.compress(offsets))
    return Packed(n_bytes, codes)


def seconds(packed: Packed) -> float:
    """CPU seconds to decompress the codes once."""
    codec, begun = pa.Codec("zstd"), time.process_time()
    for code, n_bytes in packed.codes:
        codec.decompress(code, n_bytes)
    return time.process_time() - begun


def rows(layers: Layers) -> list[str]:
    """Two cells of the table for each variant: bits a nonzero count, and CPU µs a cell of decompressing."""
    packed = [pack(layers, encoding) for encoding in VARIANTS.values()]
    nonzero = sum(matrix.nnz for matrix in layers.values())
    # The variants take turns, so that what else the machine does falls on all of them.
    best = np.min([[seconds(one) for one in packed] for _ in range(TURNS)], axis=0)
    per_cell = 1e6 / layers[names.SPLICED].shape[0]
    return [f"{8 * one.n_bytes / nonzero:.3f} | {per_cell * time:.1f}" for one, time in zip(packed, best, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=Path, nargs="+")
    parser.add_argument("--cells", type=int, default=4_096, help="of each file at most")
    options = parser.parse_args()
    found, entropies = [], []
    for path in options.counts:
        layers = by_frequency(read_layers([path], options.cells))
        entropies.append(f"{bits_per_nonzero(layers).miller_madow:.3f} | ")
        found.append(rows(layers))
    stems = (path.parent.name if path.stem == "counts" else path.stem for path in options.counts)
    print(f"| bits a nonzero, µs a cell | {' | | '.join(stems)} | |\n|---|{'--:|--:|' * len(found)}")
    for label, *cells in zip(
        ("entropy", *VARIANTS), *((a, *b) for a, b in zip(entropies, found, strict=True)), strict=True
    ):
        print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
