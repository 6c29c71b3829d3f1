"""Reads, BAMs, counts and references: brought here and verified before they get their names.

OUTPUTS:
    results/reads/{sample}/{unit}_R{1,2}.fastq.gz
    results/reads/{sample}/{unit}.{bam,loom,h5ad}
    results/reference/sources/{reference}.{fasta,gtf}

A local file becomes a symbolic link after its checks; it is an input of its rule, so that a change is seen.
"""


rule fetch_reads:
    """One FASTQ of one unit."""
    input:
        if_local(source_of_read),
    output:
        "results/reads/{sample}/{unit}_R{read}.fastq.gz",
    log:
        "logs/fetch_reads/{sample}/{unit}_R{read}.log",
    wildcard_constraints:
        read="[12]",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=500,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        source=source_of_read,
        md5=md5_of_read,
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
    shell:
        # Read 1 and read 2 that are swapped are refused here, not hours later in a sample without cells.
        step_of_sample(
            "fetch",
            "velocorpus fetch {params.source:q} --out {output:q} --md5={params.md5:q} "
            "--chemistry {params.chemistry:q} --read {wildcards.read}",
        )


rule fetch_file:
    """A BAM, or counts of another tool that are one file."""
    input:
        if_local(source_of_file),
    output:
        "results/reads/{sample}/{unit}.{kind}",
    log:
        "logs/fetch_file/{sample}/{unit}.{kind}.log",
    wildcard_constraints:
        kind="bam|loom|h5ad",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=500,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        source=source_of_file,
        md5=md5_of_file,
    shell:
        step_of_sample("fetch", "velocorpus fetch {params.source:q} --out {output:q} --md5={params.md5:q}")


rule fetch_reference:
    """Genome or genes of a reference, as their provider has them."""
    input:
        if_local(source_of_reference),
    output:
        "results/reference/sources/{reference}.{kind}",
    log:
        "logs/fetch_reference/{reference}.{kind}.log",
    wildcard_constraints:
        kind="fasta|gtf",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=500,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        source=source_of_reference,
        md5=md5_of_reference,
    shell:
        "velocorpus fetch {params.source:q} --out {output:q} --md5={params.md5:q} 2> {log:q}"
