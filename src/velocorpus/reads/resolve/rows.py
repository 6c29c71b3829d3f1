"""Runs to libraries (one an experiment, or one a biosample) and to rows of samples.tsv, units.tsv and runs.tsv."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from velocorpus.reads.resolve.choice import BAM, SRA, Choice, choices, doubt, refusal
from velocorpus.reads.resolve.runs import Run, natural, natural_key

ORGANISMS = {"homo sapiens": "human", "mus musculus": "mouse", "9606": "human", "10090": "mouse"}
NUCLEI = re.compile(r"\b(nucleus|nuclei|sn ?rna)\b|single[- ]nucle", re.IGNORECASE)
CELLS = re.compile(r"\b(single[- ]cells?|sc ?rna)\b", re.IGNORECASE)

Row = dict[str, str]


@dataclass(frozen=True)
class Settings:
    """What no archive says.

    `organism` and `study` fill gaps; `references` maps an organism to a row of references.tsv; `bams`: whether a
    submitter's BAM is turned to FASTQ or counted as it is aligned.
    """

    by: Literal["experiment", "biosample"] = "experiment"
    quantifier: str = "kb"
    bams: Literal["fastq", "count"] = "fastq"
    chemistry: str = ""
    references: Mapping[str, str] = field(default_factory=dict)
    organism: str = ""
    study: str = ""


@dataclass
class Resolved:
    """Rows of the three tables, each sorted."""

    samples: list[Row]
    units: list[Row]
    runs: list[Row]


def tabulate(runs: Sequence[Run], settings: Settings, siblings: Mapping[str, set[str]] | None = None) -> Resolved:
    """The tables' rows for `runs`; a run that cannot be used stands in `runs` only, with the reason."""
    libraries: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        libraries[_named(run, settings) or run.experiment or run.run].append(run)
    resolved = Resolved([], [], [])
    for name in natural(libraries):
        _library(name, libraries[name], settings, (siblings or {}).get(name, set()), resolved)
    return resolved


def _library(name: str, runs: list[Run], settings: Settings, siblings: set[str], into: Resolved) -> None:
    unsure = f"its {settings.by} is not said or is several, so that other runs of it would be other samples"
    lone = [] if _named(runs[0], settings) else [unsure]
    runs = sorted(runs, key=lambda run: natural_key(run.run))
    aside = {run: why for run in runs if (why := _unusable(run, settings))}
    organisms = sorted({_organism(run, settings) for run in runs if run not in aside})
    if len(organisms) > 1:
        several = f"the runs of {name} are of several organisms: {', '.join(organisms)}"
        aside = {run: aside.get(run, several) for run in runs}
    picked: dict[Run, Choice] = {}
    for run in runs:
        if run not in aside:
            found, nothing = choices(run)
            if found:
                picked[run] = found[0]
            else:
                aside[run] = nothing
    # The quantifier `bam` takes one file; several BAMs of a library can only be turned to FASTQ.
    bam_files = [file for choice in picked.values() if choice.source == BAM for file, _ in choice.pairs]
    count_bam = settings.bams == "count" and len(picked) == len(bam_files) == 1
    partial = [f"the library's run {run.run} is set aside" for run in runs if run in aside] if picked else []
    unasked = [f"the library's run {other} was not asked for" for other in natural(siblings - {r.run for r in runs})]
    for run in runs:
        notes = [*run.remarks]
        if run in picked:
            notes = [*filter(None, (picked[run].note, doubt(run))), *notes, *lone, *partial, *unasked]
            into.units += _units(name, run, picked[run], "; ".join(notes), count_bam)
        into.runs.append(_report(name, run, picked.get(run), aside.get(run, ""), notes))
    if picked:
        into.samples.append(_sample(name, list(picked), settings, "bam" if count_bam else settings.quantifier))


def _named(run: Run, settings: Settings) -> str:
    """The library that a run says it is of; pooled biosamples are none."""
    name = run.biosample if settings.by == "biosample" else run.experiment
    return "" if ";" in name else name


def _unusable(run: Run, settings: Settings) -> str:
    if not run.run:
        return "no run is named: look it up (--list)"
    if why := refusal(run):
        return why
    organism = _organism(run, settings)
    if not organism:
        return "its organism is not said: give --organism"
    if organism not in ORGANISMS.values():
        return f"its organism is {organism}; velocorpus knows {' and '.join(dict.fromkeys(ORGANISMS.values()))}"
    return "" if _study(run, settings) else "its study is not said: give --study, or look it up (--list)"


def _organism(run: Run, settings: Settings) -> str:
    said = run.organism.replace("_", " ")
    known = ORGANISMS.get(said.lower()) or ORGANISMS.get(run.tax_id)
    return known or said or settings.organism


def _study(run: Run, settings: Settings) -> str:
    return run.study.split(";")[0] or run.sra_study or settings.study


def _sample(name: str, runs: list[Run], settings: Settings, quantifier: str) -> Row:
    organism = _organism(runs[0], settings)
    own = " ".join(f"{run.title} {run.sample_title} {run.library}" for run in runs).replace("_", " ")
    return {
        "sample": name,
        "study": _study(runs[0], settings),
        "organism": organism,
        "quantifier": quantifier,
        "reference": settings.references.get(organism, ""),
        "chemistry": settings.chemistry,
        "title": runs[0].title or runs[0].sample_title,
        "tissue": _agreed(run.tissue for run in runs),
        "disease": _agreed(run.disease for run in runs),
        "suspension_type": "nucleus" if NUCLEI.search(own) else "cell" if CELLS.search(own) else "",
        "experiment": ";".join(natural({run.experiment for run in runs if run.experiment})),
        "run": ";".join(run.run for run in runs),
        "biosample": _agreed(run.biosample or run.sra_sample for run in runs),
    }


def _units(name: str, run: Run, choice: Choice, note: str, count_bam: bool) -> list[Row]:
    if choice.source == SRA:
        size = next((file.bytes for file in run.files if file.made_by == "sra"), "")
        # Both reads come out of one dump; which of its files is which, the content says.
        both = dict.fromkeys(("read1", "read2"), f"sra:{run.run}")
        return [{"sample": name, "unit": run.run, **both, "read1_bytes": size, "note": note}]
    rows = []
    for number, pair in enumerate(choice.pairs, 1):
        row = {"sample": name, "unit": run.run if len(choice.pairs) == 1 else f"{run.run}_{number}"}
        for column, file in zip(("path",) if count_bam else ("read1", "read2"), pair, strict=False):
            row |= {column: file.url, f"{column}_md5": file.md5, f"{column}_bytes": file.bytes}
        # Both reads come out of one BAM, which is fetched once.
        if choice.source == BAM and not count_bam:
            row |= {"read2_md5": "", "read2_bytes": ""}
        rows.append(row | {"note": note})
    return rows


def _report(name: str, run: Run, choice: Choice | None, aside: str, notes: list[str]) -> Row:
    return {
        "run": run.run,
        "state": "set aside" if choice is None else "doubtful" if notes else "used",
        "reason": "; ".join(filter(None, (aside, *notes))),
        "source": choice.source if choice else "",
        "sample": name,
        "experiment": run.experiment,
        "biosample": run.biosample or run.sra_sample,
        "study": run.study,
        "sra_study": run.sra_study,
        "aliases": run.aliases,
        "organism": run.organism,
        "layout": run.layout,
        "strategy": run.strategy,
        "library_source": run.source,
        "platform": run.platform,
        "spots": run.spots,
        "read_lengths": ";".join(f"{length:g}" for length in run.read_lengths),
        "title": run.title or run.sample_title,
    }


RUN_COLUMNS = tuple(_report("", Run(), None, "", []))


def _agreed(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ""
