"""The UMIs of every barcode of a BAM, without a list."""

import pytest
from bam_makers import ReadSpec, write_bam

from velocorpus.counting.cell_list import molecules_of
from velocorpus.errors import UserMistake


def test_every_umi_of_a_barcode_counts_once(tmp_path):
    reads = [
        ReadSpec(1, "90M", umi="AAAA"),
        ReadSpec(500, "90M", umi="AAAA"),
        ReadSpec(1, "90M", umi="CCCC", barcode="AAAACCCC-1"),
        ReadSpec(1, "90M", umi="AAAA", barcode="GGGGTTTT"),
        ReadSpec(1, "90M", umi="AAAA", barcode="GGGGNTTT"),
        ReadSpec(1, "90M", umi="AAAA", barcode="-"),
        ReadSpec(1, "90M", umi="GGGG", nh=2),
        ReadSpec(1, "90M", umi="TTTT", unmapped=True),
        ReadSpec(1, "90M", umi=None),
    ]
    assert molecules_of(write_bam(tmp_path / "reads.bam", reads)) == ({"AAAACCCC": 2, "GGGGTTTT": 1}, 1)


def test_bam_without_tags_has_no_cells(tmp_path):
    bam = write_bam(tmp_path / "reads.bam", [ReadSpec(1, "90M", barcode=None)])
    with pytest.raises(UserMistake, match="give a list of cells"):
        molecules_of(bam)
