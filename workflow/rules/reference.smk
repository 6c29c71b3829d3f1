"""References: checked, filtered to the genes that 10x keeps, and indexed for each quantifier.

OUTPUTS:
    results/reference/{reference}/{genes.gtf, gene_table.tsv, reference.json}
    results/reference/{reference}/{genome.fa, star.params, star_align.params}, where there is a FASTA
    results/index/kb/{reference}/, results/index/star/{reference}/, results/index/cellranger/{reference}/
"""


rule filter_reference:
    """The genes that 10x keeps, and proof that FASTA and GTF belong together."""
    input:
        fasta="results/reference/sources/{reference}.fasta",
        gtf="results/reference/sources/{reference}.gtf",
    output:
        fasta="results/reference/{reference}/genome.fa",
        gtf="results/reference/{reference}/genes.gtf",
        genes="results/reference/{reference}/gene_table.tsv",
        star="results/reference/{reference}/star.params",
        star_align="results/reference/{reference}/star_align.params",
        about="results/reference/{reference}/reference.json",
    log:
        "logs/filter_reference/{reference}.log",
    wildcard_constraints:
        reference=references_with_fasta(True),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: (2000 + 5 * input.size_mb) * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        organism=organism_of,
        biotypes=biotypes_of,
        offset=offset_of,
    shell:
        "velocorpus reference --fasta {input.fasta:q} --gtf {input.gtf:q} --name {wildcards.reference:q} "
        "--organism {params.organism:q} --biotypes {params.biotypes:q} {params.offset:q} "
        "--out results/reference/{wildcards.reference:q} 2> {log:q}"


rule filter_annotation:
    """A GTF alone: enough to count BAMs that are aligned already."""
    input:
        gtf="results/reference/sources/{reference}.gtf",
    output:
        gtf="results/reference/{reference}/genes.gtf",
        genes="results/reference/{reference}/gene_table.tsv",
        about="results/reference/{reference}/reference.json",
    log:
        "logs/filter_annotation/{reference}.log",
    wildcard_constraints:
        reference=references_with_fasta(False),
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 60 * min(attempt, TRIES),
    params:
        organism=organism_of,
        biotypes=biotypes_of,
    shell:
        "velocorpus reference --gtf {input.gtf:q} --name {wildcards.reference:q} "
        "--organism {params.organism:q} --biotypes {params.biotypes:q} "
        "--out results/reference/{wildcards.reference:q} 2> {log:q}"


rule index_kb:
    """kallisto's index of mature and nascent RNA (kb's nac workflow)."""
    input:
        fasta="results/reference/{reference}/genome.fa",
        gtf="results/reference/{reference}/genes.gtf",
    output:
        index="results/index/kb/{reference}/index.idx",
        t2g="results/index/kb/{reference}/t2g.txt",
        mature="results/index/kb/{reference}/mature.txt",
        nascent="results/index/kb/{reference}/nascent.txt",
        mature_fasta=temp("results/index/kb/{reference}/mature.fa"),
        nascent_fasta=temp("results/index/kb/{reference}/nascent.fa"),
    log:
        "logs/index_kb/{reference}.log",
    benchmark:
        "results/benchmarks/index_kb/{reference}.tsv"
    conda:
        "../../envs/kb.yaml"
    threads: 8
    resources:
        # kallisto's manual states 16 GB and more for a human nac index.
        mem_mb=lambda wildcards, input, attempt: (2000 + 16 * input.size_mb) * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 180 * min(attempt, TRIES),
    params:
        # kb refuses a folder that exists, which a killed run leaves behind.
        tmp="results/index/kb/{reference}/tmp",
    shell:
        "rm -rf {params.tmp:q} && "
        "kb ref --workflow nac --overwrite -t {threads} --tmp {params.tmp:q} "
        "-i {output.index:q} -g {output.t2g:q} -c1 {output.mature:q} -c2 {output.nascent:q} "
        "-f1 {output.mature_fasta:q} -f2 {output.nascent_fasta:q} {input.fasta:q} {input.gtf:q} 2> {log:q}"


rule index_star:
    """STAR's index; the splice junctions are those of the kept genes."""
    input:
        fasta="results/reference/{reference}/genome.fa",
        gtf="results/reference/{reference}/genes.gtf",
        star="results/reference/{reference}/star.params",
    output:
        collect("results/index/star/{{reference}}/{file}", file=STAR_INDEX),
    log:
        "logs/index_star/{reference}.log",
    benchmark:
        "results/benchmarks/index_star/{reference}.tsv"
    conda:
        "../../envs/star.yaml"
    threads: 8
    resources:
        # About ten bytes a base, says STAR's manual.
        mem_mb=lambda wildcards, input, attempt: (2000 + 12 * input.size_mb) * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 180 * min(attempt, TRIES),
    params:
        folder="results/index/star/{reference}",
    shell:
        "STAR --runMode genomeGenerate --runThreadN {threads} --genomeDir {params.folder:q} "
        "--genomeFastaFiles {input.fasta:q} --sjdbGTFfile {input.gtf:q} --parametersFiles {input.star:q} "
        "--sjdbOverhang 90 --outFileNamePrefix {params.folder:q}/ > {log:q} 2>&1"


rule make_cellranger_reference:
    """Cell Ranger's reference folder; its program is the user's own licensed copy."""
    input:
        fasta="results/reference/{reference}/genome.fa",
        gtf="results/reference/{reference}/genes.gtf",
    output:
        "results/index/cellranger/{reference}/reference.json",
    log:
        "logs/make_cellranger_reference/{reference}.log",
    benchmark:
        "results/benchmarks/make_cellranger_reference/{reference}.tsv"
    conda:
        "../../envs/velocorpus.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 40000 * min(attempt, TRIES),
        runtime=lambda wildcards, attempt: 300 * min(attempt, TRIES),
    params:
        cellranger=CONFIG.quantify.cellranger,
        folder="results/index/cellranger/{reference}",
    shell:
        # mkref wants to make its folder itself.
        "rm -rf {params.folder:q} && "
        "{params.cellranger:q} mkref --genome={wildcards.reference:q} --fasta={input.fasta:q} "
        "--genes={input.gtf:q} --output-dir={params.folder:q} --nthreads={threads} "
        "--memgb=$(( {resources.mem_mb} / 1024 )) > {log:q} 2>&1"
