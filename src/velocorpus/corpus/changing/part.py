"""Part of a corpus as a corpus of its own: the same tokens, splits and filter, fewer cells."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.corpus.building.manifest import Left, write_manifest
from velocorpus.corpus.changing.rewrite import rewrite_shard
from velocorpus.corpus.duplicates import sketch_shards
from velocorpus.corpus.lock import locked
from velocorpus.corpus.plan import Splits, shard_name
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.shard import Sums, shard_entry
from velocorpus.errors import UserMistake
from velocorpus.files import replacing


def write_part(
    corpus: Corpus,
    out: Path | str,
    *,
    split: str | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    cells: Collection[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write the cells that `Corpus.read` would give as a corpus; a corpus at `out` is replaced.

    The vocabulary is the whole corpus' (models of one read the other); totals, and the gene filter that follows from
    them, are those of the cells that are in. The manifest's `subset` names the corpus. Memory: two record batches.
    """
    out = Path(out)
    if out.resolve() == corpus.path.resolve():
        raise UserMistake(f"{out} is the corpus that the subset is taken from; write it elsewhere.")
    choose, sums = corpus.chooser(where=where, cells=cells), Sums.zero(len(corpus.genes))
    wanted = [entry for entry in corpus.manifest["shards"] if split in (None, entry["split"])]
    with locked(out), replacing(out) as folder:
        entries = []
        for entry, shard in zip(wanted, corpus.shards(split), strict=True):
            path = folder / schema.SHARDS_FOLDER / shard_name(entry["group"], entry["split"])

            def named(_: str, path: Path = path) -> Path:
                return path

            rewrite_shard(shard.path, entry, choose, named, corpus.genes, sums)
            entries.append(shard_entry(folder, path))
        choose.check()
        if not sums.samples:
            raise UserMistake(
                "No cell of the corpus is in this selection; `velocorpus corpus info` lists what there is."
            )
        rows = [row | sums.samples[s] for row in corpus.samples.to_pylist() if (s := row[names.SAMPLE]) in sums.samples]
        was: dict[str, Any] = {key: corpus.manifest[key] for key in ("splits", "filter")} | {
            "version": 0,
            "missing": {},
        }
        sketches = sketch_shards(folder / entry["path"] for entry in entries)
        samples_table = pa.Table.from_pylist(rows, schema=corpus.samples.schema.remove_metadata())
        write_manifest(
            folder,
            shards=[],
            totals=[],
            vocabulary=corpus.genes,
            samples={},
            splits=Splits(*(tuple(was["splits"][name]) for name in ("validation", "test"))),
            hold_out=corpus.manifest.get("hold_out", ()),
            min_gene_counts=was["filter"]["min_gene_counts"],
            before=Left(was, None, entries, samples_table, sums.genes, sketches),
            notes={"subset": {"of": corpus.digest, "version": corpus.manifest["version"]}},
        )
    say(f"{out}: {sum(entry['rows'] for entry in entries)} cells of {len(rows)} samples")
    return out
