"""Models and corpora that are damaged, or do not belong together: one sentence each, and they stay whole."""

import shutil

import pytest
from project_makers import GENES, make_models, working_in

TUNING = {
    "expression": "finetune expression --model {model} --corpus corpus",
    "velocity": "finetune velocity --model {model} --corpus corpus --targets a/targets.h5ad",
    "trajectory": "finetune trajectory --model {model} --corpus corpus --transitions pairs.feather",
    "evaluate expression": "evaluate expression --model {model} --corpus corpus",
    "evaluate velocity": "evaluate velocity --model {model} --corpus corpus --truth t/targets.h5ad",
    "evaluate trajectory": "evaluate trajectory --model {model} --corpus corpus --truth t/truth.h5ad",
}


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Models of a corpus with another vocabulary."""
    from corpus_makers import HUMAN, make_corpus, make_counts

    from velocorpus.corpus.reader import Corpus

    folder = tmp_path_factory.mktemp("strangers")
    inputs = [make_counts(folder, "z", n_cells=12, genes=HUMAN[50:80])]
    with working_in(folder):
        make_models(Corpus(make_corpus(folder / "corpus", inputs)))
    return folder


@pytest.mark.parametrize("name", TUNING)
def test_model_and_corpus_of_different_vocabularies(tmp_path, project, strangers, monkeypatch, refused, name):
    monkeypatch.chdir(project)
    model = strangers / (name.split()[1] if " " in name else "encoder")
    refused(f"{TUNING[name].format(model=model)} --out {tmp_path}/out", "genes", "corpus")


def test_verify_of_another_corpus(project, strangers, refused):
    refused(f"verify {strangers}/encoder {project}/corpus", "was trained on")


def test_damaged_models(tmp_path, project, refused):
    for name in ("config.json", "model.safetensors", "genes.feather", "training.json"):
        for number, text in enumerate((None, "", '{"a": ', "[]")):
            model = tmp_path / f"m{number}{name}"
            shutil.copytree(project / "velocity", model)
            (model / name).unlink()
            if text is not None:
                (model / name).write_text(text)
            refused(f"velocity {project}/cells.h5ad --model {model} --out {tmp_path}/out", name)


def test_damaged_corpora(tmp_path, project, refused):
    for name in ("manifest.json", "genes.feather", "samples.feather", "shards/g00000.train.feather"):
        for number, text in enumerate((None, "", "[]")):
            corpus = tmp_path / f"c{number}{name.replace('/', '')}"
            shutil.copytree(project / "corpus", corpus)
            (corpus / name).unlink()
            if text is not None:
                (corpus / name).write_text(text)
            refused(f"corpus verify {corpus}", name)
            if name == "manifest.json" or name.startswith("shards"):
                refused(f"corpus export {corpus} --split train --out {tmp_path}/out", name)


def test_a_flipped_bit_in_a_shard(tmp_path, project, refused):
    shutil.copytree(project / "corpus", tmp_path / "corpus")
    shard = tmp_path / "corpus/shards/g00000.train.feather"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    refused(f"corpus verify {tmp_path}/corpus", "g00000.train.feather", "sha256")


def test_a_refused_addition_leaves_the_corpus_whole(tmp_path, project, refused, velocorpus):
    from corpus_makers import make_counts

    shutil.copytree(project / "corpus", tmp_path / "corpus")
    new = make_counts(tmp_path, "n", n_cells=12, genes=GENES)
    refused(f"corpus add {tmp_path}/corpus {new} --test-study nowhere", "'nowhere'")
    refused(f"corpus add {tmp_path}/corpus {project}/a/counts.h5ad", "a")
    assert velocorpus("corpus", "verify", tmp_path / "corpus").returncode == 0
