"""Records, blocks and headers that contradict themselves are refused with their place; odd but valid ones are read."""

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.fuzz.material import EOF_BLOCK, block, header, record, tag
from tests.fuzz.mutate import put

from velocorpus.counting.accounting import MULTIMAPPED, UNMAPPED, UNTAGGED
from velocorpus.counting.alignments.bam import read_header, tags_found
from velocorpus.counting.alignments.bgzf import read_chunks
from velocorpus.counting.alignments.by_pysam import read_batches
from velocorpus.counting.alignments.reads import FLAG_UNMAPPED, Selection, decode
from velocorpus.counting.barcodes import barcode_table, read_barcodes
from velocorpus.errors import UserMistake

CELL, UMI, ONE = tag("CB", "Z", "ACGT-1"), tag("UB", "Z", "AAAA"), tag("NH", "C", 1)
SELECTION = Selection(*barcode_table(["ACGT"]))


def a_read(tags=CELL + UMI + ONE, cigar=(50 << 4,), n_bases=50, **other):
    return record(
        **{"reference": 0, "position": 100, "flag": 0, "cigar": cigar, "n_bases": n_bases, "tags": tags} | other
    )


def write(path, *records, before=b""):
    path.write_bytes(block(header()) + b"".join(block(r, before=before) for r in records) + EOF_BLOCK)
    return path


def compiled(path):
    head = read_header(path)
    with ThreadPoolExecutor(1) as pool:
        chunks = read_chunks(path, head.first_record, pool, 1)
        return [decode(path, chunk, len(head.chromosomes), SELECTION) for chunk in chunks]


def outcomes(path):
    """What became of the records, the same by both readers; None for each read that may count."""
    ours, theirs = (
        sum(b.outcomes for b in batches) for batches in (compiled(path), read_batches(path, ["ACGT"], SELECTION))
    )
    assert ours.tolist() == theirs.tolist()
    return np.flatnonzero(ours).tolist()


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        (put(a_read(), 12, "B", 0), "longer than itself"),
        (put(a_read(), 20, "i", -1), "longer than itself"),
        (put(a_read(), 20, "i", 2**31 - 1), "longer than itself"),
        (put(a_read(), 16, "H", 65_535), "longer than itself"),
        (a_read(reference=3), "chromosome that the header does not have"),
        (a_read(reference=-2), "chromosome that the header does not have"),
        (put(a_read(), 24, "i", 3), "chromosome that the header does not have"),
        (a_read(reference=3, flag=FLAG_UNMAPPED), "chromosome that the header does not have"),
        (a_read(position=-2), "position that no chromosome has"),
        (a_read(position=2**31 - 1), "position that no chromosome has"),
        (a_read(cigar=(50 << 4 | 9,)), "operation that does not exist"),
        (a_read(cigar=(49 << 4,)), "more or fewer bases"),
        (a_read(cigar=(2**28 - 1 << 4,) * 16), "more or fewer bases"),
        (a_read(CELL + UMI + b"XXdabcdefgh"), "type that does not exist"),
        (a_read(CELL + UMI + b"XXBd\0\0\0\0"), "type that does not exist"),
        (a_read(CELL + UMI + b"XXZno end"), "longer than its record"),
        (a_read(CELL + UMI + b"XXBi\xff\xff\xff\x7f"), "longer than its record"),
        (a_read(CELL + UMI + b"XXBi\xff\xff\xff\xff"), "longer than its record"),
        (a_read(CELL + UMI + b"XXi\1\0"), "longer than its record"),
        (a_read(CELL + UMI + b"XX"), "longer than its record"),
        (a_read(CELL + b"XXZno end", flag=FLAG_UNMAPPED), "longer than its record"),
        (a_read(CELL + b"UBZAC\xffT\0" + ONE), "no printable character"),
        (a_read(b"CBZACGT-\n\0" + UMI + ONE), "no printable character"),
    ],
)  # fmt: skip
def test_damaged_record_is_refused_with_its_place(tmp_path, damaged, what):
    path = write(tmp_path / "reads.bam", a_read(), damaged, a_read())
    place = len(block(header())) + len(block(a_read()))
    with pytest.raises(
        UserMistake, match=f"reads.bam is damaged at the block at byte {place}, 0 bytes into it: .*{what}"
    ):
        compiled(path)


@pytest.mark.parametrize("size", [0, 31, -1, 2**31 - 1, 2**26 + 1])
def test_impossible_length_of_a_record_is_refused(tmp_path, size):
    with pytest.raises(UserMistake, match=f"says that it is {size} bytes long"):
        compiled(write(tmp_path / "reads.bam", a_read(), put(a_read(), 0, "i", size)))


def test_last_record_that_is_cut_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="damaged at its end: the last record is cut, 40 bytes of it are there"):
        compiled(write(tmp_path / "reads.bam", a_read(), a_read()[:40]))


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (0, 0, "no whole BGZF block begins there"),
        (10, 65_535, "no whole BGZF block begins there"),
        (10, 0, "no whole BGZF block begins there"),
        (16, 0, "no whole BGZF block begins there"),
        (16, 65_535, "no whole BGZF block begins there"),
        (-8, 0, "cannot be inflated"),
        (-4, 0, "cannot be inflated|holds 139 bytes and says"),
        (-2, 65_535, "more than 65,536 bytes"),
    ],
)
def test_damaged_block_is_refused_with_its_place(tmp_path, at, value, what):
    path, first = tmp_path / "reads.bam", block(header())
    damaged = block(a_read())
    path.write_bytes(first + put(damaged, at % len(damaged), "H", value) + block(a_read()) + EOF_BLOCK)
    with pytest.raises(UserMistake, match=f"reads.bam is damaged at byte {len(first)}: .*({what})"):
        compiled(path)


def test_file_without_its_last_block_is_refused(tmp_path):
    path = write(tmp_path / "reads.bam", a_read())
    path.write_bytes(path.read_bytes()[: -len(EOF_BLOCK)])
    with pytest.raises(UserMistake, match="is truncated: the block that ends a BAM is missing"):
        read_header(path)


def test_gzip_that_is_not_in_blocks_as_htslib_knows_them_is_refused(tmp_path):
    path = tmp_path / "reads.bam"
    path.write_bytes(block(header(), before=b"XY\1\0a") + block(a_read()) + EOF_BLOCK)
    with pytest.raises(UserMistake, match="not in the blocks of a BAM"):
        read_header(path)


def test_subfields_and_empty_blocks_between_blocks_are_read(tmp_path):
    path = write(tmp_path / "reads.bam", a_read(), b"", a_read(), before=b"XY\3\0abc")
    assert [p for batch in compiled(path) for p in batch.position] == [101, 101]


def test_record_across_many_blocks_is_read(tmp_path):
    one = a_read(CELL + UMI + tag("XX", "BI", range(40_000)))
    path = write(tmp_path / "reads.bam", *(one[i : i + 900] for i in range(0, len(one), 900)), a_read())
    assert [p for batch in compiled(path) for p in batch.position] == [101, 101]


@pytest.mark.parametrize("nh", [tag("NH", "Z", "1"), tag("NH", "i", -1), tag("NH", "BC", (1, 1)), tag("NH", "s", 257)])
def test_nh_that_is_not_the_number_1_is_not_unique_whatever_the_mapq(tmp_path, nh):
    assert outcomes(write(tmp_path / "reads.bam", a_read(CELL + UMI + nh))) == [MULTIMAPPED]


@pytest.mark.parametrize("umi", [b"UBZA\xffC\0", b"UBA\xff", b"UBZA\tC\0", b"UBZ\xc3\xa9\0"])
def test_text_with_an_unprintable_byte_is_refused_by_both_readers_where_it_would_count(tmp_path, umi):
    path = write(tmp_path / "reads.bam", a_read(CELL + umi + ONE))
    for read in (compiled, lambda path: list(read_batches(path, ["ACGT"], SELECTION))):
        with pytest.raises(UserMistake, match="no printable character"):
            read(path)
    assert outcomes(write(path, a_read(CELL + umi + tag("NH", "C", 2)))) == [MULTIMAPPED]


def test_nh_of_1_as_a_float_is_unique(tmp_path):
    assert outcomes(write(tmp_path / "reads.bam", a_read(CELL + UMI + tag("NH", "f", 1.0)))) == []


def test_first_of_a_tag_that_stands_twice_counts(tmp_path):
    path = write(tmp_path / "reads.bam", a_read(tag("CB", "i", 5) + CELL + UMI + ONE), a_read(ONE + tag("NH", "C", 2)))
    assert outcomes(path) == [UNTAGGED]


def test_read_without_a_chromosome_is_unmapped_whatever_its_flag(tmp_path):
    assert outcomes(write(tmp_path / "reads.bam", a_read(reference=-1))) == [UNMAPPED]


@pytest.mark.parametrize(("kind", "n", "taken"), [("BI", 3, True), ("Bi", 3, True), ("BI", 1, False), ("BS", 3, False)])
def test_long_cigar_stands_in_its_tag(tmp_path, kind, n, taken):
    operations = (20 << 4, 10 << 4 | 3, 30 << 4)[:n]
    cg = tag("CG", kind, operations)
    path = write(tmp_path / "reads.bam", a_read(CELL + UMI + ONE + cg, (50 << 4 | 4, 60 << 4 | 3)))
    (batch,), (theirs,) = compiled(path), read_batches(path, ["ACGT"], SELECTION)
    at, size = batch.cigar_at[0], 4 * batch.n_operations[0]
    assert batch.bytes[at : at + size].tobytes() == theirs.bytes.tobytes()
    assert (batch.n_operations[0] == 3) == taken


def test_tags_found_are_names_whatever_their_values(tmp_path):
    odd = (a_read(CELL + b"XXZ\xff\0"), a_read(CELL + b"XXA\xff"))
    path = write(tmp_path / "reads.bam", a_read(), *odd, a_read(CELL + tag("XY", "i", 1)))
    assert tags_found(path, "CB") == (["CB", "NH", "UB", "XY"], "ACGT-1")


@pytest.mark.parametrize("n", [-1, 2, 4, 2**31 - 1])
def test_header_with_a_wrong_number_of_chromosomes_is_refused(tmp_path, n):
    path, head = tmp_path / "reads.bam", header()
    at = 8 + struct.unpack_from("<i", head, 4)[0]
    path.write_bytes(block(put(head, at, "i", n)) + block(a_read()) + EOF_BLOCK)
    with pytest.raises(UserMistake, match=r"reads\.bam"):
        compiled(path)


def test_line_that_is_no_barcode_is_named_by_its_place_in_the_file(tmp_path):
    path = tmp_path / "barcodes.tsv"
    path.write_text("ACGT-1\n\n\nACG²-1\n")
    with pytest.raises(UserMistake, match=r"barcodes\.tsv, line 4: 'ACG²-1' is not a barcode"):
        read_barcodes(path)
