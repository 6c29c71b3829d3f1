"""Which files are taken follows from read lengths and what is public; what the words of a deposit rule out is said."""

import pytest

from velocorpus.reads.resolve.choice import choices, doubt, original_pairs, refusal
from velocorpus.reads.resolve.rows import Settings, tabulate
from velocorpus.reads.resolve.runs import File, Run, merge

HUMAN = {"organism": "Homo sapiens", "study": "PRJNA1", "experiment": "SRX1"}


def ena(*ends):
    return tuple(File(f"https://e/SRR1{end}.fastq.gz", f"SRR1{end}.fastq.gz", "ena") for end in ends)


def given(*names, offline=""):
    return tuple(File(f"https://s/{name}", name, "submitter", offline=offline) for name in names)


def run(*files, lengths=(), **words):
    return Run(**({"run": "SRR1", "title": "10x PBMC"} | HUMAN | words), read_lengths=lengths, files=tuple(files))


def best(one):
    found, nothing = choices(one)
    return found[0] if found else nothing


def names(choice):
    return [tuple(file.name for file in pair if file) for pair in choice.pairs]


@pytest.mark.parametrize("lengths", [(28, 91), (26, 98), (28, 150), (26.0, 57.5)])
def test_two_files_of_two_reads_with_a_barcode_length_are_taken_without_a_note(lengths):
    choice = best(run(*ena("_1", "_2"), lengths=lengths))
    assert (choice.source, choice.note) == ("ena_fastq", "")
    assert names(choice) == [("SRR1_1.fastq.gz", "SRR1_2.fastq.gz")]


def test_swapped_reads_are_put_in_their_places_and_noted():
    choice = best(run(*ena("_1", "_2"), lengths=(91, 28)))
    assert names(choice) == [("SRR1_2.fastq.gz", "SRR1_1.fastq.gz")]
    assert choice.note == "barcodes are in ENA's read 2 and cDNA in read 1 (91 + 28 bases)"


def test_index_reads_are_left_out_wherever_they_stand():
    choice = best(run(*ena("_1", "_2", "_3", "_4"), lengths=(8, 8, 28, 91)))
    assert names(choice) == [("SRR1_3.fastq.gz", "SRR1_4.fastq.gz")]


def test_mates_without_a_partner_do_not_disturb_the_pair():
    assert names(best(run(*ena("", "_1", "_2"), lengths=(28, 91)))) == [("SRR1_1.fastq.gz", "SRR1_2.fastq.gz")]


def test_three_files_of_unknown_lengths_are_left_to_the_dump():
    choice = best(run(*ena("_1", "_2", "_3")))
    assert choice.source == "sra"
    assert "which of ENA's 3 FASTQs hold barcodes and cDNA is not said" in choice.note


def test_originals_go_before_the_dump_and_the_dump_before_a_bam():
    files = (*ena(""), *given("a_R1.fastq.gz", "a_R2.fastq.gz", "possorted_genome_bam.bam"))
    found, _ = choices(run(*files, lengths=(28, 91)))
    assert [choice.source for choice in found] == ["original_fastq", "sra", "original_bam"]


def test_a_bam_goes_before_reads_whose_lengths_nobody_knows():
    assert best(run(*ena("_1", "_2"), *given("possorted_genome_bam.bam"))).source == "original_bam"


def test_a_bam_goes_before_long_reads_that_may_all_be_cdna():
    found, _ = choices(run(*ena("_1", "_2"), *given("x.bam"), lengths=(98, 98)))
    assert [choice.source for choice in found] == ["original_bam", "ena_fastq"]


def test_a_bam_that_nothing_calls_10x_is_noted():
    assert "the BAM may have" in best(run(*given("x.bam"), lengths=(98,), title="x")).note.replace("submitter's ", "")
    assert "BAM has" in best(run(*given("x_possorted_genome_bam.bam"), lengths=(98,), title="x")).note


def test_originals_that_are_kept_offline_are_not_taken_but_named():
    said = best(
        run(*ena(""), *given("a_R1.fastq.gz", "a_R2.fastq.gz", offline="Use Cloud Data Delivery"), lengths=(98,))
    )
    assert said.startswith(
        "no public file holds its barcodes (SRA's reads have 98 bases); the submitter's a_R1.fastq.gz"
    )


def test_several_bams_of_one_run_are_units_of_their_own():
    tables = tabulate([run(*given("a.bam", "b.bam"), lengths=(98,))], Settings())
    assert [(unit["unit"], unit["read1"]) for unit in tables.units] == [
        ("SRR1_1", "https://s/a.bam"),
        ("SRR1_2", "https://s/b.bam"),
    ]


def test_cdna_alone_cannot_be_used():
    assert best(run(*ena(""), lengths=(98,))).startswith("only the cDNA was deposited")


def test_originals_that_cannot_be_read_are_named():
    said = best(run(*ena(""), *given("b.cram", "a.tar.gz"), lengths=(98,)))
    assert "the submitter's files are neither pairs of FASTQs nor BAMs (a.tar.gz, b.cram): look into them" in said


@pytest.mark.parametrize(
    ("files", "pairs"),
    [
        (["s_S1_L001_R1_001.fastq.gz", "s_S1_L001_R2_001.fastq.gz", "s_S1_L001_I1_001.fastq.gz"], 1),
        (["a_1.fq.gz", "a_2.fq.gz"], 1),
        (["a.R1.fastq.gz", "a.R2.fastq.gz", "b.R1.fastq.gz", "b.R2.fastq.gz"], 2),
        (["a_R1.fastq.gz", "b_R2.fastq.gz"], 0),
        (["a_I1.fastq.gz", "a_I2.fastq.gz"], 0),
        (["a_R1.fastq", "a_R2.fastq"], 0),
        (["R1.fastq.gz", "R2.fastq.gz"], 1),
    ],
)
def test_submitters_files_are_paired_by_their_names(files, pairs):
    assert len(original_pairs(list(given(*files)))) == pairs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"strategy": "ATAC-seq"}, "its library strategy is ATAC-seq, not RNA-Seq"),
        ({"source": "GENOMIC"}, "its library source is GENOMIC, not transcriptomic"),
        ({"platform": "OXFORD_NANOPORE"}, "long reads (OXFORD_NANOPORE)"),
        ({"closed": "access is 'GRU'"}, "access is 'GRU'"),
        ({"title": "GSM1: donor_1_HTO; Homo sapiens; RNA-Seq"}, "'HTO': not a library of gene expression"),
        ({"title": "T cells TCR"}, "'TCR': not a library of gene expression"),
        ({"title": "10x V(D)J enriched"}, "'V(D)J': not a library of gene expression"),
        ({"title": "10x Visium slice A"}, "'Visium': spatial"),
        ({"title": "CEL-Seq2 plate 3"}, "'CEL-Seq2': not 10x"),
        ({"title": "cells", "protocol": "Drop-seq as published"}, "its protocol says 'Drop-seq': not 10x"),
        ({"title": "bulk RNA of islets"}, "'bulk': not single cells"),
        ({"title": "donor 3", "protocol": "Chromium Fixed RNA Profiling kit"}, "probes, which see no introns"),
        ({"title": "cells", "strategy": "OTHER"}, "OTHER and nothing says 10x"),
    ],
)
def test_what_a_deposit_says_of_itself_can_rule_it_out(words, said):
    assert said in refusal(Run(**words))


@pytest.mark.parametrize(
    "words",
    [
        {"title": "PBMC; Homo sapiens; RNA-Seq", "strategy": "RNA-Seq", "source": "TRANSCRIPTOMIC"},
        {"title": "10x 3' v3 gene expression beside HTO"},
        {"title": "10x of cells sorted for Smart-seq2, too"},
        {"title": "donor 1", "protocol": "10x Chromium; bulk tissue was minced; others by Smart-seq2"},
        {"title": "anti-PD1 antibody treated tumour"},
        {"title": "CRISPR knock-out clone 3"},
        {"title": "OT-I TCR transgenic mice"},
        {"title": "10x cells", "strategy": "OTHER"},
        {},
    ],
)
def test_words_that_only_sound_alike_rule_nothing_out(words):
    assert refusal(Run(**words)) == ""


def test_gene_expression_beside_another_library_is_taken_with_a_note():
    assert doubt(Run(title="scRNA and ADT")) == "its title says 'ADT' beside gene expression"


def test_a_run_that_neither_words_nor_lengths_call_10x_is_noted():
    assert doubt(Run(title="cells")) == "nothing in the metadata says 10x"
    assert doubt(Run(title="cells", read_lengths=(28, 91))) == ""
    assert doubt(Run(title="cells", protocol="10xv3")) == ""


def test_a_library_of_two_organisms_is_set_aside():
    pair = ena("_1", "_2")
    runs = [run(*pair), run(*pair, run="SRR2", organism="Mus musculus"), run(*pair, run="SRR3", title="HTO")]
    tables = tabulate(runs, Settings())
    assert not tables.samples
    several = "the runs of SRX1 are of several organisms: human, mouse"
    assert [row["reason"][: len(several)] for row in tables.runs[:2]] == [several] * 2
    assert "'HTO'" in tables.runs[2]["reason"]


def test_species_mixed_in_one_run_are_set_aside():
    tables = tabulate([run(*ena("_1", "_2"), organism="Homo sapiens;Mus musculus")], Settings())
    assert "its organism is Homo sapiens;Mus musculus" in tables.runs[0]["reason"]


def test_experiments_of_one_biosample_are_one_sample_when_asked():
    two = [run(*ena("_1", "_2"), biosample="SAMN1"), run(run="SRR2", experiment="SRX2", biosample="SAMN1")]
    tables = tabulate(two, Settings(by="biosample"))
    assert [(row["sample"], row["experiment"], row["run"]) for row in tables.samples] == [
        ("SAMN1", "SRX1;SRX2", "SRR1;SRR2")
    ]


def test_pooled_biosamples_are_no_library():
    tables = tabulate([run(*ena("_1", "_2"), biosample="SAMN1;SAMN2")], Settings(by="biosample"))
    assert tables.samples[0]["sample"] == "SRX1"
    assert "its biosample is not said or is several" in tables.units[0]["note"]


def test_a_run_of_an_unknown_experiment_is_noted_as_a_sample_of_its_own():
    tables = tabulate([run(*ena("_1", "_2"), experiment="")], Settings())
    assert tables.samples[0]["sample"] == "SRR1"
    assert "its experiment is not said" in tables.units[0]["note"]


def test_what_is_set_aside_of_a_library_is_noted_at_its_other_runs():
    tables = tabulate([run(*ena("_1", "_2")), run(*ena(""), run="SRR2", lengths=(98,))], Settings())
    assert tables.units[0]["note"] == "the library's run SRR2 is set aside"
    assert tables.samples[0]["run"] == "SRR1"


def test_tissue_and_disease_are_said_only_where_all_runs_agree():
    two = [run(*ena("_1", "_2"), tissue="lung", disease="a"), run(run="SRR2", tissue="lung", disease="b")]
    sample = tabulate(two, Settings()).samples[0]
    assert (sample["tissue"], sample["disease"]) == ("lung", "")


@pytest.mark.parametrize(
    ("title", "suspension"),
    [("snRNA-seq of cortex", "nucleus"), ("cortex_nuclei", "nucleus"), ("10x single cell", "cell"), ("cortex", "")],
)
def test_nuclei_are_told_from_cells_only_where_the_title_says_so(title, suspension):
    assert tabulate([run(*ena("_1", "_2"), title=title)], Settings()).samples[0]["suspension_type"] == suspension


def test_both_archives_know_one_file_once():
    ours = run(*given("x.bam"), title="")
    theirs = run(*given("x.bam"), File("https://n/SRR1", "SRR1", "sra"), title="10x", lengths=(98,))
    both = merge(ours, theirs)
    assert [file.name for file in both.files] == ["x.bam", "SRR1"]
    assert (both.title, both.read_lengths) == ("10x", (98,))
