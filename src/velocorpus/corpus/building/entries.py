"""What a new sample brings to the manifest: its row of the table of samples, and its sketch."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.corpus.building.totals import Totals
from velocorpus.corpus.duplicates import EMPTY, Sketch, sketch_shards
from velocorpus.corpus.plan import Splits, describe
from velocorpus.corpus.shard import shard_about
from velocorpus.errors import UserMistake


def sample_row(one: Totals, samples: Mapping[str, Mapping[str, str]], splits: Splits) -> pa.Table:
    """A sample's row of samples.feather."""
    about = describe(one.sample, one.source, one.genes[names.GENE_ID].to_pylist(), samples)
    row = {
        names.SAMPLE: one.sample,
        **{name: about.get(name) for name in schema.SAMPLE_FIELDS},
        "split": splits.of(about[names.STUDY]),
        **one.figures,
        "ambiguous_present": one.ambiguous_present,
        "counts_digest": one.counts_digest,
        "source": json.dumps(one.source, sort_keys=True),
    }
    return pa.Table.from_pylist([row], schema=schema.SAMPLES_SCHEMA)


def sketches_of(shards: Iterable[Path], known: Mapping[str, tuple[str, str]]) -> dict[str, Sketch]:
    """Sketches of the samples in new shards; `known` are the split and the counts' digest of each sample.

    Refused: a shard of other counts than the sample's totals, and a cell in a shard of another split than its study's.
    """
    found: dict[str, Sketch] = {}
    for path in shards:
        about = shard_about(path)
        split = about["split"]
        for sample, digest in about["counts"].items():
            if known.get(sample, (split, digest))[1] != digest:
                raise UserMistake(
                    f"The shard {path} was made of other counts of sample {sample} than the sample's totals; make both "
                    "again."
                )
        for sample, sketch in sketch_shards([path]).items():
            if known.get(sample, (split, ""))[0] != split:
                raise UserMistake(
                    f"The shard {path} is of the split '{split}' and has cells of sample {sample}, whose study belongs "
                    f"to '{known[sample][0]}'; make the shards of its group again."
                )
            found[sample] = found.get(sample, EMPTY) + sketch
    return found
