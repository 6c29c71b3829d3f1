"""Judgements: each is one table (JSON); figures beside them.

OUTPUTS:
    results/evaluate/corpus.json
    results/figures/curves.png
"""


rule tell_corpus:
    """Cells, studies, molecules and bytes per cell, per split."""
    input:
        manifest="results/corpus/manifest.json",
        samples="results/corpus/samples.feather",
    output:
        "results/evaluate/corpus.json",
    log:
        "logs/tell_corpus.log",
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
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "velocorpus report curves {input:q} --out {output:q} 2> {log:q}"
