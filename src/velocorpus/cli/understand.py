"""`velocorpus kmers`, `chemistry`, `reads-qc`, `reads-sketches`, `reads-duplicates`: what reads are, asked first."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from velocorpus import names
from velocorpus.errors import UserMistake

if TYPE_CHECKING:
    from numpy import ndarray

    from velocorpus.reads.chemistry.look import Look

File = TypeVar("File")
app = typer.Typer()

Reads = Annotated[int, typer.Option(min=200, help="Reads looked at, shared out between the lanes.")]
Window = Annotated[int, typer.Option(min=200, help="They are drawn from so many first reads of each file.")]
Seed = Annotated[int, typer.Option(help="Of the draw.")]
References = Annotated[
    list[Path] | None, typer.Option("--reference", help="A k-mer index (velocorpus kmers) for strand and organism.")
]
Lists = Annotated[
    list[str] | None, typer.Option("--whitelist", help="CHEMISTRY=FILE: a list of barcodes beside 10x's own.")
]


@app.command("kmers")
def kmers(
    fasta: Annotated[Path, typer.Option(help="Genome, plain or gzip.")],
    gtf: Annotated[Path, typer.Option(help="Gene annotation, plain or gzip.")],
    organism: Annotated[str, typer.Option(help="human or mouse.")],
    name: Annotated[str, typer.Option(help="Name of the reference.")],
    out: Annotated[Path, typer.Option(help="The index, .npz.")],
    every: Annotated[int, typer.Option(min=1, help="One of so many k-mers is kept.")] = 8,
) -> None:
    """Index a reference's exons, so that reads tell strand and organism."""
    from velocorpus.reads.chemistry.kmers import write_index
    from velocorpus.reference.kmers import build_index

    _known("--organism", organism, names.ORGANISMS)
    write_index(out, build_index(fasta, gtf, name=name, organism=organism, every=every))


@app.command("chemistry")
def chemistry(
    fastq: Annotated[list[Path] | None, typer.Argument(help="All FASTQs of one sample, in any order.")] = None,
    json: Annotated[Path | None, typer.Option(help="Verdict and evidence; written when refused, too.")] = None,
    reference: References = None,
    whitelist: Lists = None,
    expect: Annotated[
        str | None,
        typer.Option(help="Check, don't guess: FASTQs are read 1 and read 2 in turn, of this chemistry by the tables."),
    ] = None,
    expect_organism: Annotated[str | None, typer.Option(help="With --expect: the organism by the tables.")] = None,
    min_mapped: Annotated[
        float, typer.Option(min=0, max=1, help="With --expect and --reference: share of cDNA reads that match exons.")
    ] = 0.02,
    table: Annotated[
        Path | None, typer.Option(help="Fill the empty chemistries of this samples.tsv from its units' local FASTQs.")
    ] = None,
    units: Annotated[Path | None, typer.Option(help="With --table: its units.tsv.")] = None,
    reads: Reads = 20_000,
    window: Window = 200_000,
    seed: Seed = 0,
) -> None:
    """Tell the chemistry of a sample's reads, with the evidence; refuse what is unclear."""
    from velocorpus.files import write_json
    from velocorpus.reads.chemistry.contradiction import contradiction
    from velocorpus.reads.chemistry.detect import detect, look_at
    from velocorpus.reads.chemistry.roles import roles_in

    if bool(table) == bool(fastq) or bool(table) != bool(units):
        raise UserMistake("Give either FASTQs, or --table and --units.")
    _known("--expect", expect, names.CHEMISTRIES)
    _known("--expect-organism", expect_organism, names.ORGANISMS)
    lists, indices = _lists(whitelist), _indices(reference)

    def look(paths: list[Path]) -> "list[Look]":
        return look_at(paths, lists, indices, n_reads=reads, window=window, seed=seed)

    if table and units:
        from velocorpus.reads.chemistry.fill_table import fill_chemistries

        fill_chemistries(table, units, lambda paths: detect(look(paths)))
        return
    assert fastq
    looks = look(fastq)
    pairs = _pairs(looks) if expect else []
    verdict = detect(looks, [roles_in(pair) for pair in pairs] or None)
    found: dict[str, Any] = verdict.as_json() | {"sample": {"reads": reads, "window": window, "seed": seed}}
    why = "; ".join(verdict.reasons)
    if expect is None:
        refusal = None if verdict.state == "confident" else f"The chemistry is unclear: {why}."
        if verdict.candidates and refusal:
            refusal = f"{refusal[:-1]} (candidates: {', '.join(verdict.candidates)})."
    else:
        said = contradiction(verdict, pairs, chemistry=expect, organism=expect_organism, min_mapped=min_mapped)
        refusal = f"The reads contradict the tables: {said}; correct the tables or the files." if said else None
        found |= {"expected": expect, "expected_organism": expect_organism}
    if json is not None:
        write_json(json, found | {"refused": refusal})
    if refusal:
        raise UserMistake(refusal)
    label = (
        f"{verdict.chemistry}"
        if verdict.state == "confident"
        else f"{expect} by the tables; the reads alone are unclear"
    )
    organism = f", {verdict.organism}" if verdict.organism else ""
    print(f"{label}{organism}: {why}", file=sys.stderr)


@app.command("reads-qc")
def reads_qc(
    fastq: Annotated[list[Path], typer.Argument(help="Read 1 and read 2 of each lane in turn.")],
    chemistry: Annotated[str, typer.Option(help="10xv2, 10xv3, …")],
    out: Annotated[Path, typer.Option(help="What was measured, JSON; written when refused, too.")],
    sketch: Annotated[Path, typer.Option(help="The sample's molecules in brief, .npz, for reads-duplicates.")],
    sample: Annotated[str, typer.Option(help="Its name in the sketch.")],
    whitelist: Annotated[Path | None, typer.Option(help="The sample's own list of barcodes.")] = None,
    min_valid_barcodes: Annotated[float, typer.Option(min=0, max=1, help="Share of barcodes on the list.")] = 0.4,
    max_poly_t: Annotated[float, typer.Option(min=0, max=1, help="Share of cDNA reads, and of UMIs, of T.")] = 0.5,
    sketch_reads: Annotated[
        int, typer.Option(min=0, help="Reads of each lane that are sketched; 0: all.")
    ] = 10_000_000,
    reads: Reads = 20_000,
    window: Window = 200_000,
    seed: Seed = 0,
) -> None:
    """Measure a sample's reads before anything expensive; refuse it beyond the limits."""
    from velocorpus.files import write_json
    from velocorpus.reads.chemistries import chemistry_of, whitelist_path
    from velocorpus.reads.chemistry import sketch as sketches
    from velocorpus.reads.chemistry.barcode_lists import read_list
    from velocorpus.reads.chemistry.quality import measure
    from velocorpus.reads.chemistry.sampling import sample_reads

    geometry = chemistry_of(chemistry)
    barcodes = read_list(chemistry, whitelist_path(chemistry, whitelist))
    pairs = _pairs(fastq)
    each = max(2000, reads // len(pairs))
    firsts, seconds = (
        [sample_reads(x, n=each, window=window, seed=seed) for x in side] for side in zip(*pairs, strict=True)
    )
    quality = measure(firsts, seconds, barcodes, geometry.umi_len)
    failures = quality.failures(min_valid_barcodes=min_valid_barcodes, max_poly_t=max_poly_t)
    refusal = f"The reads fail their check: {'; '.join(failures)}." if failures else None
    molecules = sketches.sketch_reads([first for first, _ in pairs], barcodes, geometry.umi_len, most=sketch_reads)
    sketches.write_sketches(sketch, {sample: molecules})
    write_json(
        out, quality.as_json() | {"refused": refusal, "sample": {"reads": reads, "window": window, "seed": seed}}
    )
    if refusal:
        raise UserMistake(refusal)


@app.command("reads-sketches")
def reads_sketches(
    out: Annotated[Path, typer.Option(help="All of them, .npz.")],
    sketch: Annotated[list[Path] | None, typer.Argument(help="Files of reads-qc, or of this command.")] = None,
) -> None:
    """Put sketches into one file, in their order; samples that were set aside have none."""
    from velocorpus.reads.chemistry.sketch import write_sketches

    write_sketches(out, _sketches(sketch))


@app.command("reads-duplicates")
def reads_duplicates(
    sketch: Annotated[Path, typer.Argument(help="The sample's sketch, of reads-qc.")],
    out: Annotated[Path, typer.Option(help="Which sample it repeats, JSON; written when refused, too.")],
    earlier: Annotated[
        list[Path] | None,
        typer.Option(help="Sketches of other samples, which it must not repeat; the first that it does is named."),
    ] = None,
    max_shared: Annotated[
        float, typer.Option(min=0, max=1, help="Share of its molecules that another sample may have, too.")
    ] = 0.1,
) -> None:
    """Refuse a sample whose reads are those of another: one library that was deposited or sequenced twice."""
    from velocorpus.files import write_json
    from velocorpus.reads.chemistry.sketch import read_sketches, repeated_from

    ((sample, molecules),) = read_sketches(sketch).items()
    others = _sketches(earlier)
    others.pop(sample, None)
    of, share = repeated_from(molecules, others, max_shared) or (None, None)
    refusal = of and (
        f"{sample} shares {share:.0%} of its molecules with {of} ({max_shared:.0%} are allowed): one library twice. "
        f"Give all its reads to one of them, declare a second count by same_reads_as, or skip {of} to have {sample}"
    )
    write_json(out, {"of": of, "shared": share, "max_shared": max_shared, "compared": len(others), "refused": refusal})
    if refusal:
        raise UserMistake(f"{refusal}.")


def _sketches(files: list[Path] | None) -> "dict[str, ndarray]":
    """The sketches in files, but for those of samples that were set aside: there the reason stands instead."""
    from velocorpus.outcomes.outcome import refusal_at
    from velocorpus.reads.chemistry.sketch import read_sketches

    return {
        name: sketch for file in files or [] if refusal_at(file) is None for name, sketch in read_sketches(file).items()
    }


def _lists(given: list[str] | None) -> Any:
    from velocorpus.reads.chemistries import list_name
    from velocorpus.reads.chemistry.barcode_lists import known_lists

    lists = {}
    for name, path in map(_assignment, given or []):
        _known("--whitelist", name, names.CHEMISTRIES)
        lists[list_name(name)] = path
    return known_lists(lists)


def _known(option: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise UserMistake(f"{option} '{value}' is not known; allowed are {', '.join(allowed)}.")


def _indices(given: list[Path] | None) -> Any:
    from velocorpus.reads.chemistry.kmers import read_index

    return [read_index(path) for path in given or []]


def _assignment(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UserMistake(f"'{text}' is not NAME=FILE.")
    return name, path


def _pairs(files: "list[File]") -> "list[tuple[File, File]]":
    if len(files) % 2:
        raise UserMistake(f"{len(files)} FASTQs are no pairs; give read 1 and read 2 of each lane in turn.")
    return list(zip(files[::2], files[1::2], strict=True))
