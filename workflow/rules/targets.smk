"""Velocities to learn from, per study: the truth where all of its samples have one, scVelo elsewhere.

OUTPUTS:
    results/targets/{study}.h5ad                 what the velocity decoder is taught
    results/transitions/{study}.feather          pairs of cells, one a step after the other, for the trajectories
    results/scvelo/{teacher}/{study}.h5ad        scVelo's own velocities of a test study, to compare with
"""


rule make_true_targets:
    """The simulator's own velocities."""
    input:
        truth=study_truths,
    output:
        "results/targets/{study}.h5ad",
    log:
        "logs/make_true_targets/{study}.log",
    wildcard_constraints:
        study=studies_taught_by(truth=True),
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        truth=lambda wildcards, input: repeated("--truth", input.truth),
    shell:
        "velocorpus targets --teacher truth {params.truth:q} --out {output:q} 2> {log:q}"


rule make_scvelo_targets:
    """scVelo's velocities, with their confidence per gene."""
    input:
        outcomes=study_counts,
    output:
        "results/targets/{study}.h5ad",
    log:
        "logs/make_scvelo_targets/{study}.log",
    benchmark:
        "results/benchmarks/make_scvelo_targets/{study}.tsv"
    wildcard_constraints:
        study=studies_taught_by(truth=False),
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        counts=lambda wildcards, input: repeated("--counts", input.outcomes),
        teacher=CONFIG.targets.teacher,
    shell:
        "velocorpus targets --teacher {params.teacher:q} {params.counts:q} --threads {threads} --out {output:q} 2> {log:q}"


rule run_scvelo:
    """scVelo on a study that the decoder has not seen, for comparison."""
    input:
        outcomes=study_counts,
    output:
        "results/scvelo/{teacher}/{study}.h5ad",
    log:
        "logs/run_scvelo/{teacher}/{study}.log",
    benchmark:
        "results/benchmarks/run_scvelo/{teacher}/{study}.tsv"
    wildcard_constraints:
        teacher="scvelo_[a-z]+",
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        counts=lambda wildcards, input: repeated("--counts", input.outcomes),
    shell:
        "velocorpus targets --teacher {wildcards.teacher:q} {params.counts:q} --threads {threads} --out {output:q} 2> {log:q}"


rule make_true_transitions:
    """Pairs of cells by the simulator's clock."""
    input:
        truth=study_truths,
    output:
        "results/transitions/{study}.feather",
    log:
        "logs/make_true_transitions/{study}.log",
    wildcard_constraints:
        study=studies_taught_by(truth=True),
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        truth=lambda wildcards, input: repeated("--truth", input.truth),
    shell:
        "velocorpus transitions --study {wildcards.study:q} {params.truth:q} --out {output:q} 2> {log:q}"


rule make_scvelo_transitions:
    """Pairs of cells by scVelo's velocity graph."""
    input:
        outcomes=study_counts,
    output:
        "results/transitions/{study}.feather",
    log:
        "logs/make_scvelo_transitions/{study}.log",
    benchmark:
        "results/benchmarks/make_scvelo_transitions/{study}.tsv"
    wildcard_constraints:
        study=studies_taught_by(truth=False),
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        counts=lambda wildcards, input: repeated("--counts", input.outcomes),
        teacher=CONFIG.targets.teacher,
    shell:
        "velocorpus transitions --study {wildcards.study:q} {params.counts:q} --teacher {params.teacher:q} "
        "--out {output:q} 2> {log:q}"
