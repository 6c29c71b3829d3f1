"""Reads to a tagged BAM (starsolo, cellranger) or to counts (kb).

OUTPUTS:
    results/kb/{sample}/counts_unfiltered/cells_x_genes.{mature,nascent,ambiguous}.mtx, genes and barcodes beside
    results/align/{sample}/{aligned.bam, cells.tsv, gene_summary.csv, genefull_summary.csv, Log.final.out}
    results/cellranger/{sample}/run/outs/{possorted_genome_bam.bam, filtered_feature_bc_matrix/barcodes.tsv.gz, ...}
    called_by.txt beside both lists of cells: the quantifier's version, the method's figures and what it found

Which files a chemistry's barcodes come from, their lengths and the strand: src/velocorpus/reads/chemistries.py.
"""


rule write_whitelist:
    """10x's list of a chemistry as plain text: STAR reads no gzip here."""
    output:
        temp("results/whitelists/{chemistry}.txt"),
    log:
        "logs/write_whitelist/{chemistry}.log",
    wildcard_constraints:
        chemistry="10x[a-z0-9_]+",
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    shell:
        "velocorpus whitelist {wildcards.chemistry:q} --out {output:q} 2> {log:q}"


rule copy_whitelist:
    """The sample's own list, checked."""
    input:
        own_whitelist,
    output:
        temp("results/whitelists/samples/{sample}.txt"),
    log:
        "logs/copy_whitelist/{sample}.log",
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    resources:
        attempt=attempt_of,
        mem_mb=500,
        runtime=10,
    params:
        chemistry=lambda wildcards: TABLES.samples[wildcards.sample].chemistry,
    shell:
        step_of_sample(
            "whitelist", "velocorpus whitelist {params.chemistry:q} --given {input:q} --out {output:q}"
        )


rule quantify_kb:
    """Mature, nascent and ambiguous molecules by pseudoalignment: nothing to install but velocorpus."""
    input:
        index=kb_index,
        reads=lanes,
        understood=understood,
        whitelist=kb_whitelist,
    output:
        matrices=collect(
            "results/kb/{{sample}}/counts_unfiltered/cells_x_genes.{layer}.mtx",
            layer=("mature", "nascent", "ambiguous"),
        ),
        genes="results/kb/{sample}/counts_unfiltered/cells_x_genes.genes.txt",
        barcodes="results/kb/{sample}/counts_unfiltered/cells_x_genes.barcodes.txt",
        info="results/kb/{sample}/kb_info.json",
        run="results/kb/{sample}/run_info.json",
    log:
        "logs/quantify_kb/{sample}.log",
    benchmark:
        "results/benchmarks/quantify_kb/{sample}.tsv"
    retries: RETRIES
    conda:
        "../../envs/kb.yaml"
    threads: 8
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, input, attempt: (6000 + 2 * input.size_mb) * min(attempt, TRIES),
        runtime=lambda wildcards, input, attempt: round(60 + input.size_mb / 100) * min(attempt, TRIES),
    params:
        index=kb_folder,
        chemistry=chemistry_of_sample,
        folder="results/kb/{sample}",
        whitelist=lambda wildcards, input: repeated("-w", [input.whitelist] if input.whitelist else []),
    shell:
        step_of_sample(
            "align",
            "kb count --workflow nac --overwrite --delete-bus -t {threads} -m 2G --tmp {params.folder:q}/tmp "
            "-i {params.index:q}/index.idx -g {params.index:q}/t2g.txt "
            "-c1 {params.index:q}/mature.txt -c2 {params.index:q}/nascent.txt "
            "-x {params.chemistry.technology} --strand {params.chemistry.strand} {params.whitelist:q} "
            "-o {params.folder:q} {input.reads:q}",
            scratch="{params.folder:q}",
        )


rule align_starsolo:
    """A BAM with corrected barcodes and UMIs, and the barcodes that are cells (EmptyDrops, introns counted)."""
    input:
        index=star_index,
        parameters=star_align_parameters,
        whitelist=star_whitelist,
        cdna=cdna_reads,
        barcodes=barcode_reads,
        understood=understood,
    output:
        bam=temp("results/align/{sample}/aligned.bam"),
        cells="results/align/{sample}/cells.tsv",
        called_by="results/align/{sample}/called_by.txt",
        gene_summary="results/align/{sample}/gene_summary.csv",
        genefull_summary="results/align/{sample}/genefull_summary.csv",
        summary="results/align/{sample}/Log.final.out",
    log:
        "logs/align_starsolo/{sample}.log",
    benchmark:
        "results/benchmarks/align_starsolo/{sample}.tsv"
    retries: RETRIES
    conda:
        "../../envs/star.yaml"
    threads: 8
    resources:
        attempt=attempt_of,
        mem_mb=lambda wildcards, input, attempt: (4000 + 1.5 * input.size_mb) * min(attempt, TRIES),
        runtime=lambda wildcards, input, attempt: round(120 + input.size_mb / 50) * min(attempt, TRIES),
    params:
        index=star_folder,
        chemistry=chemistry_of_sample,
        folder="results/align/{sample}",
        cdna=lambda wildcards, input: ",".join(input.cdna),
        barcodes=lambda wildcards, input: ",".join(input.barcodes),
    shell:
        # GeneFull comes first because UB is corrected against the first feature only; without Gene the Velocyto
        # matrices can be empty. The barcode read may be longer than barcode and UMI (soloBarcodeReadLength 0).
        # STAR's log tells of the first feature first; below 45,000 barcodes it says that EmptyDrops had no say.
        step_of_sample(
            "align",
            "STAR --runThreadN {threads} --genomeDir {params.index:q} --parametersFiles {input.parameters:q} "
            "--readFilesIn {params.cdna:q} {params.barcodes:q} --readFilesCommand gzip -cdf "
            "--soloType CB_UMI_Simple --soloFeatures GeneFull Gene Velocyto "
            "--soloStrand {params.chemistry.star_strand} --soloCBwhitelist {input.whitelist:q} "
            "--soloCBlen {params.chemistry.barcode_len} --soloUMIstart $(( {params.chemistry.barcode_len} + 1 )) "
            "--soloUMIlen {params.chemistry.umi_len} --soloBarcodeReadLength 0 "
            "--soloUMIdedup 1MM_CR --soloUMIfiltering MultiGeneUMI_CR --soloCBmatchWLtype 1MM_multi_Nbase_pseudocounts "
            "--soloCellFilter EmptyDrops_CR --clipAdapterType CellRanger4 --outFilterScoreMin 30 "
            "--outSAMtype BAM SortedByCoordinate --limitBAMsortRAM $(( {resources.mem_mb} * 500000 )) "
            "--outSAMattributes NH HI CR CB UR UB GX GN sS sQ sM --outFileNamePrefix {params.folder:q}/ && "
            "cd {params.folder:q} && cp Solo.out/GeneFull/filtered/barcodes.tsv cells.tsv && "
            '{{ echo "STARsolo $(STAR --version) on GeneFull"; sed -nE "s/.*(EmptyDrops_CR filtering parameters: .*|'
            'nUMImax=.*|number of additional .*|nCB=.* is smaller than emptyCellMinIndex=[0-9]+).*/\\1/p" Log.out | '
            "sed -n 1,3p; }} | tr -s ' ' | paste -sd ';' > called_by.txt && "
            "cp Solo.out/Gene/Summary.csv gene_summary.csv && cp Solo.out/GeneFull/Summary.csv genefull_summary.csv && "
            "mv Aligned.sortedByCoord.out.bam aligned.bam && rm -rf Solo.out",
            scratch="{params.folder:q}",
        )


rule count_cellranger:
    """Cell Ranger's own run, by the user's licensed copy; introns are counted, as is its default since version 7."""
    input:
        index=cellranger_index,
        reads=lanes,
        understood=understood,
    output:
        bam=temp("results/cellranger/{sample}/run/outs/possorted_genome_bam.bam"),
        cells="results/cellranger/{sample}/run/outs/filtered_feature_bc_matrix/barcodes.tsv.gz",
        called_by="results/cellranger/{sample}/run/outs/filtered_feature_bc_matrix/called_by.txt",
        metrics="results/cellranger/{sample}/run/outs/metrics_summary.csv",
        web="results/cellranger/{sample}/run/outs/web_summary.html",
    log:
        "logs/count_cellranger/{sample}.log",
    benchmark:
        "results/benchmarks/count_cellranger/{sample}.tsv"
    retries: RETRIES
    conda:
        "../../envs/velocorpus.yaml"
    threads: 16
    resources:
        attempt=attempt_of,
        # 10x asks for 64 GB whatever the input, and Cell Ranger keeps to what it is given.
        mem_mb=lambda wildcards, attempt: 64000 * min(attempt, TRIES),
        runtime=lambda wildcards, input, attempt: round(480 + input.size_mb / 30) * min(attempt, TRIES),
    params:
        cellranger=CONFIG.quantify.cellranger,
        chemistry=chemistry_of_sample,
        folder="results/cellranger/{sample}",
        index=lambda wildcards, input: os.path.dirname(os.path.abspath(input.index)),
    shell:
        # Cell Ranger tells lanes and reads by file names, and wants to make its folder itself.
        step_of_sample(
            "align",
            "mkdir {params.folder:q}/fastq && lane=0 && "
            "set -- {input.reads:q} && while [ $# -gt 0 ]; do lane=$(( lane + 1 )); for read in 1 2; do "
            'ln -s "$(realpath "$1")" "$(printf "%s/fastq/reads_S1_L%03d_R%d_001.fastq.gz" {params.folder:q} $lane $read)"; '
            "shift; done; done && cd {params.folder:q} && "
            "{params.cellranger:q} count --id=run --transcriptome={params.index:q} --fastqs=fastq --sample=reads "
            "--create-bam=true --chemistry={params.chemistry.cellranger} --nosecondary --disable-ui "
            "--localcores={threads} --localmem=$(( {resources.mem_mb} / 1024 )) && "
            'echo "$({params.cellranger:q} --version), its own call (no --expect-cells, no --force-cells)" '
            "> run/outs/filtered_feature_bc_matrix/called_by.txt",
            scratch="{params.folder:q}",
        )
