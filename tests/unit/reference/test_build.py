"""A reference is a FASTA and a GTF that belong together, with the genes that 10x keeps."""

import gzip
import json

import pytest

from velocorpus.errors import UserMistake
from velocorpus.reference.build import build_reference

EXON, INTRON = "ACGTACGTAC", "GT" + "A" * 16 + "AG"
N_GENES = 12


def gene_lines(
    number, *, biotype="protein_coding", chromosome="1", tags="", gene_id=None, start=None, key="gene_biotype"
):
    """A gene of two exons of 10 bases around an intron of 20, at 1-based position 101 + 100 * number."""
    gene_id = gene_id or f"ENSG{number:011d}"
    start = start if start is not None else 101 + 100 * number
    kind = f'{key} "{biotype}"; ' if biotype else ""
    attributes = f'gene_id "{gene_id}"; gene_name "G{number}"; {kind}'
    transcript = f'{attributes}transcript_id "T{number}"; {tags}'
    spans = [("gene", 0, 39, attributes), ("transcript", 0, 39, transcript), ("exon", 0, 9, transcript)]
    spans += [("exon", 30, 39, transcript)]
    return [
        f"{chromosome}\tmade\t{feature}\t{start + first}\t{start + last}\t.\t+\t.\t{text}"
        for feature, first, last, text in spans
    ]


def write_gtf(path, lines):
    path.write_text("#!made\n" + "\n".join(lines) + "\n")
    return path


def write_fasta(path, *, before=100, name="1"):
    """A chromosome on which every gene of `gene_lines` has its exons and a GT-AG intron."""
    sequence = "C" * before + ("acgtacgtac" + INTRON + EXON + "C" * 60) * N_GENES
    path.write_text(f">{name} made\n" + "\n".join(sequence[i : i + 70] for i in range(0, len(sequence), 70)) + "\n")
    return path


@pytest.fixture
def all_genes():
    return [line for number in range(N_GENES) for line in gene_lines(number)]


def build(tmp_path, lines, *, fasta=True, **options):
    gtf = write_gtf(tmp_path / "in.gtf", lines)
    genome = write_fasta(tmp_path / "in.fa") if fasta is True else fasta
    return build_reference(gtf=gtf, out=tmp_path / "ref", fasta=genome or None, **options)


def kept_genes(tmp_path):
    rows = (tmp_path / "ref" / "gene_table.tsv").read_text().splitlines()
    return [row.split("\t")[0] for row in rows[1:]]


def test_a_gene_of_a_biotype_that_10x_drops_is_dropped_and_counted(tmp_path, all_genes):
    lines = gene_lines(0, biotype="snoRNA") + all_genes[4:]
    about = build(tmp_path, lines)
    assert about["dropped_by_biotype"] == {"snoRNA": 1}
    assert kept_genes(tmp_path) == [f"ENSG{n:011d}" for n in range(1, N_GENES)]
    assert "snoRNA" not in (tmp_path / "ref" / "genes.gtf").read_text()


def test_gencode_spelling_of_the_biotype_is_understood(tmp_path, all_genes):
    lines = gene_lines(0, biotype="snoRNA", key="gene_type") + [
        line.replace("gene_biotype", "gene_type") for line in all_genes[4:]
    ]
    assert build(tmp_path, lines)["dropped_by_biotype"] == {"snoRNA": 1}


def test_a_biotype_on_the_gene_line_alone_is_enough(tmp_path, all_genes):
    stripped = [
        line if "\tgene\t" in line else line.replace('gene_biotype "protein_coding"; ', "") for line in all_genes
    ]
    assert build(tmp_path, stripped)["n_genes"] == N_GENES


@pytest.mark.parametrize("tag", ["readthrough_transcript", "PAR"])
def test_a_gene_with_nothing_but_tagged_transcripts_is_dropped(tmp_path, all_genes, tag):
    lines = gene_lines(0, tags=f'tag "basic"; tag "{tag}";') + all_genes[4:]
    build(tmp_path, lines)
    assert "ENSG00000000000" not in kept_genes(tmp_path)


def test_biotypes_all_keeps_all(tmp_path, all_genes):
    lines = gene_lines(0, biotype="snoRNA") + all_genes[4:]
    assert build(tmp_path, lines, biotypes="all")["n_genes"] == N_GENES


def test_a_gtf_without_biotypes_keeps_all_and_says_so(tmp_path, capsys):
    lines = [line for number in range(N_GENES) for line in gene_lines(number, biotype="")]
    assert build(tmp_path, lines)["n_genes"] == N_GENES
    assert "states no gene_biotype or gene_type: all genes are kept" in capsys.readouterr().err


def test_versions_leave_the_gene_id_and_become_a_column(tmp_path, all_genes):
    lines = [line.replace('gene_id "ENSG00000000003"', 'gene_id "ENSG00000000003.7"') for line in all_genes]
    build(tmp_path, lines)
    table = (tmp_path / "ref" / "gene_table.tsv").read_text()
    assert "ENSG00000000003\tG3\t7\tprotein_coding\t1\t+\t401\t440" in table
    assert 'gene_id "ENSG00000000003"; gene_version "7"' in (tmp_path / "ref" / "genes.gtf").read_text()


def test_same_input_gives_same_bytes(tmp_path, all_genes):
    first = {}
    for run in (1, 2):
        build(tmp_path, all_genes)
        files = {file.name: file.read_bytes() for file in (tmp_path / "ref").iterdir()}
        assert run == 1 or files == first
        first = files


def test_compressed_input_gives_the_same_reference(tmp_path, all_genes):
    plain = build(tmp_path, all_genes)
    for name in ("in.gtf", "in.fa"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    packed = build_reference(gtf=tmp_path / "in.gtf.gz", fasta=tmp_path / "in.fa.gz", out=tmp_path / "ref")
    assert packed == plain


def test_a_gtf_alone_makes_a_reference_without_genome(tmp_path, all_genes):
    build(tmp_path, all_genes, fasta=None)
    assert sorted(file.name for file in (tmp_path / "ref").iterdir()) == [
        "gene_table.tsv",
        "genes.gtf",
        "reference.json",
    ]


def test_splice_sites_are_counted(tmp_path, all_genes):
    build(tmp_path, all_genes)
    assert json.loads((tmp_path / "ref" / "reference.json").read_text())["splice_site_share"] == 1.0


def test_a_fasta_of_another_assembly_is_refused_by_its_splice_sites_and_the_offset_is_named(tmp_path, all_genes):
    piece = write_fasta(tmp_path / "piece.fa", before=37)
    with pytest.raises(UserMistake, match=r"do not belong together.*at 1:63 it would be 12 of 12"):
        build(tmp_path, all_genes, fasta=piece)


def test_an_offset_puts_a_piece_where_the_gtf_has_it(tmp_path, all_genes):
    piece = write_fasta(tmp_path / "piece.fa", before=37)
    build(tmp_path, all_genes, fasta=piece, offsets={"1": 63})
    genome = (tmp_path / "ref" / "genome.fa").read_text().splitlines()
    assert "".join(genome[1:]).startswith("N" * 63 + "C" * 37 + EXON + INTRON)


def test_an_offset_of_an_unknown_chromosome_is_refused(tmp_path, all_genes):
    with pytest.raises(UserMistake, match=r"names chromosome '2'.*it has 1"):
        build(tmp_path, all_genes, offsets={"2": 63})


def test_no_shared_chromosome_is_refused_with_examples(tmp_path, all_genes):
    other = write_fasta(tmp_path / "chr.fa", name="chr1")
    with pytest.raises(UserMistake, match="share no chromosome: the FASTA has chr1, the GTF has 1"):
        build(tmp_path, all_genes, fasta=other)


def test_a_gene_that_a_piece_cuts_off_is_dropped_and_counted(tmp_path, all_genes):
    about = build(tmp_path, all_genes + gene_lines(N_GENES, start=100 + 100 * N_GENES - 20))
    assert about["dropped_outside_fasta"] == {"1": 1}


def test_many_genes_beyond_the_end_are_refused(tmp_path, all_genes):
    beyond = [line for number in range(N_GENES, N_GENES + 3) for line in gene_lines(number)]
    with pytest.raises(UserMistake, match=r"3 of 15 genes .* beyond the end"):
        build(tmp_path, all_genes + beyond)


def test_a_gtf_without_exons_is_refused(tmp_path, all_genes):
    with pytest.raises(UserMistake, match="has no exon lines"):
        build(tmp_path, [line for line in all_genes if "\texon\t" not in line])


def test_a_gtf_with_no_gene_that_10x_keeps_is_refused(tmp_path):
    lines = [line for number in range(N_GENES) for line in gene_lines(number, biotype="snoRNA")]
    with pytest.raises(UserMistake, match=r"it has snoRNA.*--biotypes all"):
        build(tmp_path, lines)


def test_a_gff3_is_refused_with_its_line(tmp_path):
    with pytest.raises(UserMistake, match="line 2 has no gene_id"):
        build(tmp_path, ["1\tmade\texon\t1\t9\t.\t+\t.\tID=exon1;Parent=T1"])


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty"), ("@read\nACGT\n", "is not FASTA"), (">1\nA\n>1\nC\n", "stands twice")]
)
def test_what_is_no_fasta_is_refused(tmp_path, all_genes, text, said):
    (tmp_path / "bad.fa").write_text(text)
    with pytest.raises(UserMistake, match=said):
        build(tmp_path, all_genes, fasta=tmp_path / "bad.fa")


def test_nothing_is_left_behind_by_a_refusal(tmp_path, all_genes):
    with pytest.raises(UserMistake):
        build(tmp_path, [line for line in all_genes if "\texon\t" not in line])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.fa", "in.gtf"]


def test_a_small_genome_gets_a_short_star_index_and_its_longest_intron(tmp_path, all_genes):
    build(tmp_path, all_genes)
    assert (tmp_path / "ref" / "star.params").read_text() == "genomeSAindexNbases 4\ngenomeChrBinNbits 10\n"
    assert (tmp_path / "ref" / "star_align.params").read_text() == "alignIntronMax 20\n"
