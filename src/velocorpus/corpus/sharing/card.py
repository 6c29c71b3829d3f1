"""The dataset card: README.md of a published corpus, made of its manifest and tables, and so the same every time.

What the tables do not know, a person says in `studies.tsv` beside the manifest: title, licence, citation and address
of a study. What nobody says is "not known".
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from velocorpus import names
from velocorpus.cells.filter import Cuts
from velocorpus.corpus.info import corpus_figures
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.sharing.contents import CARD_FILE, STUDIES_FILE
from velocorpus.errors import UserMistake
from velocorpus.files import open_text, write_text

STUDY_COLUMNS = (names.STUDY, "title", "licence", "citation", "url")
UNKNOWN = "not known"
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def write_card(corpus: Corpus, folder: Path | str) -> None:
    """Write `README.md` and a `studies.tsv` with a row for every study of the corpus into `folder`.

    What is known of the studies comes from the corpus' own `studies.tsv`; a study there that the corpus lacks, a
    column that the table does not have, and a study that stands twice are refused.
    """
    studies = _studies(corpus)
    text = io.StringIO()
    table = csv.DictWriter(text, STUDY_COLUMNS, delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(studies.values())
    write_text(Path(folder) / STUDIES_FILE, text.getvalue())
    write_text(Path(folder) / CARD_FILE, card(corpus, studies))


def without_licence(corpus: Corpus) -> list[str]:
    """Studies whose licence nobody has said."""
    return [study for study, about in _studies(corpus).items() if not about["licence"]]


def _studies(corpus: Corpus) -> dict[str, dict[str, str]]:
    known = sorted(set(corpus.samples[names.STUDY].to_pylist()))
    studies = {study: dict.fromkeys(STUDY_COLUMNS, "") | {names.STUDY: study} for study in known}
    path = corpus.path / STUDIES_FILE
    if not path.exists():
        return studies
    with open_text(path) as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    seen = set()
    for line in lines:
        study = line.get(names.STUDY)
        strange = [str(column) for column in line if column not in STUDY_COLUMNS]
        if study is None or strange:
            raise UserMistake(
                f"{path}: columns are {', '.join(STUDY_COLUMNS)} (only the first is needed), tab-separated; found "
                f"{', '.join(strange) or 'no study'}."
            )
        if study not in studies or study in seen:
            why = "stands twice" if study in seen else f"is not in the corpus, which has {', '.join(known[:20])}"
            raise UserMistake(f"{path}: study '{study}' {why}; correct the table.")
        seen.add(study)
        studies[study] |= {column: " ".join((value or "").split()) for column, value in line.items()}
    return studies


def card(corpus: Corpus, studies: dict[str, dict[str, str]]) -> str:
    """The text of the card; `studies`: the rows of studies.tsv by study."""
    manifest, figures = corpus.manifest, corpus_figures(corpus)
    rows = corpus.samples.to_pylist()
    organisms = sorted({row[names.ORGANISM] for row in rows})
    digest = f"version {manifest['version']}, SHA-256 of `manifest.json` {corpus.digest}"
    sections = {
        "What this is": [
            f"{manifest['cells']:,} cells of {len(rows):,} samples and {len(studies):,} studies of "
            f"{' and '.join(organisms)}: spliced, unspliced and ambiguous molecule counts of every gene, raw integers, "
            "for RNA velocity. Made by "
            f"{manifest['made_by']} as one corpus with one filter: {digest}.",
            *_subset(manifest),
        ],
        "Sizes": [
            _markdown(
                ("split", "cells", "samples", "studies", "bytes"),
                [_split_row(split, rows, manifest) for split in names.SPLITS],
            ),
            f"{figures['genes']:,} genes, of which {figures['genes_kept']:,} pass the gene filter; "
            f"{figures['bytes_per_cell']:,.0f} bytes per cell, {figures['bits_per_nonzero']:.2f} bits per count. "
            "Splits go by study, never by cell.",
        ],
        "Read it": [_READ],
        "Where it comes from": [
            _markdown(
                ("study", "title", "organism", "tissue", "split", "samples", "cells", "licence", "source"),
                [_study_row(about, [row for row in rows if row[names.STUDY] == s]) for s, about in studies.items()],
            ),
            "`samples.feather` has the accessions (experiment, run, biosample), donor, disease, chemistry and "
            "quantifier of each sample. The licence of each study holds for its cells, not one for the whole.",
        ],
        "How it was filtered": [
            f"A cell is in when its {manifest['filter']['layer']} counts over all genes reach "
            f"{manifest['filter']['min_counts']:,}: {manifest['cells']:,} of "
            f"{sum(row['cells_in'] for row in rows):,} cells. {_cuts(manifest)}A gene is marked "
            f"`kept` in `genes.feather` when its {manifest['filter']['layer']} counts over these cells reach "
            f"{manifest['filter']['min_gene_counts']:,}; counts of the others are here too, and left out on reading.",
        ],
        "Known limits": [_bullets(_limits(manifest, rows, studies))],
        "How to cite": [
            f"Cite velocorpus with this corpus' {digest}, and the studies whose cells you use"
            + (":" if any(about["citation"] for about in studies.values()) else "."),
            _bullets(f"{study}: {about['citation']}" for study, about in studies.items() if about["citation"]),
        ],
    }
    body = "\n".join(
        f"## {title}\n\n" + "\n\n".join(part for part in parts if part) + "\n" for title, parts in sections.items()
    )
    return f"---\n{_metadata(manifest, studies)}---\n\n# RNA velocity corpus\n\n{body}"


_READ = """\
`manifest.json` names every file with its SHA-256. `velocorpus corpus pull` brings the corpus or a part of it, verified;
`velocorpus.corpus.Corpus("corpus").read(split="train")` reads it. Without velocorpus, in this folder:

```python
import yaml
from datasets import load_dataset
about = yaml.safe_load(open("README.md").read().split("---")[1])
data = load_dataset("arrow", data_files={one["split"]: one["path"] for one in about["configs"][0]["data_files"]})
```

A row is a cell. `spliced_frequent`, `spliced_rare` and `spliced_more` (and so for the other layers) are bytes in
which 255 means "255 and go on"; `first` is the smallest token of the cell's organism in `genes.feather`, whose row
number is the token:

```python
import numpy as np
frequent, rare, more = (
    np.diff(np.cumsum(b, dtype=np.int64)[b != 255], prepend=0)
    for b in (np.array(cell["spliced_" + part], "uint8") for part in ("frequent", "rare", "more"))
)
tokens = first - 1 + np.concatenate([np.cumsum(frequent // 5), 4096 + np.cumsum(rare // 5)])
counts = np.concatenate([frequent, rare]) % 5 + 1
counts[counts == 5] += more
```"""


def _metadata(manifest: dict[str, Any], studies: dict[str, dict[str, str]]) -> str:
    """The YAML of the card, in which JSON strings are strings. Shards without cells are left out."""
    licences = {about["licence"] for about in studies.values()}
    one = licences.pop() if len(licences) == 1 else ""
    size = next((word for most, word in _SIZES if manifest["cells"] < most), "10M<n<100M")
    lines = [
        "pretty_name: RNA velocity corpus",
        f"license: {'other' if licences or one else 'unknown'}",
        *([f"license_name: {json.dumps(one, ensure_ascii=False)}"] if one else []),
        f"size_categories: [{json.dumps(size)}]",
        "tags: [biology, single-cell, transcriptomics, rna-velocity]",
        "viewer: false",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split in names.SPLITS:
        paths = [entry["path"] for entry in manifest["shards"] if entry["split"] == split and entry["rows"]]
        if paths:
            lines += [f"  - split: {split}", "    path:", *(f"    - {json.dumps(path)}" for path in sorted(paths))]
    return "\n".join(lines) + "\n"


def _subset(manifest: dict[str, Any]) -> list[str]:
    about = manifest.get("subset")
    return (
        [f"A part of version {about['version']} of the corpus whose manifest has SHA-256 {about['of']}."]
        if about
        else []
    )


def _split_row(split: str, rows: Sequence[dict[str, Any]], manifest: dict[str, Any]) -> list[str]:
    mine = [row for row in rows if row["split"] == split]
    n_bytes = sum(entry["bytes"] for entry in manifest["shards"] if entry["split"] == split)
    figures = sum(row["cells"] for row in mine), len(mine), len({row[names.STUDY] for row in mine}), n_bytes
    return [split, *(f"{figure:,}" for figure in figures)]


def _study_row(about: dict[str, str], rows: Sequence[dict[str, Any]]) -> list[str]:
    def values(column: str) -> str:
        return ", ".join(sorted({row[column] for row in rows if row[column]})) or UNKNOWN

    figures = f"{len(rows):,}", f"{sum(row['cells'] for row in rows):,}"
    first, rest = values(names.ORGANISM), (about["licence"] or UNKNOWN, about["url"])
    return [about[names.STUDY], about["title"], first, values("tissue"), values("split"), *figures, *rest]


def _cuts(manifest: Mapping[str, Any]) -> str:
    applied = Cuts.of(manifest["filter"]).applied
    bounds = ", ".join(f"{name} {bound:g}" for name, bound in applied.items())
    return f"Further bounds: {bounds}; a cell whose value is not known passes. " if applied else ""


def _limits(
    manifest: dict[str, Any], rows: Sequence[dict[str, Any]], studies: dict[str, dict[str, str]]
) -> Iterable[str]:
    """What a reader must know, with numbers."""
    unlicensed = [study for study, about in studies.items() if not about["licence"]]
    if unlicensed:
        yield f"The licence of {len(unlicensed)} of {len(studies)} studies is not known here: ask their source."
    without = [row for row in rows if not row["ambiguous_present"]]
    if without:
        some = ", ".join(row[names.SAMPLE] for row in without[:5]) + (", …" if len(without) > 5 else "")
        yield f"{len(without)} of {len(rows)} samples have no ambiguous layer, its zeros mean nothing there: {some}."
    for column, what in (("suspension_type", "cells or nuclei"), ("chemistry", "which chemistry")):
        found: dict[str, int] = defaultdict(int)
        for row in rows:
            found[row[column] or UNKNOWN] += 1
        yield f"By {what}: {', '.join(f'{value} {n} samples' for value, n in sorted(found.items()))}."
    quantifiers = sorted({row["quantifier"] or UNKNOWN for row in rows})
    if len(quantifiers) > 1:
        yield f"Counts are of several quantifiers ({', '.join(quantifiers)}), which do not agree to the molecule."
    if manifest["missing"]:
        why = "; ".join(f"{sample}: {reason}" for sample, reason in sorted(manifest["missing"].items())[:20])
        yield f"{len(manifest['missing'])} samples were refused and are missing ({why})."
    for removed in manifest.get("removed", []):
        yield f"Sample {removed[names.SAMPLE]} was taken out in version {removed['version']}: {removed['because']}."
    for pair in manifest.get("duplicates", []):
        yield f"Samples {' and '.join(pair['samples'])} seem to be the same library twice: use one of them."
    yield "Doublets and ambient molecules were not removed; barcodes of one sample are one library, not one donor."


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
