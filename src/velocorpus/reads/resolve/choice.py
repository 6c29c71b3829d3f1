"""Which files of a run hold its barcodes and its cDNA, and whether the run is worth fetching at all.

Archives tell reads of 10x libraries apart badly: ENA's own FASTQs leave out what it takes for technical reads, and
reads that came from a BAM have their barcodes in tags only. What is known is how many reads a spot has, how long they
are, and which original files are public; from that the sources are ranked. Metadata is believed where it names another
technology; where it says nothing, the reads will judge (`velocorpus chemistry`).
"""

import re
from dataclasses import dataclass

from velocorpus.reads.resolve.runs import File, Run

ENA, ORIGINAL, SRA, BAM = "ena_fastq", "original_fastq", "sra", "original_bam"

# 10x reads with barcode and UMI: 26 bases (v2, 5'), 28 (v3, v4), a few more where sequenced with a margin.
BARCODE_BASES = (24, 32)
CDNA_BASES = 40

STRATEGIES = ("", "RNA-SEQ", "SCRNA-SEQ", "SNRNA-SEQ", "OTHER")
SOURCES = ("", "TRANSCRIPTOMIC", "TRANSCRIPTOMIC SINGLE CELL", "OTHER")
LONG_READS = ("PACBIO_SMRT", "OXFORD_NANOPORE")


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


TENX = _words(r"10x(v\d)?|10x ?genomics|chromium|cell ?ranger|next ?gem")
GENE_EXPRESSION = _words(r"gex|gene expression|mrna|cdna|sc ?rna|sn ?rna|rna|transcriptome")
OTHER_PLATFORM = _words(
    r"smart-?seq ?\d?|cel-?seq ?\d?|mars-?seq|drop-?seq|in-?drops?|split-?seq|sci-?rna(-seq)?\d?|seq-?well|"
    r"microwell(-seq)?|strt-?seq|rhapsody|parse biosciences|evercode|fluidigm|pip-?seq|quartz-?seq|dnbelab"
)
OTHER_LIBRARY = _words(
    r"adt|hto|cmo|hashtags?|hashing|antibody[- ](derived|capture|tags?|librar\w+)|feature ?barcod\w*|"
    r"(cell )?surface protein|crispr (guide )?(capture|librar\w+)|sg ?rna|grna|(tcr|bcr)(?! ?(transgenic|tg))|"
    r"v\(?d\)?j|atac"
)
# Words, whether the protocol is searched too (a series shares one text among all its libraries), what outweighs them,
# what they mean.
TELLING = (
    (_words(r"visium|slide-?seq|stereo-?seq|spatial transcriptomics"), False, None, "spatial, not single cells"),
    (
        _words(r"fixed rna profiling|(chromium|10x|gene expression|single cell)[ -]flex"),
        True,
        None,
        "probes, which see no introns",
    ),
    (OTHER_LIBRARY, False, GENE_EXPRESSION, "not a library of gene expression"),
    (_words("bulk"), False, TENX, "not single cells"),
    (OTHER_PLATFORM, False, TENX, "not 10x"),
    (OTHER_PLATFORM, True, TENX, "not 10x"),
)
READ = re.compile(
    r"^(?P<lane>(.+[_.])?)(?P<kind>[RI])?(?P<number>[1-4])(?P<rest>(_001)?\.f(ast)?q\.gz)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Choice:
    """One way to get a run's reads: pairs of (barcode read, cDNA), BAMs that are both of a pair, none for SRA."""

    source: str
    pairs: tuple[tuple[File, File], ...] = ()
    note: str = ""


def refusal(run: Run) -> str:
    """Why a run is set aside by what the archive says of it; empty when nothing speaks against it."""
    if run.closed:
        return run.closed
    if run.strategy.upper() not in STRATEGIES:
        return f"its library strategy is {run.strategy}, not RNA-Seq"
    if run.source.upper() not in SOURCES:
        return f"its library source is {run.source}, not transcriptomic"
    if run.platform.upper() in LONG_READS:
        return f"long reads ({run.platform}) are not 10x reads as they leave the short-read sequencer"
    own = _own(run)
    for words, in_protocol, outweighed, meaning in TELLING:
        text = f"{own}; {run.protocol}" if in_protocol else own
        if (said := words.search(text)) and not (outweighed and outweighed.search(text)):
            return f"its {'protocol' if in_protocol and not words.search(own) else 'title'} says '{said[0]}': {meaning}"
    if run.strategy.upper() == "OTHER" and not TENX.search(f"{own} {run.protocol}"):
        return "its library strategy is OTHER and nothing says 10x"
    return ""


def doubt(run: Run) -> str:
    """What leaves open whether a run that is taken is gene expression by 10x at all."""
    own = _own(run)
    if said := OTHER_LIBRARY.search(own):
        return f"its title says '{said[0]}' beside gene expression"
    known = TENX.search(f"{own} {run.study_title} {run.protocol}") or _barcode(run.read_lengths) is not None
    return "" if known else "nothing in the metadata says 10x"


def _own(run: Run) -> str:
    """What is said of this library alone. GEO's titles end with the strategy, which is not the library's name."""
    titles = (re.sub(r"; ?RNA-Seq$", "", title) for title in (run.title, run.sample_title, run.library))
    return "; ".join(filter(None, titles)).replace("_", " ")


def choices(run: Run) -> tuple[list[Choice], str]:
    """The ways to get barcodes and cDNA of a run, best first, and what to do when there is none."""
    lengths, found = run.read_lengths, []
    numbered = sorted((f for f in run.files if f.made_by == "ena" and _number(run, f)), key=lambda f: f.name)
    single = [f for f in run.files if f.made_by == "ena" and not _number(run, f)]
    originals = [f for f in run.files if f.made_by == "submitter" and not f.offline]
    bams = [f for f in originals if f.name.lower().endswith(".bam")]
    barcode, cdna = _barcode(lengths), max(range(len(lengths)), key=lengths.__getitem__, default=0)
    shown = " + ".join(f"{length:g}" for length in lengths)

    why = ""
    if not numbered:
        why = "ENA's one FASTQ lacks a read" if single else "no archive FASTQ is listed" if run.files else ""
    elif len(numbered) == 1:
        why = "ENA's one FASTQ lacks a read"
    elif lengths and len(lengths) != len(numbered):
        why = f"ENA has {len(numbered)} of {len(lengths)} reads ({shown} bases), which ones it does not say"
    elif lengths and barcode is None:
        why = f"no read has the length of a barcode read ({shown} bases)"
    elif not lengths and len(numbered) > 2:
        why = f"which of ENA's {len(numbered)} FASTQs hold barcodes and cDNA is not said"
    else:
        first, second = (barcode, cdna) if lengths and barcode is not None else (0, 1)
        note = ""
        if (first, second) != (0, 1):
            note = f"barcodes are in ENA's read {first + 1} and cDNA in read {second + 1} ({shown} bases)"
        pair = Choice(ENA, ((numbered[first], numbered[second]),), note)
        if lengths or not bams:
            found.append(pair)
        else:
            why = "the submitter gave a BAM, so that ENA's FASTQs may lack the barcodes"

    pairs = original_pairs(originals)
    if pairs:
        found.append(Choice(ORIGINAL, pairs, why))
    if barcode is not None:
        found.append(Choice(SRA, (), _because(why, "SRA has it with --include-technical")))
    if bams:
        hint = f"{run.title} {run.protocol} {bams[0].name}".replace("_", " ")
        note = "the submitter's BAM has the barcodes in its tags"
        if not re.search(f"{TENX.pattern}|possorted", hint, re.IGNORECASE):
            note = "the submitter's BAM may have the barcodes in its tags (CR and UR, or CB and UB)"
        found.append(Choice(BAM, tuple((bam, bam) for bam in bams), _because(why, note)))
    if not lengths and not found:
        found.append(Choice(SRA, (), _because(why, "SRA may have the technical reads; read lengths are not known")))
    if len(lengths) > 1 and barcode is None and max(lengths) >= CDNA_BASES:
        note = _because(why, "read 1 may begin with the barcode, or all reads are cDNA: `velocorpus chemistry` tells")
        fitting = len(numbered) == len(lengths) == 2
        found.append(Choice(ENA, ((numbered[0], numbered[1]),), note) if fitting else Choice(SRA, (), note))
    return found, _nothing(run, shown)


def original_pairs(files: list[File]) -> tuple[tuple[File, File], ...]:
    """Submitters' FASTQs paired by name, lane by lane: R1 with R2, or _1 with _2; index reads are left out."""
    lanes: dict[tuple[str, str], dict[int, File]] = {}
    for file in files:
        match = READ.match(file.name)
        if match and (match["kind"] or "R").upper() == "R":
            lanes.setdefault((match["lane"], match["rest"]), {})[int(match["number"])] = file
    return tuple((reads[1], reads[2]) for _, reads in sorted(lanes.items()) if {1, 2} <= reads.keys())


def _barcode(lengths: tuple[float, ...]) -> int | None:
    """Which read has the length of barcode and UMI, where another is long enough for cDNA."""
    fitting = [i for i, length in enumerate(lengths) if BARCODE_BASES[0] <= length <= BARCODE_BASES[1]]
    return fitting[0] if fitting and max(lengths) >= CDNA_BASES else None


def _number(run: Run, file: File) -> int:
    match = re.fullmatch(rf"{re.escape(run.run)}_(\d)\.fastq\.gz", file.name)
    return int(match[1]) if match else 0


def _because(why: str, then: str) -> str:
    return "; ".join(filter(None, (why, then)))


def _nothing(run: Run, shown: str) -> str:
    offline = sorted((file for file in run.files if file.offline), key=lambda file: file.name)
    has = f"SRA's reads have {shown} bases" if shown else "SRA's reads are not known"
    if offline:
        kept = f"{', '.join(file.name for file in offline[:4])}{' and more' if len(offline) > 4 else ''}"
        return (
            f"no public file holds its barcodes ({has}); the submitter's {kept} are kept offline "
            f"({offline[0].offline}): have them delivered to a bucket of yours, then put their s3:// addresses into "
            "units.tsv"
        )
    left = ", ".join(sorted(file.name for file in run.files if file.made_by == "submitter"))
    if left:
        return (
            f"only the cDNA was deposited ({has}), and the submitter's files are neither pairs of FASTQs nor BAMs "
            f"({left}): look into them, or ask the authors for the reads"
        )
    return f"only the cDNA was deposited ({has}) and no original file is listed: ask the authors for the reads"
