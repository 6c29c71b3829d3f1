"""What the checks of reads ask of the tables; it has no rule."""


def checked_samples():
    """Samples whose reads are checked before they are aligned, in the order of the table."""
    return [
        name
        for name, sample in TABLES.samples.items()
        if CONFIG.reads_qc.enabled and sample.from_fastq and not sample.skip
    ]


def understood(wildcards):
    """What says that a sample's reads are what the tables say: an input of all that quantifies reads."""
    checked = wildcards.sample in CHECKED_SAMPLES
    return [f"results/understood/{wildcards.sample}/{name}.json" for name in ("chemistry", "qc") if checked]


CHECKED_SAMPLES = set(checked_samples())


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
    return [f"results/understood/{sample}/sketch.npy" for sample in checked_samples()]


def sketches_named(wildcards, input):
    return repeated("--sketch", [f"{path.split('/')[-2]}={path}" for path in input])
