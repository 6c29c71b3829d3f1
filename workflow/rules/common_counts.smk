"""What the rules from reads to counts ask of the tables; it has no rule."""

from velocorpus.reads.chemistries import chemistry_of
from velocorpus.tables import FETCHED_COUNTS, REMOTE

# A step of a sample is tried so often. One start more records that all were killed with their jobs, by a cluster or a
# machine out of memory. Snakemake counts the starts where the run began; within a cluster's job another one would have
# no more memory than the one before.
TRIES = 3
RETRIES = TRIES if workflow.is_main_process else 0


def attempt_of(wildcards, attempt):
    return attempt


def step_of_sample(stage, command, scratch="", given="input"):
    """`command` such that its failure sets the sample aside (docs/workflow.md); its words go into the rule's log.

    It asks for `retries: RETRIES` and the resource `attempt=attempt_of`. `scratch` is a folder of the step's own;
    `given` are the inputs that are this sample's own.
    """
    return (
        f"velocorpus attempt {stage} {{{given}:q}} :: {{output:q}} --sample {{wildcards.sample:q}} --log {{log:q}} "
        f"--number {{resources.attempt}} --of {TRIES} {f'--scratch {scratch}' if scratch else ''} <<'END'\n{command}\nEND"
    )


def unit_of(wildcards):
    return next(unit for unit in TABLES.units[wildcards.sample] if unit.unit == wildcards.unit)


def source_of_read(wildcards):
    return getattr(unit_of(wildcards), f"read{wildcards.read}")


def md5_of_read(wildcards):
    return getattr(unit_of(wildcards), f"read{wildcards.read}_md5")


def bytes_of_read(wildcards):
    return getattr(unit_of(wildcards), f"read{wildcards.read}_bytes")


def is_pair(unit):
    """Whether one source holds both reads: a run of SRA, or a BAM that is to be turned to FASTQ."""
    return unit.read1 == unit.read2 and unit.read1 != ""


def source_of_pair(wildcards):
    return unit_of(wildcards).read1


def md5_of_pair(wildcards):
    return unit_of(wildcards).read1_md5


def bytes_of_pair(wildcards):
    # The archives' copies of a run differ in size; its form tells whether it is whole.
    unit = unit_of(wildcards)
    return "" if unit.read1.startswith("sra:") else unit.read1_bytes


def source_of_file(wildcards):
    return unit_of(wildcards).path


def md5_of_file(wildcards):
    return unit_of(wildcards).path_md5


def bytes_of_file(wildcards):
    return unit_of(wildcards).path_bytes


def source_of_reference(wildcards):
    return getattr(TABLES.references[wildcards.reference], wildcards.kind)


def md5_of_reference(wildcards):
    return getattr(TABLES.references[wildcards.reference], f"{wildcards.kind}_md5")


def if_local(source):
    """An input function with the file that `source` names when it lies on this machine, and no file otherwise."""

    def local(wildcards):
        return [] if REMOTE.match(source(wildcards)) else [source(wildcards)]

    return local


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
    found = [name for name, row in TABLES.references.items() if bool(row.fasta) == wanted]
    return "|".join(map(re.escape, found)) or "(?!)"


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


def kb_index(wildcards):
    return collect(
        "results/index/kb/{reference}/index.idx", reference=TABLES.samples[wildcards.sample].reference
    )


def kb_folder(wildcards):
    return f"results/index/kb/{TABLES.samples[wildcards.sample].reference}"


def star_index(wildcards):
    return collect(
        "results/index/star/{reference}/{file}",
        reference=TABLES.samples[wildcards.sample].reference,
        file=STAR_INDEX,
    )


def star_folder(wildcards):
    return f"results/index/star/{TABLES.samples[wildcards.sample].reference}"


def star_align_parameters(wildcards):
    return f"results/reference/{TABLES.samples[wildcards.sample].reference}/star_align.params"


def cellranger_index(wildcards):
    return f"results/index/cellranger/{TABLES.samples[wildcards.sample].reference}/reference.json"


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


ALIGNED = ("starsolo", "cellranger", "bam")


def samples_by(*quantifiers):
    """Pattern of the samples that these quantifiers make and that are not to be skipped."""
    found = [
        name
        for name, sample in TABLES.samples.items()
        if sample.quantifier in quantifiers and not sample.skip
    ]
    return "|".join(map(re.escape, found)) or "(?!)"


def samples_skipped():
    return "|".join(re.escape(name) for name, sample in TABLES.samples.items() if sample.skip) or "(?!)"


def aligned_as(name):
    """The sample whose alignment this one is counted from: the same reads are aligned once."""
    sample, other = TABLES.samples[name], TABLES.samples.get(TABLES.samples[name].same_reads_as)
    alike = ("quantifier", "reference", "chemistry", "whitelist")
    if other is None or any(getattr(sample, key) != getattr(other, key) for key in alike):
        return name
    return other.sample


def bam_of(wildcards):
    name = aligned_as(wildcards.sample)
    unit = TABLES.units[name][0].unit
    return {
        "starsolo": f"results/align/{name}/aligned.bam",
        "cellranger": f"results/cellranger/{name}/run/outs/possorted_genome_bam.bam",
        "bam": f"results/reads/{name}/{unit}.bam",
    }[TABLES.samples[name].quantifier]


def cells_of(name):
    """Which barcodes are cells: the table's list, else those of the sample with the same reads, else the caller's."""
    sample = TABLES.samples[name]
    if sample.barcodes:
        return [sample.barcodes]
    if sample.same_reads_as and TABLES.samples[sample.same_reads_as].quantifier in ALIGNED:
        return cells_of(sample.same_reads_as)
    return {
        "starsolo": [f"results/align/{name}/cells.tsv"],
        "cellranger": [f"results/cellranger/{name}/run/outs/filtered_feature_bc_matrix/barcodes.tsv.gz"],
        "bam": [f"results/cells/{name}.tsv"],
    }.get(sample.quantifier, [])


def cells_of_sample(wildcards):
    return cells_of(wildcards.sample)


def called_by_of_sample(wildcards):
    """What the quantifier that called the cells says of it, beside its list."""
    made = ("results/align/", "results/cellranger/")
    return [
        f"{os.path.dirname(cells)}/called_by.txt"
        for cells in cells_of(wildcards.sample)
        if cells.startswith(made)
    ]


def cells_called_by(wildcards, input):
    """By which method the list of `cells_of` was made, for the record in the counts; empty where a tool has told it."""
    if not input.cells or input.called_by:
        return ""
    if input.cells[0].startswith("results/cells/"):
        at_least = CONFIG.quantify.bam_min_umis
        return f"at least {at_least} UMIs" if at_least else "knee of the UMIs per barcode (velocorpus cells)"
    return "given list (samples.tsv)"


def gtf_of(wildcards):
    return f"results/reference/{TABLES.samples[wildcards.sample].reference}/genes.gtf"


def count_engine(wildcards):
    return TABLES.samples[wildcards.sample].count_engine or CONFIG.quantify.count_engine


def counts_to_import(wildcards):
    sample = TABLES.samples[wildcards.sample]
    path = TABLES.units[sample.sample][0].path
    unit = TABLES.units[sample.sample][0].unit
    if sample.quantifier == "kb":
        return f"results/kb/{sample.sample}/kb_info.json"
    kind = FETCHED_COUNTS.search(path)
    return f"results/reads/{sample.sample}/{unit}.{kind[1]}" if kind else path


def import_path(wildcards, input):
    """kb's counts are a folder, which its declared file stands in."""
    return os.path.dirname(input.counts) if input.counts.endswith("kb_info.json") else input.counts


def gene_table_of(wildcards):
    """Symbols and versions: the table's list of genes, else those of the sample's reference."""
    sample = TABLES.samples[wildcards.sample]
    if sample.genes:
        return sample.genes
    return f"results/reference/{sample.reference}/gene_table.tsv" if sample.reference else []


def import_options(wildcards, input):
    """Options that only some samples need."""
    sample = TABLES.samples[wildcards.sample]
    call = [CONFIG.quantify.kb_cells] if sample.quantifier == "kb" and not input.cells else []
    return [
        *repeated("--cells", input.cells),
        *repeated("--call-cells", call),
        *repeated("--genes", [input.genes] if input.genes else []),
        *repeated("--cell-type", [sample.cell_type] if sample.cell_type else []),
        *repeated("--reference", [sample.reference] if sample.reference else []),
        *repeated("--chemistry", [sample.chemistry] if sample.chemistry else []),
        *repeated("--organism", [sample.organism]),
    ]
