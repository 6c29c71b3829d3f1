"""Counts to the corpus: totals, vocabulary, shards by group of samples, manifest.

OUTPUTS:
    results/totals/{sample}.feather
    results/corpus/vocabulary.feather
    results/corpus/shards/{group}.{train,validation,test}.feather
    results/corpus/{manifest.json, genes.feather, samples.feather}
"""


rule total_sample:
    """Sums per gene over the cells that the filter keeps; a refused sample's file says why."""
    input:
        f"results/{CORPUS_COUNTS}/{{sample}}/outcome.json",
    output:
        "results/totals/{sample}.feather",
    log:
        "logs/total_sample/{sample}.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * min(attempt, TRIES),
        runtime=30,
    params:
        min_counts=CONFIG.cells.min_counts,
        cuts=CUTS,
    shell:
        "velocorpus corpus totals {input:q} --min-counts {params.min_counts} {params.cuts:q} --out {output:q} 2> {log:q}"


rule number_genes:
    """A token for each gene. Tokens never change once given: a later run appends to the table that it finds."""
    input:
        totals=collect("results/totals/{sample}.feather", sample=TABLES.corpus_samples),
    output:
        update("results/corpus/vocabulary.feather"),
    log:
        "logs/number_genes.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        samples=SAMPLES_TABLE,
        given=(str(PROJECT.path.parent / CONFIG.corpus.vocab) if CONFIG.corpus.vocab else ""),
    shell:
        "base={params.given:q}; [ ! -e {output:q} ] || base={output:q}; "
        'velocorpus corpus vocab {input.totals:q} ${{base:+--vocab "$base"}} --samples {params.samples:q} '
        "--out {output:q} 2> {log:q}"


rule shard_group:
    """One file per split with the cells of a fixed group of samples; empty where the split has none."""
    input:
        outcomes=group_outcomes,
        # Appending genes leaves finished shards as they are.
        vocab=ancient("results/corpus/vocabulary.feather"),
    output:
        collect("results/corpus/shards/{{group}}.{split}.feather", split=SPLITS),
    log:
        "logs/shard_group/{group}.log",
    benchmark:
        "results/benchmarks/shard_group/{group}.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        samples=SAMPLES_TABLE,
        rows=group_rows,
        held_out=group_held_out,
        min_counts=CONFIG.cells.min_counts,
        cuts=CUTS,
        seed=CONFIG.corpus.seed,
    shell:
        "velocorpus corpus shard {input.outcomes:q} --vocab {input.vocab:q} --samples {params.samples:q} "
        "--group {wildcards.group:q} --out-dir results/corpus/shards {params.held_out:q} "
        "--min-counts {params.min_counts} {params.cuts:q} --seed {params.seed} 2> {log:q}"


rule close_corpus:
    """The manifest over finished shards, with digests, filter and splits."""
    input:
        shards=collect(
            "results/corpus/shards/{group}.{split}.feather",
            group=GROUPS,
            split=SPLITS,
        ),
        totals=collect("results/totals/{sample}.feather", sample=TABLES.corpus_samples),
        vocab="results/corpus/vocabulary.feather",
    output:
        "results/corpus/manifest.json",
        "results/corpus/genes.feather",
        "results/corpus/samples.feather",
    log:
        "logs/close_corpus.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=60,
    params:
        shards=lambda wildcards, input: repeated("--shards", input.shards),
        totals=lambda wildcards, input: repeated("--totals", input.totals),
        samples=SAMPLES_TABLE,
        rows=[str(TABLES.samples[sample]) for sample in TABLES.corpus_samples],
        held_out=held_out(TABLES.studies) + repeated("--hold-out", CONFIG.corpus.hold_out),
        min_gene_counts=CONFIG.cells.min_gene_counts,
    shell:
        "velocorpus corpus manifest {params.shards:q} {params.totals:q} --vocab {input.vocab:q} "
        "--samples {params.samples:q} {params.held_out:q} --min-gene-counts {params.min_gene_counts} "
        "--out results/corpus 2> {log:q}"
