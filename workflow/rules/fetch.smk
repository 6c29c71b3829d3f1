"""Reads, BAMs, counts and references: brought here and verified before they get their names.

OUTPUTS:
    results/reads/{sample}/{unit}_R{1,2}.fastq.gz
    results/pairs/{sample}/{unit}_R{1,2}.fastq.gz (of a run of SRA, or of a BAM in the columns of both reads)
    results/reads/{sample}/{unit}.{bam,loom,h5ad}
    results/reference/sources/{reference}.{fasta,gtf}

A local file becomes a symbolic link after its checks; it is an input of its rule, so that a change is seen. How to
fetch (connections, mirrors, proxy) is read from the configuration itself: its change fetches nothing again. How many
are fetched at once: the resource `downloads`, which the profiles bound.
"""

# How to fetch is no reason to fetch again: Snakemake compares params with those of the run before, but not resources.
SETTINGS = str(PROJECT.path)


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
        settings=SETTINGS,
        attempt=attempt_of,
        downloads=1,
        mem_mb=500,
        runtime=lambda wildcards, attempt: 240 * min(attempt, TRIES),
    params:
        source=source_of_read,
        md5=md5_of_read,
        bytes=bytes_of_read,
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
    shell:
        # Read 1 and read 2 that are swapped are refused here, not hours later in a sample without cells.
        step_of_sample(
            "fetch",
            "velocorpus fetch {params.source:q} --out {output:q} --md5={params.md5:q} --bytes={params.bytes:q} "
            "--config {resources.settings:q} --chemistry {params.chemistry:q} --read {wildcards.read}",
        )


rule fetch_pair:
    """Both reads of one unit out of one source; which of a run's files is which, their content tells."""
    input:
        if_local(source_of_pair),
    output:
        read1="results/pairs/{sample}/{unit}_R1.fastq.gz",
        read2="results/pairs/{sample}/{unit}_R2.fastq.gz",
    log:
        "logs/fetch_pair/{sample}/{unit}.log",
    retries: RETRIES
    conda:
        "../../envs/sra.yaml"
    threads: 4
    resources:
        settings=SETTINGS,
        attempt=attempt_of,
        downloads=1,
        mem_mb=2000,
        runtime=lambda wildcards, attempt: 480 * min(attempt, TRIES),
    params:
        source=source_of_pair,
        md5=md5_of_pair,
        bytes=bytes_of_pair,
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
        whitelist=lambda wildcards: repeated("--whitelist", [*filter(None, [own_whitelist(wildcards)])]),
    shell:
        step_of_sample(
            "fetch",
            "velocorpus fetch {params.source:q} --out {output.read1:q} --read2 {output.read2:q} --md5={params.md5:q} "
            "--bytes={params.bytes:q} --config {resources.settings:q} --chemistry {params.chemistry:q} {params.whitelist:q} "
            "--threads {threads}",
        )


rule fetch_file:
    """A BAM, or counts of another tool that are one file, unpacked where their host compressed them once more."""
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
        settings=SETTINGS,
        attempt=attempt_of,
        downloads=1,
        mem_mb=500,
        runtime=lambda wildcards, attempt: 240 * min(attempt, TRIES),
    params:
        source=source_of_file,
        md5=md5_of_file,
        bytes=bytes_of_file,
    shell:
        step_of_sample(
            "fetch",
            "velocorpus fetch {params.source:q} --out {output:q} --md5={params.md5:q} --bytes={params.bytes:q} "
            "--config {resources.settings:q}",
        )


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
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        settings=SETTINGS,
        downloads=1,
        mem_mb=500,
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        source=source_of_reference,
        md5=md5_of_reference,
    shell:
        "velocorpus fetch {params.source:q} --out {output:q} --md5={params.md5:q} --config {resources.settings:q} 2> {log:q}"
