"""The masks, enumerated by hand for a cell of two spliced tokens, one unspliced token and two fusion tokens."""

import torch

from velocorpus.model.masks import attend_blocks, attend_pooling, streams_of


def table(*rows: str) -> torch.Tensor:
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


def test_streams_number_the_modalities_and_mark_fusion():
    assert streams_of([2, 1], 2).tolist() == [0, 0, 1, -1, -1]
    assert streams_of([0, 1], 1).tolist() == [1, -1]


def test_blocks_a_modality_sees_itself_and_fusion_sees_everything():
    assert torch.equal(
        attend_blocks(streams_of([2, 1], 2)),
        table(
            "xx...",
            "xx...",
            "..x..",
            "xxxxx",
            "xxxxx",
        ),
    )


def test_pooling_each_query_reads_its_own_stream_and_the_global_one_all():
    assert torch.equal(attend_pooling(streams_of([2, 1], 2), 2), table("xx...", "..x..", "...xx", "xxxxx"))


def test_a_missing_modality_leaves_its_query_nothing_to_read():
    assert torch.equal(attend_pooling(streams_of([2, 0], 1), 2), table("xx.", "...", "..x", "xxx"))
