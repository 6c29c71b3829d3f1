"""`velocorpus fetch`: what its options say reaches the fetching, and what makes no sense is refused."""

import gzip

import pytest
from tests.drills import misbehaving as bad

CONTENT = gzip.compress(b"@read\nACGTACGTAC\n+\nFFFFFFFFFF\n" * 300, mtime=0)


@pytest.fixture
def site():
    site = bad.Site()
    yield site
    site.close()


def test_mirrors_come_from_the_configuration(velocorpus, site, tmp_path):
    site.keep("mirror/a.fastq.gz", CONTENT)
    config, out = tmp_path / "config.yaml", tmp_path / "a.fastq.gz"
    config.write_text(f"fetch:\n  mirrors:\n    - [https://far.invalid/, {site.address}/mirror/]\n")
    done = velocorpus("fetch", "https://far.invalid/a.fastq.gz", "--out", str(out), "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == CONTENT


@pytest.mark.parametrize(("code", "status"), [(2, 404), (75, 503)])
def test_the_exit_code_says_whether_another_try_may_help(velocorpus, site, tmp_path, code, status):
    url = site.keep("a.gz", CONTENT)
    site.faults.extend([bad.status(status)] * 9)
    assert velocorpus("fetch", url, "--out", str(tmp_path / "a.gz"), "--retries", "0").returncode == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sra:SRR1", "--read2", "2.gz"], "--read2 needs --chemistry"),
        (["a.gz", "--chemistry", "10xv3"], "--chemistry and --read go together"),
        (["a.gz", "--bytes", "many"], "--bytes many: give a whole number"),
        (["sra:SRR1", "--md5", "0" * 32], "leave out --md5 and --bytes"),
        (["sra:SRR1", "--chemistry", "10xv3", "--read", "1"], "sra:SRR1 holds every read; give --read2"),
        (["http://127.0.0.1:9/a.gz", "--chemistry", "10xv9", "--read", "1"], "chemistry '10xv9' cannot be quantified"),
        (["ftp://far/a.gz"], "allowed are a path, http(s)://, s3:// and sra:RUN"),
    ],
)
def test_options_that_make_no_sense_are_refused(velocorpus, tmp_path, words, said):
    done = velocorpus("fetch", *words, "--out", str(tmp_path / "1.gz"))
    assert done.returncode == 2
    assert said in done.stderr
