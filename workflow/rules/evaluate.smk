"""Judgements: each is one table (JSON), with its figure; velocities and trajectories of whole studies.

OUTPUTS:
    results/evaluate/{corpus, expression, velocity, trajectory}.json
    results/evaluate/{counts, reasons, genes}/{sample}.json
    results/figures/*.png
    results/studies/{study}.h5ad, results/velocities/{study}.h5ad, results/trajectories/{study}.h5ad
"""


rule compare_counts:
    """Counts of one sample against its truth or other counts of the same reads, and why they differ."""
    input:
        outcomes=counts_compared,
        truth=truth_compared,
        gtf=annotation_compared,
        fasta=genome_compared,
    output:
        table="results/evaluate/counts/{sample}.json",
        reasons="results/evaluate/reasons/{sample}.json",
        genes="results/evaluate/genes/{sample}.json",
        figure=report(
            "results/figures/counts/{sample}.png",
            caption="../report/counts.rst",
            category="Counts",
            labels={"sample": "{sample}"},
        ),
    log:
        "logs/compare_counts/{sample}.log",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, input, attempt: (4000 + 2 * input.size_mb) * min(attempt, TRIES),
        runtime=30,
    params:
        counts=counts_labelled,
        truth=lambda wildcards, input: repeated("--truth", input.truth),
        gtf=lambda wildcards, input: repeated("--gtf", input.gtf),
        fasta=lambda wildcards, input: repeated("--fasta", input.fasta),
    shell:
        step_of_sample(
            "compare",
            "velocorpus concord {params.counts:q} {params.truth:q} {params.gtf:q} {params.fasta:q} --out {output.table:q} "
            "--reasons {output.reasons:q} --differing {output.genes:q} --figure {output.figure:q}",
            # A count that was set aside is left out, and the others are compared.
            given="input.truth",
        )


rule tell_corpus:
    """Cells, studies, molecules and bytes per cell, per split."""
    input:
        manifest="results/corpus/manifest.json",
        samples="results/corpus/samples.feather",
    output:
        "results/evaluate/corpus.json",
    log:
        "logs/tell_corpus.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "velocorpus report corpus results/corpus --out {output:q} 2> {log:q}"


rule draw_curves:
    """Losses of the encoder and of the decoders, in training and on held-out cells."""
    input:
        collect("results/models/{model}/metrics.jsonl", model=("encoder", *DECODERS)),
    output:
        report(
            "results/figures/curves.png",
            caption="../report/curves.rst",
            category="Training",
            labels={"figure": "loss curves"},
        ),
    log:
        "logs/draw_curves.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "velocorpus report curves {input:q} --out {output:q} 2> {log:q}"


rule judge_expression:
    """The expression decoder against constants, means, medians and neighbours."""
    input:
        corpus="results/corpus/manifest.json",
        model="results/models/expression/model.safetensors",
    output:
        table="results/evaluate/expression.json",
        figure=report(
            "results/figures/expression.png",
            caption="../report/expression.rst",
            category="Expression",
            labels={"figure": "decoder and baselines"},
        ),
    log:
        "logs/judge_expression.log",
    benchmark:
        "results/benchmarks/judge_expression.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 120 * min(attempt, TRIES),
    params:
        split=JUDGED_SPLIT,
    shell:
        "velocorpus evaluate expression --model results/models/expression --corpus results/corpus "
        "--split {params.split} --out {output.table:q} --figure {output.figure:q} > {log:q} 2>&1"


rule judge_velocity:
    """The velocity decoder and scVelo against the true velocities of studies that neither has seen."""
    input:
        corpus="results/corpus/manifest.json",
        model="results/models/velocity/model.safetensors",
        truth=collect("results/targets/truth/{study}.h5ad", study=JUDGED_BY_TRUTH),
        scvelo=scvelo_judged,
    output:
        table="results/evaluate/velocity.json",
        figure=report(
            "results/figures/velocity.png",
            caption="../report/velocity.rst",
            category="Velocity",
            labels={"figure": "decoder and scVelo"},
        ),
    log:
        "logs/judge_velocity.log",
    benchmark:
        "results/benchmarks/judge_velocity.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 120 * min(attempt, TRIES),
    params:
        split=JUDGED_SPLIT,
        truth=lambda wildcards, input: repeated("--truth", input.truth),
        scvelo=lambda wildcards, input: repeated("--scvelo", input.scvelo),
    shell:
        "velocorpus evaluate velocity --model results/models/velocity --corpus results/corpus {params.truth:q} "
        "{params.scvelo:q} --split {params.split} --out {output.table:q} --figure {output.figure:q} > {log:q} 2>&1"


rule judge_trajectory:
    """Cells generated one step on against the cells that really come later, in studies never seen."""
    input:
        corpus="results/corpus/manifest.json",
        model="results/models/trajectory/model.safetensors",
        truth=[truth for study in JUDGED_BY_TRUTH for truth in PROJECT.truths(study)],
    output:
        table="results/evaluate/trajectory.json",
        figure=report(
            "results/figures/trajectory.png",
            caption="../report/distances.rst",
            category="Trajectory",
            labels={"study": "all, distances"},
        ),
    log:
        "logs/judge_trajectory.log",
    benchmark:
        "results/benchmarks/judge_trajectory.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 120 * min(attempt, TRIES),
    params:
        truth=lambda wildcards, input: repeated("--truth", input.truth),
    shell:
        "velocorpus evaluate trajectory --model results/models/trajectory --corpus results/corpus {params.truth:q} "
        "--out {output.table:q} --figure {output.figure:q} > {log:q} 2>&1"


rule export_study:
    """The kept cells of one study as an AnnData: what an analyst starts from."""
    input:
        "results/corpus/manifest.json",
    output:
        temp("results/studies/{study}.h5ad"),
    log:
        "logs/export_study/{study}.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=30,
    shell:
        "velocorpus corpus export results/corpus --study {wildcards.study:q} --out {output:q} 2> {log:q}"


rule write_velocities:
    """Velocities of one study, ready for scVelo's graph and plots."""
    input:
        cells="results/studies/{study}.h5ad",
        model="results/models/velocity/model.safetensors",
    output:
        "results/velocities/{study}.h5ad",
    log:
        "logs/write_velocities/{study}.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 120 * min(attempt, TRIES),
    shell:
        "velocorpus velocity {input.cells:q} --model results/models/velocity --out {output:q} 2> {log:q}"


rule generate_trajectories:
    """Trajectories that the generative decoder rolls out, drawn over the study's embedding."""
    input:
        cells="results/studies/{study}.h5ad",
        model="results/models/trajectory/model.safetensors",
    output:
        states="results/trajectories/{study}.h5ad",
        figure=report(
            "results/figures/trajectories/{study}.png",
            caption="../report/trajectory.rst",
            category="Trajectory",
            labels={"study": "{study}"},
        ),
    log:
        "logs/generate_trajectories/{study}.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 120 * min(attempt, TRIES),
    params:
        steps=CONFIG.evaluate.trajectory_steps,
        color=cell_types_of_study,
    shell:
        "velocorpus trajectory {input.cells:q} --model results/models/trajectory --steps {params.steps} {params.color:q} "
        "--out {output.states:q} --figure {output.figure:q} 2> {log:q}"
