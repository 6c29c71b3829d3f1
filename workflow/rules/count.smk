"""One counts.h5ad a sample, or the reason why there is none.

OUTPUTS:
    results/counts/{sample}/outcome.json    always
    results/counts/{sample}/counts.h5ad     beside it when the outcome is ok
    results/doublets/{sample}/              the same two, with doublet scores, where the configuration asks for them
    results/status.tsv                      one row a sample: stage, state, reason, cells, cost

A sample that is set aside, at whichever step, ends as an outcome, not as an error: so its group's shard is built from
the others. The counts file is no declared output, because such a sample has none; whoever reads it finds it by the
outcome.
"""


rule list_cells:
    """The barcodes of a BAM that are cells, where the table gives no list: by the knee or a number of UMIs."""
    input:
        bam=bam_of,
    output:
        "results/cells/{sample}.tsv",
    log:
        "logs/list_cells/{sample}.log",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 120 * min(attempt, TRIES),
    params:
        min_umis=repeated(
            "--min-umis", [CONFIG.quantify.bam_min_umis] if CONFIG.quantify.bam_min_umis else []
        ),
    shell:
        step_of_sample("cells", "velocorpus cells --bam {input.bam:q} {params.min_umis:q} --out {output:q}")


rule count_reads:
    """Spliced, unspliced and ambiguous molecules of a tagged BAM."""
    input:
        bam=bam_of,
        cells=cells_of_sample,
        called_by=called_by_of_sample,
        gtf=gtf_of,
    output:
        "results/counts/{sample}/outcome.json",
    log:
        "logs/count_reads/{sample}.log",
    benchmark:
        "results/benchmarks/count_reads/{sample}.tsv"
    wildcard_constraints:
        sample=samples_by(*ALIGNED),
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    threads: 4
    resources:
        attempt=attempt_of,
        # Ours is bounded whatever the BAM's size; velocyto's grows with it.
        mem_mb=lambda wildcards, input, attempt: attempt
        * (4000 if count_engine(wildcards) == "native" else 8000 + 2 * input.size_mb),
        runtime=lambda wildcards, attempt: 240 * min(attempt, TRIES),
    params:
        engine=count_engine,
        called_by=cells_called_by,
        reference=lambda wildcards: TABLES.samples[wildcards.sample].reference,
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
    shell:
        step_of_sample(
            "count",
            "velocorpus count --bam {input.bam:q} --barcodes {input.cells:q} --gtf {input.gtf:q} "
            "--sample {wildcards.sample:q} --engine {params.engine:q} --reference={params.reference:q} "
            "--chemistry={params.chemistry:q} --threads {threads} "
            '--cells-called-by={params.called_by:q}"$(cat {input.called_by:q} /dev/null)" '
            "--out results/counts/{wildcards.sample:q}/counts.h5ad",
        )


rule import_counts:
    """Counts that kb or another tool has made, in our layers and gene ids."""
    input:
        counts=counts_to_import,
        matrices=matrices_to_import,
        cells=cells_of_sample,
        called_by=called_by_of_sample,
        genes=gene_table_of,
    output:
        "results/counts/{sample}/outcome.json",
    log:
        "logs/import_counts/{sample}.log",
    benchmark:
        "results/benchmarks/import_counts/{sample}.tsv"
    wildcard_constraints:
        sample=samples_by("kb", "import"),
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, input, attempt: (3000 + 8 * mb_to_import(input)) * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        path=import_path,
        options=import_options,
        called_by=cells_called_by,
    shell:
        step_of_sample(
            "import",
            "velocorpus import {params.path:q} --sample {wildcards.sample:q} {params.options:q} "
            '--cells-called-by={params.called_by:q}"$(cat {input.called_by:q} /dev/null)" '
            "--out results/counts/{wildcards.sample:q}/counts.h5ad",
        )


rule score_doublets:
    """How much each cell looks like two, as a column of a second copy of the counts."""
    input:
        "results/counts/{sample}/outcome.json",
    output:
        "results/doublets/{sample}/outcome.json",
    log:
        "logs/score_doublets/{sample}.log",
    benchmark:
        "results/benchmarks/score_doublets/{sample}.tsv"
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    shell:
        step_of_sample(
            "doublets",
            "velocorpus doublets results/counts/{wildcards.sample:q}/counts.h5ad "
            "--out results/doublets/{wildcards.sample:q}/counts.h5ad",
        )


rule skip_sample:
    """A sample that its row sets aside: nothing of it is fetched."""
    output:
        "results/counts/{sample}/outcome.json",
    log:
        "logs/skip_sample/{sample}.log",
    wildcard_constraints:
        sample=samples_skipped(),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        because=lambda wildcards: TABLES.samples[wildcards.sample].skip,
    shell:
        "velocorpus attempt skip :: {output:q} --sample {wildcards.sample:q} --skip={params.because:q} 2> {log:q}"


rule tell_status:
    """What became of every sample, for the eye and for the report."""
    input:
        outcomes=outcomes_of(TABLES.samples),
        totals=collect("results/totals/{sample}.feather", sample=TABLES.corpus_samples),
    output:
        tsv="results/status.tsv",
        table="results/evaluate/status.json",
    log:
        "logs/tell_status.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        samples=SAMPLES_TABLE,
    shell:
        "velocorpus status --samples {params.samples:q} --out {output.tsv:q} --table {output.table:q} 2> {log:q}"
