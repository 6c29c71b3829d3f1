import pytest

from velocorpus.errors import UserMistake
from velocorpus.outcomes.outcome import read_outcome, write_outcome


def test_a_reason_names_files_without_their_folders(tmp_path):
    reason = "The file /scratch/me/run/x.bam is damaged; see results/a/log."
    outcome = write_outcome(tmp_path / "o.json", sample="a", state="refused", reason=reason)
    assert outcome.reason == "The file x.bam is damaged; see results/a/log."


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "o.json").write_text('{"state": "ok"}')
    with pytest.raises(UserMistake, match="not an outcome"):
        read_outcome(tmp_path / "o.json")
