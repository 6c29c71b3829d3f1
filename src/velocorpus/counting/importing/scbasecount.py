"""From a table of scBaseCount's experiments to samples.tsv and units.tsv: each of its files is one sample of ours.

Arc Institute publishes, per release, `h5ad/Velocyto/{Organism_name}/{experiment}.h5ad`, and one row an experiment in
`metadata/{feature}/{Organism_name}/sample_metadata.parquet` (`srx_accession`, `organism`, `tissue`, `disease`,
`lib_prep`, `tech_10x`, `cell_prep`, ...). What is taken from a table: experiments of a known organism and, where the
table says it, gene expression by 10x. No table says which study an experiment is of.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import existing, write_text
from velocorpus.table_rows import REMOTE

ORGANISMS = {"Homo sapiens": "human", "Mus musculus": "mouse"}
# `multiome` is the RNA half of it; the other technologies are no counts of genes, or of probes (flex).
GENE_EXPRESSION = ("3_prime_gex", "5_prime_gex", "multiome")
SUSPENSION = {"single_cell": "cell", "single_nucleus": "nucleus"}
_NOT_GIVEN = {"", "nan", "none", "unsure", "unknown", "other", "not specified", "not applicable"}
_EXPERIMENT = ("srx_accession", "experiment", "experiment_accession")
_STUDY = ("study", "study_accession", "secondary_study_accession", "bioproject")


@dataclass(frozen=True)
class Rows:
    """Rows of both tables, and of how many experiments each reason left none."""

    samples: tuple[Mapping[str, str], ...]
    units: tuple[Mapping[str, str], ...]
    left_out: Mapping[str, int]


def rows_of(
    table: Path,
    *,
    prefix: str,
    studies: Path | None = None,
    organisms: Sequence[str] = names.ORGANISMS,
    genes: str = "",
    suffix: str = ".h5ad",
) -> Rows:
    """Make the rows; `prefix` is the folder (or `s3://`, `https://`) that holds `Homo_sapiens/{experiment}.h5ad`.

    `studies` maps each experiment to its study (the samples.tsv of `velocorpus resolve` does); without it every
    experiment is a study of its own. Refused: a table without accessions or organisms, an experiment that stands
    twice or has no study, a `gs://` prefix, and tables of which nothing is left.
    """
    if "://" in prefix and not REMOTE.match(prefix):
        raise UserMistake(
            f"{prefix}: no way to fetch this; scBaseCount's bucket makes the reader pay, so copy what you need (`gcloud"
            " storage cp --billing-project`) to a folder or a bucket of S3 and give that."
        )
    frame = _read(table)
    experiment_column = _column(frame, table, _EXPERIMENT)
    organism_column = _column(frame, table, ("organism",))
    study_of = _studies(studies) if studies is not None else None
    left_out: Counter[str] = Counter()
    samples, units = [], []
    for row in frame.to_dict("records"):
        experiment, organism = row[experiment_column], row[organism_column]
        reason = _left_out(row, ORGANISMS.get(organism), organisms)
        if reason:
            left_out[reason] += 1
            continue
        if study_of is not None and experiment not in study_of:
            raise UserMistake(f"{studies} has no study for {experiment}; add it, or leave the row out of {table}.")
        samples.append(
            {
                "sample": experiment,
                "study": study_of[experiment] if study_of is not None else experiment,
                "organism": ORGANISMS[organism],
                "quantifier": "import",
                "reference": "",
                "chemistry": "",
                "genes": genes,
                "tissue": _given(row.get("tissue", "")),
                "suspension_type": SUSPENSION.get(row.get("cell_prep", ""), ""),
                "disease": _given(row.get("disease", "")),
                "experiment": experiment,
                "intron_mode": "yes",
            }
        )
        path = f"{prefix.rstrip('/')}/{organism.replace(' ', '_')}/{experiment}{suffix}"
        units.append({"sample": experiment, "unit": "counts", "path": path})
    if not samples:
        raise UserMistake(f"{table}: no experiment is left ({_told(left_out)}); give another table or organism.")
    twice = [name for name, n in Counter(row["sample"] for row in samples).items() if n > 1]
    if twice:
        raise UserMistake(f"{table}: {len(twice)} experiments stand twice (first: {twice[0]}); keep one row of each.")
    return Rows(tuple(samples), tuple(units), dict(left_out))


def write_tables(rows: Rows, samples: Path, units: Path) -> list[str]:
    """Write both tables, which must not be there yet; returns what there is to tell."""
    for path in (samples, units):
        if path.exists():
            raise UserMistake(f"{path} is there already; name another file, and join the tables by hand.")
    for path, table in ((samples, rows.samples), (units, rows.units)):
        lines = [list(table[0]), *(list(row.values()) for row in table)]
        write_text(path, "".join("\t".join(line) + "\n" for line in lines))
    n_studies = len({row["study"] for row in rows.samples})
    said = [f"{samples}, {units}: {len(rows.samples)} experiments of {n_studies} studies"]
    return said + ([f"note: left out are {_told(rows.left_out)}"] if rows.left_out else [])


def _left_out(row: Mapping[str, str], organism: str | None, organisms: Sequence[str]) -> str:
    if organism is None or organism not in organisms:
        return "of another organism"
    if row.get("lib_prep", "10x_Genomics") != "10x_Genomics":
        return "not by 10x"
    return "" if row.get("tech_10x", GENE_EXPRESSION[0]) in GENE_EXPRESSION else "not gene expression"


def _told(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items())) or "the table is empty"


def _given(value: str) -> str:
    """One line of text without tabs; empty for the many ways in which the table says that it does not know."""
    value = " ".join(value.split())
    return "" if value.lower().replace("_", " ") in _NOT_GIVEN else value


def _studies(path: Path) -> dict[str, str]:
    frame = _read(path)
    return dict(zip(frame[_column(frame, path, _EXPERIMENT)], frame[_column(frame, path, _STUDY)], strict=True))


def _read(path: Path) -> pd.DataFrame:
    path = existing(path, "table")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).astype(str)
        tabs = ".tsv" in path.suffixes or ".txt" in path.suffixes
        return pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t" if tabs else ",")
    except (ValueError, OSError) as error:
        raise UserMistake(f"{path} cannot be read as a table ({error}); give CSV, TSV or Parquet.") from None


def _column(frame: pd.DataFrame, path: Path, allowed: Sequence[str]) -> str:
    found = next((column for column in allowed if column in frame), None)
    if found is None:
        raise UserMistake(f"{path} has no column {' or '.join(allowed)} (found: {', '.join(map(str, frame))}).")
    return found
