"""Simulated studies, where `simulate.preset` asks for them and the tables name their files.

OUTPUTS:
    results/simulated/{reference/genome.fa.gz, reference/genes.gtf.gz, whitelist.txt}
    results/simulated/{sample}/{fastq/*.fastq.gz, bam/*, {sample}.loom or counts.h5ad}
    results/simulated/{sample}/truth.h5ad
"""


rule simulate_reference:
    """A genome with difficult genes, and the barcodes that the chemistry allows."""
    output:
        fasta="results/simulated/reference/genome.fa.gz",
        gtf="results/simulated/reference/genes.gtf.gz",
        whitelist="results/simulated/whitelist.txt",
    log:
        "logs/simulate_reference.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        preset=CONFIG.simulate.preset,
    shell:
        "velocorpus simulate --preset {params.preset:q} --out results/simulated --only reference 2> {log:q}"


rule simulate_fastq:
    """Two lanes of 10x v3 reads, with errors, ambient RNA and empty droplets."""
    output:
        reads=collect(
            "results/simulated/{{sample}}/fastq/{{sample}}_S1_L00{lane}_R{read}_001.fastq.gz",
            lane=(1, 2),
            read=(1, 2),
        ),
        truth="results/simulated/{sample}/truth.h5ad",
    log:
        "logs/simulate_fastq/{sample}.log",
    benchmark:
        "results/benchmarks/simulate_fastq/{sample}.tsv"
    wildcard_constraints:
        sample=simulated_as(".fastq.gz"),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        preset=CONFIG.simulate.preset,
    shell:
        "velocorpus simulate --preset {params.preset:q} --out results/simulated --only {wildcards.sample:q} 2> {log:q}"


rule simulate_bam:
    """A BAM with Cell Ranger's tags, written from the true alignments."""
    output:
        bam="results/simulated/{sample}/bam/possorted_genome_bam.bam",
        barcodes="results/simulated/{sample}/bam/barcodes.tsv",
        truth="results/simulated/{sample}/truth.h5ad",
    log:
        "logs/simulate_bam/{sample}.log",
    benchmark:
        "results/benchmarks/simulate_bam/{sample}.tsv"
    wildcard_constraints:
        sample=simulated_as(".bam"),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        preset=CONFIG.simulate.preset,
    shell:
        "velocorpus simulate --preset {params.preset:q} --out results/simulated --only {wildcards.sample:q} 2> {log:q}"


rule simulate_loom:
    """Counts as velocyto writes them."""
    output:
        counts="results/simulated/{sample}/{sample}.loom",
        truth="results/simulated/{sample}/truth.h5ad",
    log:
        "logs/simulate_loom/{sample}.log",
    wildcard_constraints:
        sample=simulated_as(".loom"),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        preset=CONFIG.simulate.preset,
    shell:
        "velocorpus simulate --preset {params.preset:q} --out results/simulated --only {wildcards.sample:q} 2> {log:q}"


rule simulate_counts:
    """Counts without reads: many studies at little cost."""
    output:
        counts="results/simulated/{sample}/counts.h5ad",
        truth="results/simulated/{sample}/truth.h5ad",
    log:
        "logs/simulate_counts/{sample}.log",
    wildcard_constraints:
        sample=simulated_as("counts.h5ad"),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        preset=CONFIG.simulate.preset,
    shell:
        "velocorpus simulate --preset {params.preset:q} --out results/simulated --only {wildcards.sample:q} 2> {log:q}"
