"""`velocorpus resolve`: accessions to committed rows of samples.tsv and units.tsv."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


class Bams(StrEnum):
    """What is done with a submitter's BAM."""

    FASTQ = "fastq"
    COUNT = "count"


class Library(StrEnum):
    """What one row of samples.tsv is."""

    EXPERIMENT = "experiment"
    BIOSAMPLE = "biosample"


@app.command("resolve")
def resolve(
    out: Annotated[Path, typer.Option(help="Folder of samples.tsv, units.tsv and runs.tsv.")],
    accessions: Annotated[list[str] | None, typer.Argument(help="SRR, SRX, SRS, SAMN, SRP, PRJNA, GSM, GSE …")] = None,
    listed: Annotated[list[Path] | None, typer.Option("--list", help="A list or table of accessions.")] = None,
    table: Annotated[list[Path] | None, typer.Option(help="A run table that is here; nothing is looked up.")] = None,
    append: Annotated[bool, typer.Option("--append", help="Extend the tables that are there.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unless every run can be used.")] = False,
    sample_by: Annotated[Library, typer.Option(help="What is one sample.")] = Library.EXPERIMENT,
    quantifier: Annotated[str, typer.Option(help="kb, starsolo or cellranger, for samples of FASTQ.")] = "kb",
    bams: Annotated[Bams, typer.Option(help="Turn a submitter's BAM to FASTQ, or count it as it is.")] = Bams.FASTQ,
    reference: Annotated[
        list[str] | None, typer.Option(help="ORGANISM=ROW of references.tsv; may be repeated.")
    ] = None,
    chemistry: Annotated[str, typer.Option(help="Of all samples, where it is known; else left empty.")] = "",
    organism: Annotated[str, typer.Option(help="Where a table does not say it.")] = "",
    study: Annotated[str, typer.Option(help="Where a table does not say it.")] = "",
    ncbi: Annotated[bool, typer.Option("--ncbi/--no-ncbi", help="Whether to ask NCBI, too.")] = True,
    config: Annotated[Path | None, typer.Option(help="A config.yaml, whose `resolve` and `fetch.proxy` count.")] = None,
    ena_url: Annotated[str | None, typer.Option(help="ENA's portal API or a mirror; before the configuration.")] = None,
    ncbi_url: Annotated[str | None, typer.Option(help="NCBI's E-utilities or a mirror.")] = None,
) -> None:
    """Look accessions up at ENA and NCBI; write what to fetch, with URLs, sizes and MD5, and what was set aside."""
    from velocorpus import names
    from velocorpus.config import WorkflowConfig, load
    from velocorpus.errors import UserMistake
    from velocorpus.reads.resolve.accessions import look_up as look_up_all
    from velocorpus.reads.resolve.accessions import services
    from velocorpus.reads.resolve.rows import Settings, tabulate
    from velocorpus.reads.resolve.tables import checked, read_accessions, read_table
    from velocorpus.reads.resolve.write import tables_in, write
    from velocorpus.table_rows import NAME
    from velocorpus.tables import READS_FROM_FASTQ

    def known(option: str, value: str, allowed: tuple[str, ...]) -> str:
        if value and value not in allowed:
            raise UserMistake(f"--{option} '{value}' is not known; allowed are {', '.join(allowed)}.")
        return value

    references = dict(pair.partition("=")[::2] for pair in reference or [])
    for name, row in references.items():
        if not row and name in names.ORGANISMS:
            raise UserMistake(f"--reference '{name}' names no row of references.tsv; write {name}=ROW.")
        known("reference", name, names.ORGANISMS)
    for name in filter(None, (study, *references.values())):
        if not NAME.fullmatch(name):
            raise UserMistake(f"'{name}' is not a usable name; allowed are letters, digits, '_', '.' and '-'.")
    settings = Settings(
        by=sample_by.value,
        quantifier=known("quantifier", quantifier, READS_FROM_FASTQ),
        bams=bams.value,
        chemistry=known("chemistry", chemistry, names.CHEMISTRIES),
        references=references,
        organism=known("organism", organism, names.ORGANISMS),
        study=study,
    )
    asked = [checked(one) for one in accessions or []] + [one for path in listed or [] for one in read_accessions(path)]
    if bool(asked) == bool(table):
        raise UserMistake("Give accessions (or --list FILE), or --table FILE for a run table that is here already.")
    there = tables_in(out, extend=append)
    if table:
        runs, siblings, absent = [run for path in table for run in read_table(path)], {}, {}
    else:
        settled = load(WorkflowConfig, config) if config else WorkflowConfig()
        ena, eutils = services(
            ena_url or settled.resolve.ena_url, ncbi_url or settled.resolve.ncbi_url, settled.fetch.proxy
        )
        found = look_up_all(asked, ena, eutils if ncbi else None)
        runs, siblings, absent = found.runs, found.siblings, found.absent
    resolved = tabulate(runs, settings, siblings)
    for sentence in absent.values():
        typer.echo(sentence, err=True)
    aside = [row for row in resolved.runs if row["state"] == "set aside"]
    for reason, members in reasons(aside).items():
        shown = f"{', '.join(members[:5])}{' …' if len(members) > 5 else ''}"
        typer.echo(
            f"{len(members)} run{'s are' if len(members) > 1 else ' is'} set aside ({shown}): {reason}", err=True
        )
    if strict and (absent or aside):
        raise UserMistake(
            f"{len(absent)} accessions are absent and {len(aside)} runs set aside, which --strict refuses; nothing was "
            "written."
        )
    if not resolved.samples:
        raise UserMistake(
            f"No run of the {len(asked) or len(runs)} asked for can be used (reasons above); nothing was written."
        )
    write(resolved, out, there)
    doubtful = sum(row["state"] == "doubtful" for row in resolved.runs)
    typer.echo(
        f"{out}: {len(resolved.samples)} samples, {len(resolved.units)} units ({doubtful} runs with a note), "
        f"{len(aside)} runs set aside, {len(absent)} accessions absent",
        err=True,
    )


def reasons(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    """The runs of each reason, in the order in which reasons are met."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["reason"], []).append(row["run"] or row["experiment"])
    return found
