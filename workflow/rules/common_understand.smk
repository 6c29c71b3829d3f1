"""What the checks of reads ask of the tables; it has no rule."""

from velocorpus.outcomes.outcome import refusal_at
from velocorpus.reads.chemistry.blocks import blocks_before, parts_of


def checked_as(name):
    """The sample whose check of reads holds for this one: those of a second count are the first one's."""
    return with_the_same_reads(name, "from_fastq", "reference", "chemistry", "whitelist")


# Samples whose reads are checked before they are aligned, in the order of the table.
CHECKED_SAMPLES = {
    name: checked_as(name)
    for name, sample in TABLES.samples.items()
    if CONFIG.reads_qc.enabled and sample.from_fastq and not sample.skip
}


# Rows whose reads must not be those of a row above. A row that is skipped keeps its place, so that no block changes.
LIBRARIES = [name for name, sample in TABLES.samples.items() if sample.from_fastq and sample.in_corpus]


def understood(wildcards):
    """What says that a sample's reads are what the tables say: an input of all that quantifies reads."""
    checked = [CHECKED_SAMPLES[wildcards.sample]] if wildcards.sample in CHECKED_SAMPLES else []
    return [
        *(f"results/understood/{sample}/{name}.json" for sample in checked for name in ("chemistry", "qc")),
        *not_repeated(wildcards.sample),
    ]


def not_repeated(name):
    """What says that a sample's reads, or those of which it is a second count, are no earlier row's."""
    first = TABLES.samples[name].same_reads_as or name
    if first not in CHECKED_SAMPLES or first not in LIBRARIES:
        return []
    path = f"results/understood/{first}/duplicates.json"
    # What is counted is not counted again because rows came or went above it; what was set aside is, when it may be.
    outcome = refusal_at(f"results/counts/{name}/outcome.json")
    return [path] if outcome and outcome.stage == "duplicates" else [ancient(path)]


def sketches_in(blocks):
    """The files with the sketches of blocks of `LIBRARIES`; a block of one row is that sample, when it is checked."""
    return [
        (
            f"results/understood/sketches/{size}/{number}.npz"
            if size > 1
            else f"results/understood/{LIBRARIES[number]}/sketch.npz"
        )
        for size, number in blocks
        if size > 1 or LIBRARIES[number] in CHECKED_SAMPLES
    ]


def sketches_of_block(wildcards):
    return sketches_in(parts_of(int(wildcards.size), int(wildcards.number)))


def sketches_above(wildcards):
    """The sketches of all rows above; of none where samples are not compared."""
    compared = CONFIG.reads_qc.max_shared < 1
    return sketches_in(blocks_before(LIBRARIES.index(wildcards.sample))) if compared else []


def trial_references(wildcards):
    """Indices of the sample's own reference and of one reference of each other species."""
    own = TABLES.references[TABLES.samples[wildcards.sample].reference]
    first = {own.organism: own.reference}
    for name, reference in TABLES.references.items():
        if reference.fasta:
            first.setdefault(reference.organism, name)
    return [f"results/index/kmers/{name}.npz" for name in first.values()]


def chemistry_options(wildcards, input):
    """Options that only some samples need."""
    sample = TABLES.samples[wildcards.sample]
    lists = [f"{sample.chemistry}={sample.whitelist}"] if sample.whitelist else []
    return [*repeated("--reference", input.references), *repeated("--whitelist", lists)]
