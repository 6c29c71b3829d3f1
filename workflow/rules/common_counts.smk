"""What counting and importing ask of the tables; it has no rule."""

from velocorpus.tables import FETCHED_COUNTS

ALIGNED = ("starsolo", "cellranger", "bam")


def samples_by(*quantifiers):
    """Pattern of the samples that these quantifiers make and that are not to be skipped."""
    return either(name for name, s in TABLES.samples.items() if s.quantifier in quantifiers and not s.skip)


def samples_skipped():
    return either(name for name, sample in TABLES.samples.items() if sample.skip)


def aligned_as(name):
    """The sample whose alignment this one is counted from: the same reads are aligned once."""
    return with_the_same_reads(name, "quantifier", "reference", "chemistry", "whitelist")


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


def matrices_to_import(wildcards):
    """kb's matrices: what is read of its folder, and so how much memory that takes."""
    layers = ("mature", "nascent", "ambiguous") if TABLES.samples[wildcards.sample].quantifier == "kb" else ()
    return [f"results/kb/{wildcards.sample}/counts_unfiltered/cells_x_genes.{layer}.mtx" for layer in layers]


def mb_to_import(input):
    """MB of text in all inputs; of a given folder Snakemake knows no size."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(input.counts) for name in names]
    packed = [5 * os.path.getsize(file) if file.endswith(".gz") else os.path.getsize(file) for file in files]
    return round(input.size_mb + sum(packed) / 1e6)


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
