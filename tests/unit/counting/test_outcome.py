import numpy as np
import pandas as pd
import pytest

from velocorpus.counting.counts_file import read_counts, write_counts
from velocorpus.counting.outcome import counts_of, read_outcome, recording_outcome, write_outcome
from velocorpus.errors import UserMistake


def write_some_counts(path):
    genes = pd.DataFrame(index=["ENSG1", "ENSG2"])
    layers = {"spliced": np.array([[1, 0]]), "unspliced": np.array([[0, 2]])}
    write_counts(path, layers=layers, sample="a", barcodes=["AC"], genes=genes, source={})


def test_a_block_that_ends_is_ok_and_carries_the_digest_of_its_counts(tmp_path):
    path = tmp_path / "a" / "outcome.json"
    with recording_outcome(path, "a"):
        write_some_counts(counts_of(path))
    outcome = read_outcome(path)
    assert (outcome.state, outcome.reason) == ("ok", "")
    assert outcome.counts_digest == read_counts(counts_of(path)).uns["velocorpus"]["content_digest"]


def test_a_users_mistake_becomes_a_refused_outcome_without_counts(tmp_path):
    path = tmp_path / "outcome.json"
    write_some_counts(counts_of(path))
    with recording_outcome(path, "a"):
        raise UserMistake("The BAM has no CB tags.")
    assert read_outcome(path).state == "refused"
    assert read_outcome(path).reason == "The BAM has no CB tags."
    assert not counts_of(path).exists()


def test_a_defect_of_ours_still_fails_the_job(tmp_path):
    with pytest.raises(ZeroDivisionError), recording_outcome(tmp_path / "outcome.json", "a"):
        _ = 1 / 0
    assert not (tmp_path / "outcome.json").exists()


def test_a_reason_names_files_without_their_folders(tmp_path):
    reason = "The file /scratch/me/run/x.bam is damaged; see results/a/log."
    outcome = write_outcome(tmp_path / "o.json", sample="a", state="refused", reason=reason)
    assert outcome.reason == "The file x.bam is damaged; see results/a/log."


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "o.json").write_text('{"state": "ok"}')
    with pytest.raises(UserMistake, match="not an outcome"):
        read_outcome(tmp_path / "o.json")
