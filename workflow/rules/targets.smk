"""Velocities and transitions to learn from and to judge by, per study and teacher: the truth, or a mode of scVelo.

OUTPUTS:
    results/targets/{teacher}/{study}.h5ad       velocities; the teacher is `truth` or `scvelo_...`
    results/transitions/{study}.feather          pairs of cells, one a step after the other, for the trajectories
"""


rule make_true_targets:
    """The simulator's own velocities."""
    input:
        truth=study_truths,
    output:
        "results/targets/truth/{study}.h5ad",
    log:
        "logs/make_true_targets/{study}.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        truth=lambda wildcards, input: repeated("--truth", input.truth),
    shell:
        "velocorpus targets --teacher truth {params.truth:q} --out {output:q} 2> {log:q}"


rule make_scvelo_targets:
    """scVelo's velocities, with their confidence per gene: a teacher, and what the decoder is compared with."""
    input:
        outcomes=study_counts,
    output:
        "results/targets/{teacher}/{study}.h5ad",
    log:
        "logs/make_scvelo_targets/{teacher}/{study}.log",
    benchmark:
        "results/benchmarks/make_scvelo_targets/{teacher}/{study}.tsv"
    wildcard_constraints:
        teacher="scvelo_[a-z]+",
    conda:
        "../../envs/velocorpus.yaml"
    # Only the dynamical mode has work for a second core.
    threads: lambda wildcards: 2 if wildcards.teacher == "scvelo_dynamical" else 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 240 * min(attempt, TRIES),
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
    conda:
        "../../envs/velocorpus.yaml"
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
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 240 * min(attempt, TRIES),
    params:
        counts=lambda wildcards, input: repeated("--counts", input.outcomes),
        teacher=CONFIG.targets.teacher,
    shell:
        "velocorpus transitions --study {wildcards.study:q} {params.counts:q} --teacher {params.teacher:q} "
        "--out {output:q} 2> {log:q}"
