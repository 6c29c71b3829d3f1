"""`velocorpus fetch` and `velocorpus whitelist`: what quantifiers read."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("fetch")
def fetch(
    source: Annotated[str, typer.Argument(help="A path, http(s)://… or s3://bucket/key.")],
    out: Annotated[Path, typer.Option(help="Where the file goes; it stands there verified or not at all.")],
    md5: Annotated[str | None, typer.Option(help="Its MD5, checked before it gets its name.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="More tries after a broken transfer.")] = 5,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Ask S3 without credentials.")] = False,
    chemistry: Annotated[str | None, typer.Option(help="Of a FASTQ: its reads must fit this chemistry.")] = None,
    read: Annotated[int | None, typer.Option(min=1, max=2, help="With --chemistry: read 1 or read 2.")] = None,
) -> None:
    """Fetch one file of reads, verified, to a local path."""
    from functools import partial

    from velocorpus.errors import UserMistake
    from velocorpus.reads.fetch import fetch as fetch_file
    from velocorpus.reads.lengths import check_lengths

    check = None
    if chemistry is not None and read is not None:
        check = partial(check_lengths, name=chemistry, read=read, source=source)
    elif chemistry is not None or read is not None:
        raise UserMistake("--chemistry and --read go together: give both or neither.")
    fetch_file(source, out, md5=md5 or None, retries=retries, unsigned=unsigned, check=check)


@app.command("whitelist")
def whitelist(
    chemistry: Annotated[str, typer.Argument(help="10xv2, 10xv3, 10xv4, 10xv2_5p or 10xv3_5p.")],
    out: Annotated[Path, typer.Option(help="Plain text, one barcode a line.")],
    given: Annotated[Path | None, typer.Option(help="The sample's own list, plain or gzip, instead of 10x's.")] = None,
) -> None:
    """Write the allowed barcodes of a chemistry as plain text, as STAR wants them."""
    from velocorpus.reads.chemistries import write_whitelist

    write_whitelist(chemistry, out, given)
