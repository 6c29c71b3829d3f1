"""What the checks of reads ask of the tables; it has no rule."""

from velocorpus.outcomes.outcome import refusal_at


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
# So many sketches are put into one file, and so many of those: each sample then waits for few files.
BLOCK = 16


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


def sketches_between(start, end):
    return [
        f"results/understood/{name}/sketch.npz" for name in LIBRARIES[start:end] if name in CHECKED_SAMPLES
    ]


def sketches_of_block(wildcards):
    """The parts of a block of `size` rows: blocks of a sixteenth, or samples."""
    size, first = int(wildcards.size), int(wildcards.number) * BLOCK
    if size == BLOCK:
        return sketches_between(first, first + BLOCK)
    return [f"results/understood/sketches/{size // BLOCK}/{n}.npz" for n in range(first, first + BLOCK)]


def sketches_before(wildcards):
    """The sketches of all rows above, in as few files as there are: whole blocks first, then samples."""
    row, at, files = LIBRARIES.index(wildcards.sample), 0, []
    if CONFIG.reads_qc.max_shared == 1:
        return []
    for size in (BLOCK * BLOCK, BLOCK):
        blocks = range(at // size, row // size)
        files += [f"results/understood/sketches/{size}/{number}.npz" for number in blocks]
        at = row // size * size
    return files + sketches_between(at, row)


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
