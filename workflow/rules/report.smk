"""The summary: every table as text for the terminal and as one page; Snakemake's own report takes the figures.

OUTPUTS:
    results/evaluate/{summary.txt, summary.html}
"""


rule summarise:
    """All tables of the run, in the order of the road."""
    input:
        evaluation_tables(),
    output:
        text="results/evaluate/summary.txt",
        html=report(
            "results/evaluate/summary.html",
            caption="../report/summary.rst",
            category="Summary",
            labels={"figure": "all tables"},
        ),
    log:
        "logs/summarise.log",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "velocorpus report summary {input:q} --out {output.text:q} --html {output.html:q} 2> {log:q}"
