"""What the checks of reads ask of the tables; it has no rule."""


def checked_as(name):
    """The sample whose check of reads holds for this one: those of a second count are the first one's."""
    sample, other = TABLES.samples[name], TABLES.samples.get(TABLES.samples[name].same_reads_as)
    alike = ("reference", "chemistry", "whitelist")
    if (
        other is None
        or not other.from_fastq
        or any(getattr(sample, key) != getattr(other, key) for key in alike)
    ):
        return name
    return other.sample


# Samples whose reads are checked before they are aligned, in the order of the table.
CHECKED_SAMPLES = {
    name: checked_as(name)
    for name, sample in TABLES.samples.items()
    if CONFIG.reads_qc.enabled and sample.from_fastq and not sample.skip
}


def understood(wildcards):
    """What says that a sample's reads are what the tables say: an input of all that quantifies reads."""
    checked = [CHECKED_SAMPLES[wildcards.sample]] if wildcards.sample in CHECKED_SAMPLES else []
    return [f"results/understood/{sample}/{name}.json" for sample in checked for name in ("chemistry", "qc")]


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


def sketches_in_order(wildcards):
    """Sketches of the corpus's samples; a second count repeats its reads on purpose."""
    return [
        f"results/understood/{sample}/sketch.npy"
        for sample in CHECKED_SAMPLES
        if TABLES.samples[sample].in_corpus
    ]


def sketches_named(wildcards, input):
    return repeated("--sketch", [f"{path.split('/')[-2]}={path}" for path in input])
