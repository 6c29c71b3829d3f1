"""What is left of a corpus without some samples, and the record of why they went.

Only the shards that hold such a sample are written anew, under a name with the new content digest; the old file stays,
so that every older version can still be read, until `prune` deletes it and says so in the manifest.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.corpus.building.manifest import Left
from velocorpus.corpus.changing.rewrite import rewrite_shard
from velocorpus.corpus.reader import Corpus, read_batches
from velocorpus.corpus.shard import Sums, shard_entry
from velocorpus.errors import UserMistake

Say = Callable[[str], None]


def take_out(corpus: Corpus, samples: Sequence[str], say: Say) -> Left:
    """What is left without some samples; the shards that held them are written anew in the corpus' folder."""
    left = Left.whole(corpus)
    gone = pa.array(corpus.samples_of(samples=samples), pa.string())
    entries, totals, rewritten = [], dict(left.totals), 0
    stay = Sums.zero(len(corpus.genes))
    for entry in left.entries:
        path = corpus.path / entry["path"]
        if not _holds(path, gone):
            entries.append(entry)
            continue

        def named(digest: str, entry: dict[str, Any] = entry) -> Path:
            return corpus.path / schema.SHARDS_FOLDER / f"{entry['group']}.{entry['split']}.{digest[:16]}.feather"

        made, out = rewrite_shard(path, entry, lambda batch: ~_mask(batch, gone), named, corpus.genes, stay)
        entries.append(shard_entry(corpus.path, made))
        totals = {name: values - out.genes[name] for name, values in totals.items()}
        rewritten += 1
    say(f"{', '.join(gone.to_pylist())}: {rewritten} of {len(entries)} shards written anew, the others left alone")
    say("older versions keep their shards until `velocorpus corpus prune`: read the files that the manifest names")
    return replace(
        left,
        entries=entries,
        totals=totals,
        samples=left.samples.filter(pc.invert(pc.is_in(left.samples[names.SAMPLE], value_set=gone))),
        sketches={sample: sketch for sample, sketch in left.sketches.items() if sample not in gone.to_pylist()},
    )


def removal_records(
    corpus: Corpus, samples: Sequence[str], replaced_by: dict[str, str], because: str, by: str
) -> list[dict[str, Any]]:
    """All removals so far and these: what was taken out in which version, why and by whom; no times."""
    if not because.strip():
        raise UserMistake("A removal needs its reason; give --because TEXT.")
    rows = {row[names.SAMPLE]: row for row in corpus.samples.to_pylist()}
    records = [dict(record) for record in corpus.manifest.get("removed", [])]
    for record in records:
        # Brought in again: the retraction has ended.
        if record["replaced_by"] is None:
            record["replaced_by"] = replaced_by.get(record[names.SAMPLE])
    for sample in sorted(set(samples)):
        row = {key: rows[sample][key] for key in (names.SAMPLE, names.STUDY, "cells", "counts_digest")}
        about = {"because": because, "by": by, "replaced_by": replaced_by.get(sample)}
        records.append(row | about | {"version": corpus.manifest["version"] + 1})
    return records


def _holds(path: Path, samples: pa.Array) -> bool:
    return any(_mask(batch, samples).any() for batch in read_batches(path, ()))


def _mask(batch: pa.RecordBatch, samples: pa.Array) -> np.ndarray:
    return np.asarray(pc.is_in(batch[names.SAMPLE], value_set=samples).to_numpy(zero_copy_only=False))
