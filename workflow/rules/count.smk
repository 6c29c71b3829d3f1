"""One counts.h5ad a sample, or the reason why there is none.

OUTPUTS:
    results/counts/{sample}/outcome.json    always
    results/counts/{sample}/counts.h5ad     beside it when the outcome is ok

A sample that must be refused ends as an outcome, not as an error: so its group's shard is built from the others. The
counts file is no declared output, because a refused sample has none; whoever reads it finds it by the outcome.
"""


rule list_cells:
    """The barcodes of a BAM that are cells, where the table gives no list: by the knee or a number of UMIs."""
    input:
        bam=bam_of,
    output:
        "results/cells/{sample}.tsv",
    log:
        "logs/list_cells/{sample}.log",
    conda:
        "../../envs/velocorpus.yaml"
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
    conda:
        "../../envs/velocorpus.yaml"
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
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: (3000 + 8 * input.size_mb) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        path=import_path,
        options=import_options,
    shell:
        "velocorpus import {params.path:q} --sample {wildcards.sample:q} {params.options:q} "
        "--out results/counts/{wildcards.sample:q}/counts.h5ad --outcome {output:q} 2> {log:q}"
