import builtins
import shutil

import numpy as np
import pytest
import torch
from cells import batch, model

from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.model.pretrained import WEIGHTS_FILE, load_pretrained
from velocorpus.model.zorro import Zorro

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def directory(tmp_path):
    zorro = model()
    genes = [f"ENSG{i:011d}" for i in range(zorro.n_genes)]
    vocabulary = Vocabulary(genes, genes, ["human"] * len(genes), np.ones(len(genes), bool))
    zorro.save_pretrained(tmp_path / "encoder", vocabulary, {})
    return tmp_path / "encoder"


def test_a_saved_encoder_gives_the_same_outputs(directory):
    with torch.no_grad():
        expected, found = model().eval()(batch()), Zorro.from_pretrained(directory)(batch())
    for name, pooled in expected.pooled.items():
        assert torch.equal(found.pooled[name], pooled)


def test_a_directory_holds_no_pickle(directory):
    assert sorted(path.suffix for path in directory.iterdir()) == [".feather", ".json", ".json", ".safetensors"]


def test_altered_weights_are_refused(directory):
    weights = bytearray((directory / WEIGHTS_FILE).read_bytes())
    weights[-1] ^= 1
    (directory / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(UserMistake, match=f"{WEIGHTS_FILE} is not the file that training.json names"):
        load_pretrained(directory)


def test_a_model_of_the_hub_is_read_at_its_revision_and_only_its_own_files(directory, monkeypatch):
    asked = {}

    def snapshot_download(repo_id, **options):
        asked.update(options, repo_id=repo_id)
        return str(directory)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert len(load_pretrained("lab/encoder", revision="v1").tensors) > 0
    assert (asked["repo_id"], asked["revision"]) == ("lab/encoder", "v1")
    assert sorted(asked["allow_patterns"]) == sorted(path.name for path in directory.iterdir())


def test_a_model_that_is_neither_here_nor_on_the_hub_is_refused(monkeypatch):
    def snapshot_download(repo_id, **options):
        raise huggingface_hub.errors.OfflineModeIsEnabled("no\nnetwork")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(UserMistake, match=r"lab/encoder does not exist, .*\(no network\)"):
        load_pretrained("lab/encoder")


def test_a_hub_without_its_client_is_refused(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name == "huggingface_hub":
            raise ImportError
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserMistake, match="pip install huggingface_hub"):
        load_pretrained("lab/encoder")


def test_a_folder_here_goes_before_the_hub(directory, tmp_path, monkeypatch):
    shutil.copytree(directory, tmp_path / "lab/encoder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert len(load_pretrained("lab/encoder").tensors) > 0
    with pytest.raises(UserMistake, match="Revision 'v1' is for models of the hub"):
        load_pretrained("lab/encoder", revision="v1")
