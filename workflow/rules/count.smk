"""One counts.h5ad a sample, or the reason why there is none.

OUTPUTS:
    results/counts/{sample}/outcome.json    always
    results/counts/{sample}/counts.h5ad     beside it when the outcome is ok

A sample that must be refused ends as an outcome, not as an error: so its group's shard is built from the others. The
counts file is no declared output, because a refused sample has none; whoever reads it finds it by the outcome.
"""

ALIGNED = ("starsolo", "cellranger", "bam")


def samples_by(*quantifiers):
    """Pattern of the samples that these quantifiers make."""
    found = [name for name, sample in TABLES.samples.items() if sample.quantifier in quantifiers]
    return "|".join(map(re.escape, found)) or "(?!)"


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
    kind = path.rsplit(".", 1)[-1]
    return f"results/reads/{sample.sample}/{unit}.{kind}" if kind in ("loom", "h5ad") else path


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
    call = ["knee"] if sample.quantifier == "kb" and not input.cells else []
    return [
        *repeated("--cells", input.cells),
        *repeated("--call-cells", call),
        *repeated("--genes", [input.genes] if input.genes else []),
        *repeated("--cell-type", [sample.cell_type] if sample.cell_type else []),
        *repeated("--reference", [sample.reference] if sample.reference else []),
        *repeated("--chemistry", [sample.chemistry] if sample.chemistry else []),
    ]


rule list_cells:
    """The barcodes of a BAM that are cells, where the table gives no list: by the knee or a number of UMIs."""
    input:
        bam=bam_of,
    output:
        "results/cells/{sample}.tsv",
    log:
        "logs/list_cells/{sample}.log",
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        min_umis=repeated(
            "--min-umis", [CONFIG.quantify.bam_min_umis] if CONFIG.quantify.bam_min_umis else []
        ),
    shell:
        "velocorpus cells --bam {input.bam:q} {params.min_umis:q} --out {output:q} 2> {log:q}"


rule count_reads:
    """Spliced, unspliced and ambiguous molecules of a tagged BAM."""
    input:
        bam=bam_of,
        cells=cells_of_sample,
        gtf=gtf_of,
    output:
        "results/counts/{sample}/outcome.json",
    log:
        "logs/count_reads/{sample}.log",
    benchmark:
        "results/benchmarks/count_reads/{sample}.tsv"
    wildcard_constraints:
        sample=samples_by(*ALIGNED),
    threads: 4
    resources:
        mem_mb=lambda wildcards, input, attempt: (4000 + 0.3 * input.size_mb) * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        engine=count_engine,
        reference=lambda wildcards: TABLES.samples[wildcards.sample].reference,
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
    shell:
        "velocorpus count --bam {input.bam:q} --barcodes {input.cells:q} --gtf {input.gtf:q} "
        "--sample {wildcards.sample:q} --engine {params.engine:q} --reference={params.reference:q} "
        "--chemistry={params.chemistry:q} --threads {threads} "
        "--out results/counts/{wildcards.sample:q}/counts.h5ad --outcome {output:q} 2> {log:q}"


rule import_counts:
    """Counts that kb or another tool has made, in our layers and gene ids."""
    input:
        counts=counts_to_import,
        cells=cells_of_sample,
        genes=gene_table_of,
    output:
        "results/counts/{sample}/outcome.json",
    log:
        "logs/import_counts/{sample}.log",
    benchmark:
        "results/benchmarks/import_counts/{sample}.tsv"
    wildcard_constraints:
        sample=samples_by("kb", "import"),
    resources:
        mem_mb=lambda wildcards, input, attempt: (3000 + 8 * input.size_mb) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        path=import_path,
        options=import_options,
    shell:
        "velocorpus import {params.path:q} --sample {wildcards.sample:q} {params.options:q} "
        "--out results/counts/{wildcards.sample:q}/counts.h5ad --outcome {output:q} 2> {log:q}"
