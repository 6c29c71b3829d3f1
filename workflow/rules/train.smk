"""The encoder on the corpus, then the three decoders on the encoder.

OUTPUTS:
    results/models/{encoder,expression,velocity,trajectory}/{config.json, model.safetensors, genes.feather,
        training.json, metrics.jsonl, run.json}
A run works in `results/models/{name}.partial`, which Snakemake does not know, so it goes on from its last checkpoint
after a kill. A profile that gives these rules a `gpu` has them run on it (profiles/gpu).
"""

TRAINING = str(PROJECT.training_path)
MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "genes.feather",
    "training.json",
    "metrics.jsonl",
)


rule pretrain_encoder:
    """Contrastive and masked-expression pretraining."""
    input:
        corpus="results/corpus/manifest.json",
        shards=collect("results/corpus/shards/{group}.{split}.feather", group=GROUPS, split=SPLITS),
        # What matters of it is in `params`: a change of a decoder's section does not train the encoder again.
        training=ancient(TRAINING),
    output:
        collect("results/models/encoder/{file}", file=MODEL_FILES),
    log:
        "logs/pretrain_encoder.log",
    benchmark:
        "results/benchmarks/pretrain_encoder.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    threads: 2 * CONFIG.pretrain_processes
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: 4000 * CONFIG.pretrain_processes * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 720 * min(attempt, TRIES),
    params:
        processes=CONFIG.pretrain_processes,
        device=device_of_job,
        model=PROJECT.training.model.model_dump(mode="json"),
        pretrain=PROJECT.training.pretrain.model_dump(mode="json"),
    shell:
        "velocorpus pretrain --corpus results/corpus --config {input.training:q} --out results/models/encoder "
        "--processes {params.processes} --threads 2 --device {params.device} --resume 2> {log:q}"


rule finetune_expression:
    """The expression decoder, on the corpus alone."""
    input:
        corpus="results/corpus/manifest.json",
        encoder="results/models/encoder/model.safetensors",
        training=ancient(TRAINING),
    output:
        collect("results/models/expression/{file}", file=MODEL_FILES),
    log:
        "logs/finetune_expression.log",
    benchmark:
        "results/benchmarks/finetune_expression.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 720 * min(attempt, TRIES),
    params:
        device=device_of_job,
        finetune=PROJECT.training.finetune.expression.model_dump(mode="json"),
    shell:
        "velocorpus finetune expression --model results/models/encoder --corpus results/corpus "
        "--config {input.training:q} --out results/models/expression --device {params.device} --resume 2> {log:q}"


rule finetune_velocity:
    """The velocity decoder, on the targets of the studies for training and validation."""
    input:
        corpus="results/corpus/manifest.json",
        encoder="results/models/encoder/model.safetensors",
        targets=taught_targets(),
        training=ancient(TRAINING),
    output:
        collect("results/models/velocity/{file}", file=MODEL_FILES),
    log:
        "logs/finetune_velocity.log",
    benchmark:
        "results/benchmarks/finetune_velocity.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 720 * min(attempt, TRIES),
    params:
        device=device_of_job,
        targets=lambda wildcards, input: repeated("--targets", input.targets),
        finetune=PROJECT.training.finetune.velocity.model_dump(mode="json"),
    shell:
        "velocorpus finetune velocity --model results/models/encoder --corpus results/corpus {params.targets:q} "
        "--config {input.training:q} --out results/models/velocity --device {params.device} --resume 2> {log:q}"


rule finetune_trajectory:
    """The generative decoder, on pairs of cells of the studies for training and validation."""
    input:
        corpus="results/corpus/manifest.json",
        encoder="results/models/encoder/model.safetensors",
        transitions=collect("results/transitions/{study}.feather", study=TAUGHT_STUDIES),
        training=ancient(TRAINING),
    output:
        collect("results/models/trajectory/{file}", file=MODEL_FILES),
    log:
        "logs/finetune_trajectory.log",
    benchmark:
        "results/benchmarks/finetune_trajectory.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 720 * min(attempt, TRIES),
    params:
        device=device_of_job,
        transitions=lambda wildcards, input: repeated("--transitions", input.transitions),
        finetune=PROJECT.training.finetune.trajectory.model_dump(mode="json"),
    shell:
        "velocorpus finetune trajectory --model results/models/encoder --corpus results/corpus {params.transitions:q} "
        "--config {input.training:q} --out results/models/trajectory --device {params.device} --resume 2> {log:q}"
