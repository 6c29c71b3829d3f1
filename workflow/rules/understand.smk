"""What a sample's reads are, before anything expensive: a sample whose reads contradict the tables is set aside here.

OUTPUTS:
    results/index/kmers/{reference}.npz
    results/understood/{sample}/{chemistry.json, qc.json, sketch.npz, duplicates.json}
    results/understood/sketches/{size}/{number}.npz
    logs/{check_chemistry, check_reads, check_duplicates}/{sample}.json    what was found, also when refused

The tables stay the truth: nothing found here changes a command, it only lets a sample pass or not. A sample is held
against the rows above it only, so that a row added below changes nothing for those that are there.
"""


rule index_kmers:
    """Words of a reference's exons, by which reads tell strand and species."""
    input:
        fasta="results/reference/{reference}/genome.fa",
        gtf="results/reference/{reference}/genes.gtf",
    output:
        "results/index/kmers/{reference}.npz",
    log:
        "logs/index_kmers/{reference}.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: (1000 + 3 * input.size_mb) * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        organism=organism_of,
    shell:
        "velocorpus kmers --fasta {input.fasta:q} --gtf {input.gtf:q} --name {wildcards.reference:q} "
        "--organism {params.organism:q} --out {output:q} 2> {log:q}"


rule check_chemistry:
    """Chemistry, roles of the files and species, told by the reads and held against the tables."""
    input:
        reads=lanes,
        references=trial_references,
        whitelist=own_whitelist,
    output:
        "results/understood/{sample}/chemistry.json",
    log:
        "logs/check_chemistry/{sample}.log",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, attempt: 2500 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 20 * min(attempt, TRIES),
    params:
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
        organism=lambda wildcards: TABLES.samples[wildcards.sample].organism,
        options=chemistry_options,
        min_mapped=CONFIG.reads_qc.min_mapped,
    shell:
        step_of_sample(
            "chemistry",
            "velocorpus chemistry {input.reads:q} --expect {params.chemistry:q} "
            "--expect-organism {params.organism:q} {params.options:q} --min-mapped {params.min_mapped} "
            "--json logs/check_chemistry/{wildcards.sample}.json && "
            "cp logs/check_chemistry/{wildcards.sample}.json {output:q}",
        )


rule check_reads:
    """Valid barcodes, tracts of T, and a sketch of the sample's molecules."""
    input:
        reads=lanes,
        whitelist=own_whitelist,
        # A sample that was set aside must not stand in the way of one with the same reads.
        chemistry="results/understood/{sample}/chemistry.json",
    output:
        qc="results/understood/{sample}/qc.json",
        sketch="results/understood/{sample}/sketch.npz",
    log:
        "logs/check_reads/{sample}.log",
    benchmark:
        "results/benchmarks/check_reads/{sample}.tsv"
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, attempt: 2000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
        whitelist=lambda wildcards, input: repeated(
            "--whitelist", [input.whitelist] if input.whitelist else []
        ),
        limits=[
            *repeated("--min-valid-barcodes", [CONFIG.reads_qc.min_valid_barcodes]),
            *repeated("--max-poly-t", [CONFIG.reads_qc.max_poly_t]),
            *repeated("--sketch-reads", [CONFIG.reads_qc.sketch_reads]),
        ],
    shell:
        step_of_sample(
            "reads",
            "velocorpus reads-qc {input.reads:q} --chemistry {params.chemistry:q} {params.whitelist:q} "
            "{params.limits:q} --sample {wildcards.sample:q} --sketch {output.sketch:q} "
            "--out logs/check_reads/{wildcards.sample}.json && "
            "cp logs/check_reads/{wildcards.sample}.json {output.qc:q}",
        )


rule join_sketches:
    """Sketches of consecutive rows in one file: thousands of samples need not each name thousands."""
    input:
        sketches_of_block,
    output:
        "results/understood/sketches/{size}/{number}.npz",
    log:
        "logs/join_sketches/{size}/{number}.log",
    wildcard_constraints:
        size=r"\d+",
        number=r"\d+",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    shell:
        "velocorpus reads-sketches {input:q} --out {output:q} 2> {log:q}"


rule check_duplicates:
    """A sample whose molecules a row above has too is that library once more, and is set aside."""
    input:
        sketch="results/understood/{sample}/sketch.npz",
        above=sketches_above,
    output:
        "results/understood/{sample}/duplicates.json",
    log:
        "logs/check_duplicates/{sample}.log",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, attempt: 1000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 10 * min(attempt, TRIES),
    params:
        above=lambda wildcards, input: repeated("--earlier", input.above),
        max_shared=CONFIG.reads_qc.max_shared,
    shell:
        step_of_sample(
            "duplicates",
            "velocorpus reads-duplicates {input.sketch:q} {params.above:q} --max-shared {params.max_shared} "
            "--out logs/check_duplicates/{wildcards.sample}.json && "
            "cp logs/check_duplicates/{wildcards.sample}.json {output:q}",
            given="input.sketch",
        )
