"""One shard: what it says of itself, what the manifest says of it, and what the cells in it add up to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import content, schema
from velocorpus.corpus.content import Lanes
from velocorpus.corpus.encoding import decode_layer
from velocorpus.corpus.reader import encoded_layer, first_tokens
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.files import existing, sha256


def shard_about(path: Path | str) -> dict[str, Any]:
    """What a shard says of itself; a file that is not one of ours is refused."""
    try:
        about = schema.metadata_of(pa.ipc.open_file(pa.memory_map(str(existing(path, "shard")))).schema)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserMistake(f"The shard {path} cannot be read as Arrow ({error}); rebuild it.") from None
    if not about or about.get("kind") != "shard":
        raise UserMistake(f"{path} is not a shard of velocorpus; remove it or give shards only.")
    if about["schema_version"] != schema.SCHEMA_VERSION:
        raise UserMistake(
            f"The shard {path} has corpus schema {about['schema_version']}, this version has {schema.SCHEMA_VERSION}; "
            "make it again, or its corpus with `velocorpus corpus convert`."
        )
    return about


def shard_entry(folder: Path, path: Path) -> dict[str, Any]:
    """What the manifest says of a shard file."""
    if path.resolve().parent != (folder / schema.SHARDS_FOLDER).resolve():
        raise UserMistake(f"The shard {path} must lie in {folder / schema.SHARDS_FOLDER}; write it there.")
    about = shard_about(path)
    kept = {key: about[key] for key in ("group", "split", "rows", "batch_cells", "samples", "content_digest", "seed")}
    return {
        "path": f"{schema.SHARDS_FOLDER}/{path.name}",
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        **kept,
    }


@dataclass
class Sums:
    """What some cells add up to: gene sums by token, figures by sample (`cells`, `n_<layer>`), content sum."""

    genes: dict[str, NDArray[np.int64]]
    samples: dict[str, dict[str, int]] = field(default_factory=dict)
    digest: Lanes = field(default_factory=lambda: np.zeros(2, np.uint64))

    @classmethod
    def zero(cls, n_genes: int) -> "Sums":
        """No cell yet."""
        columns = [f(layer) for f in (names.total_of, names.cells_with) for layer in names.LAYERS]
        return cls({column: np.zeros(n_genes, np.int64) for column in columns})

    def add(self, batch: pa.RecordBatch, layers: dict[str, Any], lanes: Lanes) -> None:
        """Add the cells of a record batch, whose `layers` are decoded; `lanes` are those of the genes."""
        for layer, (_, tokens, counts) in layers.items():
            # Sums of doubles are exact below 2⁵³: of one batch they always are.
            for name, weights in ((names.total_of(layer), counts), (names.cells_with(layer), None)):
                self.genes[name] += np.bincount(tokens, weights, len(lanes)).astype(np.int64)
        samples = batch[names.SAMPLE].to_pylist()
        ids = [names.cell_id(*pair) for pair in zip(samples, batch[names.BARCODE].to_pylist(), strict=True)]
        self.digest = self.digest + content.content_sum(ids, lanes, layers)
        totals = {names.total_of(layer): batch[names.total_of(layer)].to_numpy() for layer in names.LAYERS}
        of = np.array(samples, dtype=object)
        for sample in sorted(set(samples)):
            mine = of == sample
            figures = self.samples.setdefault(sample, {"cells": 0, **dict.fromkeys(totals, 0)})
            figures["cells"] += int(mine.sum())
            for name, values in totals.items():
                figures[name] += int(values[mine].sum())


def decoded(batch: pa.RecordBatch, rows: NDArray[np.int64], genes: Vocabulary) -> dict[str, Any]:
    """Some rows of a record batch as CSR triples by layer, all genes; `ValueError` where they do not decode."""
    first, every = first_tokens(batch, genes)[rows], np.ones(len(genes), bool)
    return {layer: decode_layer(encoded_layer(batch, layer), rows, first, every) for layer in names.LAYERS}
