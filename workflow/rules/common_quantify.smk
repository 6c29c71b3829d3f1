"""What references, indices and quantifiers ask of the tables; it has no rule."""

from velocorpus.reads.chemistries import chemistry_of

STAR_INDEX = (
    "Genome",
    "SA",
    "SAindex",
    "chrLength.txt",
    "chrName.txt",
    "chrNameLength.txt",
    "chrStart.txt",
    "exonGeTrInfo.tab",
    "exonInfo.tab",
    "geneInfo.tab",
    "genomeParameters.txt",
    "sjdbInfo.txt",
    "sjdbList.fromGTF.out.tab",
    "sjdbList.out.tab",
    "transcriptInfo.tab",
)


def references_with_fasta(wanted):
    """Pattern of the references that have a FASTA, or that have none."""
    return either(name for name, row in TABLES.references.items() if bool(row.fasta) == wanted)


def organism_of(wildcards):
    return TABLES.references[wildcards.reference].organism


def biotypes_of(wildcards):
    return TABLES.references[wildcards.reference].biotypes or "10x"


def offset_of(wildcards):
    offset = TABLES.references[wildcards.reference].offset
    return repeated("--offset", [offset] if offset else [])


def reads_of(sample, read):
    return [
        f"results/{'pairs' if is_pair(unit) else 'reads'}/{sample}/{unit.unit}_R{read}.fastq.gz"
        for unit in TABLES.units[sample]
    ]


def barcode_reads(wildcards):
    return reads_of(wildcards.sample, 1)


def cdna_reads(wildcards):
    return reads_of(wildcards.sample, 2)


def lanes(wildcards):
    """Read 1 and read 2 of each lane in turn, as kb wants them."""
    return [file for pair in zip(barcode_reads(wildcards), cdna_reads(wildcards)) for file in pair]


def chemistry_of_sample(wildcards):
    return chemistry_of(TABLES.samples[wildcards.sample].chemistry)


def reference_of(wildcards):
    return TABLES.samples[wildcards.sample].reference


def kb_folder(wildcards):
    return f"results/index/kb/{reference_of(wildcards)}"


def kb_index(wildcards):
    return f"{kb_folder(wildcards)}/index.idx"


def star_folder(wildcards):
    return f"results/index/star/{reference_of(wildcards)}"


def star_index(wildcards):
    return [f"{star_folder(wildcards)}/{file}" for file in STAR_INDEX]


def star_align_parameters(wildcards):
    return f"results/reference/{reference_of(wildcards)}/star_align.params"


def cellranger_index(wildcards):
    return f"results/index/cellranger/{reference_of(wildcards)}/reference.json"


def own_whitelist(wildcards):
    """The sample's own list of allowed barcodes, when it has one."""
    return TABLES.samples[wildcards.sample].whitelist or []


def kb_whitelist(wildcards):
    """The list that kb must be given: the sample's own, or 10x's where kb has no name for the chemistry."""
    sample = TABLES.samples[wildcards.sample]
    named = chemistry_of(sample.chemistry).kb_knows
    return sample.whitelist or ([] if named else f"results/whitelists/{sample.chemistry}.txt")


def star_whitelist(wildcards):
    sample = TABLES.samples[wildcards.sample]
    return f"results/whitelists/{f'samples/{sample.sample}' if sample.whitelist else sample.chemistry}.txt"
