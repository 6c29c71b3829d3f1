"""Which sample is in which study, group and split: everything that is fixed before any job runs.

Splits go by study, never by cell, and are named: a study that is neither for validation nor for test is for
training, so they are stable however the corpus grows. A shard group is a fixed set of samples and has one
file per split.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.errors import UserMistake
from velocorpus.files import open_text
from velocorpus.splits import Splits as Splits

# Stable-id prefixes of Ensembl genes: an organism written into the ids need not be given again.
_ENSEMBL = {"ENSG": "human", "ENSMUSG": "mouse"}
ENSEMBL_GENE = re.compile(r"^(ENS[A-Z]*G)\d{11}$")


def groups(samples: Sequence[str], size: int, start: int = 0) -> dict[str, tuple[str, ...]]:
    """Shard groups of `size` consecutive samples, named g00000, g00001, … from `start`."""
    return {f"g{start + i // size:05d}": tuple(samples[i : i + size]) for i in range(0, len(samples), size)}


def shard_name(group: str, split: str) -> str:
    """The file name of one group's cells of one split."""
    return f"{group}.{split}.feather"


def read_samples(path: Path | str | None) -> dict[str, dict[str, str]]:
    """samples.tsv by sample: its columns that follow a sample into the corpus, empty values left out."""
    if path is None:
        return {}
    with open_text(path) as handle:
        lines = [line for line in csv.reader(handle, delimiter="\t") if any(line) and not line[0].startswith("#")]
    header = [name.strip() for name in lines[0]] if lines else []
    if names.SAMPLE not in header:
        raise UserMistake(f"{path} has no column '{names.SAMPLE}'; found are {', '.join(header) or 'none'}.")
    table: dict[str, dict[str, str]] = {}
    for line in lines[1:]:
        row = {k: v.strip() for k, v in zip(header, line, strict=False) if v.strip()}
        sample = row.get(names.SAMPLE, "")
        if sample in table:
            raise UserMistake(f"{path}: sample '{sample}' stands twice; names are unique.")
        table[sample] = {k: v for k, v in row.items() if k in schema.SAMPLE_FIELDS}
    return table


def describe(
    sample: str, source: Mapping[str, Any], genes: Sequence[str], table: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """What is known of a sample, by SAMPLE_FIELDS: its row of samples.tsv, else the `source` of its counts.

    Without either, the study is the sample itself and the organism is read from Ensembl gene ids; ids that
    do not say are refused, since a wrong organism would share tokens between species.
    """
    if table and sample not in table:
        raise UserMistake(f"Sample {sample} has no row in samples.tsv; add it there.")
    given = {k: str(source[k]) for k in schema.SAMPLE_FIELDS if source.get(k) not in (None, "")}
    known = given | dict(table.get(sample, {}))
    known.setdefault(names.STUDY, sample)
    if names.ORGANISM not in known:
        prefixes = {match[1] for match in map(ENSEMBL_GENE.match, genes) if match}
        organisms = {_ENSEMBL.get(prefix, prefix) for prefix in prefixes}
        if len(organisms) != 1:
            raise UserMistake(
                f"Sample {sample}: its gene ids do not say one organism (found: "
                f"{', '.join(sorted(organisms)) or 'none'}); give it in samples.tsv (--samples), column 'organism'."
            )
        known[names.ORGANISM] = organisms.pop()
    return known
