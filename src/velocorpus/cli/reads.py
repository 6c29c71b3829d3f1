"""`velocorpus fetch` and `velocorpus whitelist`: what quantifiers read."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("fetch")
def fetch(
    source: Annotated[str, typer.Argument(help="A path, http(s)://…, s3://bucket/key or sra:RUN.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The file's new name, which it gets when it is verified; of sra:RUN: the folder for its reads."
        ),
    ],
    read2: Annotated[
        Path | None,
        typer.Option(help="Of sra:RUN, or of a BAM to be turned to FASTQ: --out is read 1, this is read 2."),
    ] = None,
    md5: Annotated[str | None, typer.Option(help="Its MD5, checked before it gets its name.")] = None,
    n_bytes: Annotated[str | None, typer.Option("--bytes", help="Its size, checked before it is fetched.")] = None,
    chemistry: Annotated[str | None, typer.Option(help="Of a FASTQ: its reads must fit this chemistry.")] = None,
    read: Annotated[int | None, typer.Option(min=1, max=2, help="With --chemistry: read 1 or read 2.")] = None,
    whitelist: Annotated[Path | None, typer.Option(help="With --read2: the sample's own list of barcodes.")] = None,
    config: Annotated[Path | None, typer.Option(help="config.yaml, for its section `fetch`.")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, max=64, help="Connections for one file.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="More tries in a row after it broke.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Ask S3 without credentials.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Of sra:RUN and --read2: to unpack and compress.")] = 1,
) -> None:
    """Fetch one file of reads, verified, to a local path; both reads of a source that holds both."""
    from functools import partial

    from velocorpus.config import FetchConfig, WorkflowConfig, load
    from velocorpus.errors import UserMistake
    from velocorpus.reads.chemistries import chemistry_of
    from velocorpus.reads.chemistry.lengths import check_lengths
    from velocorpus.reads.fetch.file import fetch as fetch_file
    from velocorpus.reads.fetch.pairs import fetch_pair, fetch_run
    from velocorpus.table_rows import MD5

    given = {"parallel": parallel, "retries": retries, "s3_unsigned": unsigned or None}
    how = load(WorkflowConfig, config).fetch if config else FetchConfig()
    how = how.model_copy(update={key: value for key, value in given.items() if value is not None})
    if n_bytes and not n_bytes.isdecimal():
        raise UserMistake(f"--bytes {n_bytes}: give a whole number.")
    if md5 and not MD5.fullmatch(md5.lower()):
        raise UserMistake(f"{source}: --md5 {md5} is not an MD5 (32 digits 0-9a-f).")
    size, is_run = int(n_bytes) if n_bytes else None, source.startswith("sra:")
    if is_run and (md5 or size):
        raise UserMistake(
            f"{source} is checked by vdb-validate, as archives' copies of a run differ; leave out --md5 and --bytes."
        )
    if chemistry is not None:
        # A name that is none is said now, not after hours.
        chemistry_of(chemistry)
    if read2 is not None:
        if chemistry is None or read is not None:
            raise UserMistake("--read2 needs --chemistry, by which the reads are told apart, and no --read.")
        return fetch_pair(
            source,
            out,
            read2,
            chemistry=chemistry,
            whitelist=whitelist,
            md5=md5 or None,
            size=size,
            how=how,
            threads=threads,
        )
    if (chemistry is None) != (read is None):
        raise UserMistake("--chemistry and --read go together: give both or neither.")
    if is_run and read is not None:
        raise UserMistake(f"{source} holds every read; give --read2, or no --chemistry for all of them in a folder.")
    if is_run:
        return fetch_run(source, out, how=how, threads=threads)
    check = partial(check_lengths, name=chemistry, read=read, source=source) if chemistry and read else None
    return fetch_file(source, out, md5=md5 or None, size=size, how=how, check=check)


@app.command("whitelist")
def whitelist(
    chemistry: Annotated[str, typer.Argument(help="10xv2, 10xv3, 10xv4, 10xv2_5p, 10xv3_5p or 10xmultiome.")],
    out: Annotated[Path, typer.Option(help="Plain text, one barcode a line.")],
    given: Annotated[Path | None, typer.Option(help="The sample's own list, plain or gzip, instead of 10x's.")] = None,
) -> None:
    """Write the allowed barcodes of a chemistry as plain text, as STAR wants them."""
    from velocorpus.reads.chemistries import write_whitelist

    write_whitelist(chemistry, out, given)
