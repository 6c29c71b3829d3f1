"""A corpus in figures: cells, genes, bytes per cell, bits per nonzero, per study."""

import json
from collections import defaultdict

from velocorpus import names
from velocorpus.corpus.duplicates import in_words
from velocorpus.corpus.reader import Corpus
from velocorpus.evaluation.table import Table, Value


def corpus_figures(corpus: Corpus) -> dict[str, float]:
    """Cells, genes, nonzeros, bytes of the shards, bytes per cell, bits per nonzero (nonzeros of all three
    layers).
    """
    n_bytes = sum(entry["bytes"] for entry in corpus.manifest["shards"])
    nonzeros = sum(int(corpus.genes.totals[names.cells_with(layer)].sum()) for layer in names.LAYERS)
    cells = corpus.manifest["cells"]
    return {
        "cells": cells,
        "samples": corpus.samples.num_rows,
        "genes": len(corpus.genes),
        "genes_kept": int(corpus.genes.kept.sum()),
        "nonzeros": nonzeros,
        "bytes": n_bytes,
        "bytes_per_cell": n_bytes / max(cells, 1),
        "bits_per_nonzero": 8 * n_bytes / max(nonzeros, 1),
    }


def _unmapped(source: str) -> tuple[int, int]:
    """Molecules and genes of a sample that the import could not map, by the `source` of its counts."""
    given = json.loads(source)
    found = [given.get(f"genes_{why}", {}) for why in ("unmapped", "ambiguous_symbol", "mapped_twice")]
    return sum(one.get("molecules", 0) for one in found), sum(one.get("n", 0) for one in found)


def corpus_table(corpus: Corpus) -> Table:
    """One row per study, then the whole corpus."""
    studies: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * 5)
    for row in corpus.samples.to_pylist():
        figures = studies[row[names.STUDY], row[names.ORGANISM], row["split"]]
        for i, value in enumerate([1, row["cells"], *(row[names.total_of(layer)] for layer in names.LAYERS)]):
            figures[i] += value
    rows: list[tuple[Value, ...]] = [(*key, *values) for key, values in sorted(studies.items())]
    whole = corpus_figures(corpus)
    note = (
        f"{whole['genes']} genes, {whole['genes_kept']} kept; {whole['bytes']} bytes in shards: "
        f"{whole['bytes_per_cell']:.1f} bytes per cell, {whole['bits_per_nonzero']:.2f} bits per nonzero. "
        f"Version {corpus.manifest['version']}, content {corpus.manifest['content_digest']}."
    )
    if corpus.manifest["missing"]:
        note += " Missing: " + "; ".join(f"{s} ({why})" for s, why in corpus.manifest["missing"].items())
    for pair in corpus.manifest.get("duplicates", ()):
        note += f" {in_words(pair)}."
    lost = sorted(((*_unmapped(row["source"]), row[names.SAMPLE]) for row in corpus.samples.to_pylist()), reverse=True)
    if lost and lost[0][0]:
        worst = "; ".join(f"{sample}: {n} molecules of {genes} genes" for n, genes, sample in lost[:5] if n)
        note += f" Not mapped to a gene id, left out on import: {sum(n for n, *_ in lost)} molecules ({worst})."
    for record in corpus.manifest.get("removed", ()):
        note += f" Version {record['version']} took {record[names.SAMPLE]} out ({record['because']})."
    columns = (names.STUDY, names.ORGANISM, "split", "samples", "cells", *map(names.total_of, names.LAYERS))
    return Table("Corpus", columns, tuple(rows), note)
