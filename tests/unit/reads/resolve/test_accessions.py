"""Accessions become rows by what both archives answer; the archives are a local server that gives recorded answers."""

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from velocorpus.cli.resolve import app
from velocorpus.errors import UserMistake
from velocorpus.reads.resolve.accessions import look_up, services
from velocorpus.reads.resolve.rows import Settings, tabulate
from velocorpus.reads.resolve.web import Service
from velocorpus.tables import Sample, Unit, load_tables, read_rows

ANSWERS = Path(__file__).parents[3] / "data" / "resolve"
ROWS = json.loads((ANSWERS / "ena_read_run.json").read_text())
PACKAGES = ElementTree.parse(ANSWERS / "ncbi_packages.xml").getroot()
AT_ENA = {row["run_accession"] for row in ROWS}
# A project over projects: ENA lists the runs of all, a search at NCBI finds none.
UMBRELLA = {"PRJNA900000": "PRJNA900001"}
SERIES = {one["accession"]: one for one in json.loads((ANSWERS / "geo_summaries.json").read_text())}


class Archives:
    """ENA and NCBI at one address, which misbehave as `moods` say, one mood a request."""

    def __init__(self):
        self.moods, self.asked, self.searches, self.retry_after, self.posted = [], [], [], "0", []
        archives = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                archives.serve(self, dict(parse_qsl(urlsplit(self.path).query)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                archives.serve(self, dict(parse_qsl(body)))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, request, values):
        path = urlsplit(request.path).path.strip("/")
        self.asked.append((path, values))
        if request.command == "POST":
            self.posted.append(path)
        status, text = 200, getattr(self, re.sub(r"\W", "_", path))(values)
        mood = self.moods.pop(0) if self.moods else None
        if isinstance(mood, int):
            status = mood
        elif isinstance(mood, tuple):
            status, text = mood
        elif mood == "cut":
            text = text[: len(text) // 2]
        elif mood is not None:
            text = mood
        if status == 200 and not text:
            status = 204
        request.send_response(status)
        if status == 429:
            request.send_header("Retry-After", self.retry_after)
        body = text.encode()
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def ena_returnFields(self, values):
        return json.dumps([{"columnId": name, "description": name} for name in ROWS[0]])

    def ena_filereport(self, values):
        return self.rows(values, {UMBRELLA.get(values["accession"], values["accession"])})

    def ena_search(self, values):
        return self.rows(values, set(values["includeAccessions"].split(",")))

    def rows(self, values, wanted):
        fields = values["fields"].split(",")
        keys = [key for key in ROWS[0] if key.endswith("accession")]
        found = [{f: row[f] for f in fields} for row in ROWS if wanted & {row[key] for key in keys}]
        return json.dumps(found) if found else ""

    def ncbi_esearch_fcgi(self, values):
        if values["db"] == "gds":
            ids = [one["uid"] for name, one in SERIES.items() if values["term"].startswith(f"{name}[ACCN]")]
            return json.dumps({"esearchresult": {"count": str(len(ids)), "idlist": ids}})
        words = set(values["term"].split(" OR "))
        # A search goes over the whole text, so that more may be found than was meant.
        found = [one for one in PACKAGES if any(word in ElementTree.tostring(one, "unicode") for word in words)]
        self.searches.append(found)
        key = str(len(self.searches))
        return json.dumps({"esearchresult": {"count": str(len(found)), "webenv": "MCID_1", "querykey": key}})

    def ncbi_efetch_fcgi(self, values):
        found = self.searches[int(values["query_key"]) - 1]
        start = int(values["retstart"])
        root = ElementTree.Element("EXPERIMENT_PACKAGE_SET")
        root.extend(found[start : start + int(values["retmax"])])
        return ElementTree.tostring(root, "unicode")

    def ncbi_esummary_fcgi(self, values):
        found = {one["uid"]: one for one in SERIES.values() if one["uid"] in values["id"].split(",")}
        return json.dumps({"result": {"uids": list(found), **found}})

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def archives(monkeypatch):
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    archives = Archives()
    yield archives
    archives.close()


def both(archives):
    ena, ncbi = services(f"{archives.url}/ena", f"{archives.url}/ncbi", wait_s=0.01)
    ena.spacing_s = ncbi.spacing_s = 0
    return ena, ncbi


def resolved(archives, *accessions, **settings):
    found = look_up(accessions, *both(archives))
    return tabulate(found.runs, Settings(**settings), found.siblings), found.absent


def run_line(archives, *words):
    return CliRunner().invoke(
        app, [*map(str, words), "--ena-url", f"{archives.url}/ena", "--ncbi-url", f"{archives.url}/ncbi"]
    )


def one(rows, **wanted):
    (row,) = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return row


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        ("SRR9000001", ["SRR9000001"]),
        ("SRX9000001", ["SRR9000001", "SRR9000002"]),
        ("SRS9000001", ["SRR9000001", "SRR9000002"]),
        ("SAMN90000001", ["SRR9000001", "SRR9000002"]),
        ("GSM9000001", ["SRR9000001", "SRR9000002"]),
        ("GSE900001", ["SRR9000001", "SRR9000002", "SRR9000003", "SRR9000004"]),
        ("ERX9000012", ["ERR9000014"]),
        ("PRJEB90001", ["ERR9000014"]),
        ("ERP90001", ["ERR9000014"]),
    ],
)
def test_each_kind_of_accession_gives_its_runs_and_no_others(archives, asked, runs):
    found = look_up([asked], *both(archives))
    assert [run.run for run in found.runs] == runs
    assert not found.absent


def test_a_study_gives_every_run_that_either_archive_knows(archives):
    found = look_up(["PRJNA900001"], *both(archives))
    assert len(found.runs) == 17
    assert {run.run for run in found.runs} >= {"SRR9000015", "SRR9000016"}
    assert [run.run for run in look_up(["SRP900001"], *both(archives)).runs] == [run.run for run in found.runs]


def test_runs_that_only_ena_finds_by_a_project_have_their_read_lengths_all_the_same(archives):
    found = look_up(["PRJNA900000"], *both(archives))
    assert not found.absent
    assert {run.run: run.read_lengths for run in found.runs}["SRR9000006"] == (8, 26, 98)


def test_lanes_of_one_experiment_are_units_of_one_sample_with_addresses_sizes_and_md5(archives):
    tables, _ = resolved(archives, "SRX9000001", references={"human": "grch38"})
    assert tables.samples == [
        {
            "sample": "SRX9000001",
            "study": "PRJNA900001",
            "organism": "human",
            "quantifier": "kb",
            "reference": "grch38",
            "chemistry": "",
            "title": "Illumina NovaSeq 6000 sequencing; GSM9000001: PBMC, donor 1; Homo sapiens; RNA-Seq",
            "tissue": "blood",
            "disease": "",
            "suspension_type": "",
            "experiment": "SRX9000001",
            "run": "SRR9000001;SRR9000002",
            "biosample": "SAMN90000001",
        }
    ]
    assert [unit["unit"] for unit in tables.units] == ["SRR9000001", "SRR9000002"]
    row = next(row for row in ROWS if row["run_accession"] == "SRR9000001")
    assert tables.units[0] == {
        "sample": "SRX9000001",
        "unit": "SRR9000001",
        "read1": f"https://{row['fastq_ftp'].split(';')[0]}",
        "read1_md5": row["fastq_md5"].split(";")[0],
        "read1_bytes": row["fastq_bytes"].split(";")[0],
        "read2": f"https://{row['fastq_ftp'].split(';')[1]}",
        "read2_md5": row["fastq_md5"].split(";")[1],
        "read2_bytes": row["fastq_bytes"].split(";")[1],
        "note": "",
    }


def test_ones_own_choice_of_source_follows_from_what_the_archives_lack(archives):
    tables, _ = resolved(archives, "PRJNA900001", "PRJEB90001")
    assert {row["run"]: (row["state"], row["source"]) for row in tables.runs} == {
        "SRR9000001": ("used", "ena_fastq"),
        "SRR9000002": ("used", "ena_fastq"),
        "SRR9000003": ("doubtful", "sra"),
        "SRR9000004": ("doubtful", "original_bam"),
        "SRR9000005": ("doubtful", "ena_fastq"),
        "SRR9000006": ("doubtful", "sra"),
        "SRR9000007": ("doubtful", "ena_fastq"),
        "SRR9000008": ("set aside", ""),
        "SRR9000009": ("set aside", ""),
        "SRR9000010": ("set aside", ""),
        "SRR9000011": ("set aside", ""),
        "SRR9000012": ("doubtful", "original_bam"),
        "SRR9000013": ("doubtful", "original_bam"),
        "SRR9000015": ("set aside", ""),
        "SRR9000016": ("doubtful", "original_fastq"),
        "SRR9000017": ("set aside", ""),
        "SRR9000018": ("set aside", ""),
        "ERR9000014": ("doubtful", "original_fastq"),
    }
    assert {row["organism"] for row in tables.samples} == {"human", "mouse"}


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("SRR9000003", "ENA's one FASTQ lacks a read; SRA has it with --include-technical"),
        ("SRR9000005", r"\(150 \+ 150 bases\); read 1 may begin with the barcode, or all reads are cDNA"),
        ("SRR9000006", r"ENA has 2 of 3 reads \(8 \+ 26 \+ 98 bases\), which ones it does not say"),
        ("SRR9000007", r"barcodes are in ENA's read 1 and cDNA in read 3"),
        ("SRR9000008", "'ADT': not a library of gene expression"),
        ("SRR9000009", "'Smart-seq2': not 10x"),
        ("SRR9000010", "its organism is Danio rerio; velocorpus knows human and mouse"),
        ("SRR9000011", r"a_R1.fastq.gz, a_R2.fastq.gz are kept offline \(Use Cloud Data Delivery\)"),
        ("SRR9000012", "no archive FASTQ is listed; the submitter's BAM has the barcodes in its tags"),
        ("SRR9000015", "its access is controlled or it is not public yet"),
        ("SRR9000017", "'Chromium Flex': probes, which see no introns"),
        ("SRR9000018", r"only the cDNA was deposited \(SRA's reads have 98 bases\)"),
    ],
)
def test_every_run_that_is_not_plain_says_why_and_what_to_do(archives, run, said):
    # The whole library: its other run counts too.
    number = next(row["experiment_accession"] for row in ROWS if row["run_accession"] == run) if run in AT_ENA else run
    tables, _ = resolved(archives, number)
    assert re.search(said, one(tables.runs, run=run)["reason"])


def test_a_run_whose_barcodes_ena_left_out_comes_from_sra_whole(archives):
    tables, _ = resolved(archives, "SRR9000003")
    assert one(tables.units, unit="SRR9000003") == {
        "sample": "SRX9000002",
        "unit": "SRR9000003",
        "read1": "sra:SRR9000003",
        "read2": "sra:SRR9000003",
        "read1_bytes": "1048",
        "note": "ENA's one FASTQ lacks a read; SRA has it with --include-technical",
    }


def test_a_bam_with_the_barcodes_in_its_tags_is_turned_to_fastq(archives):
    tables, _ = resolved(archives, "GSM9000003", quantifier="starsolo")
    assert tables.samples[0]["quantifier"] == "starsolo"
    assert tables.samples[0]["suspension_type"] == "nucleus"
    (unit,) = tables.units
    assert unit["read1"] == unit["read2"] == "https://ftp.sra.ebi.ac.uk/vol1/run/SRR9000004/heart.bam.1"
    assert (len(unit["read1_md5"]), unit["read2_md5"], unit["read2_bytes"]) == (32, "", "")


def test_a_bam_is_counted_as_it_is_when_asked(archives):
    tables, _ = resolved(archives, "GSM9000003", bams="count")
    assert tables.samples[0]["quantifier"] == "bam"
    (unit,) = tables.units
    assert unit["path"] == "https://ftp.sra.ebi.ac.uk/vol1/run/SRR9000004/heart.bam.1"
    assert "read1" not in unit


def test_several_bams_of_one_library_are_turned_to_fastq_in_any_case(archives):
    tables, _ = resolved(archives, "SRX9000011", bams="count")
    assert tables.samples[0]["quantifier"] == "kb"
    assert [unit["unit"] for unit in tables.units] == ["SRR9000012", "SRR9000013"]
    assert all(unit["read1"] == unit["read2"] for unit in tables.units)


def test_a_submitters_lanes_are_paired_by_name_and_index_reads_left_out(archives):
    tables, _ = resolved(archives, "ERR9000014")
    assert [
        (unit["unit"], *(unit[read].rsplit("/", 1)[1] for read in ("read1", "read2"))) for unit in tables.units
    ] == [
        ("ERR9000014_1", "d9_S1_L001_R1_001.fastq.gz", "d9_S1_L001_R2_001.fastq.gz"),
        ("ERR9000014_2", "d9_S1_L002_R1_001.fastq.gz", "d9_S1_L002_R2_001.fastq.gz"),
    ]


def test_a_run_that_ena_has_not_yet_comes_from_ncbis_bucket(archives):
    tables, _ = resolved(archives, "SRR9000016")
    assert tables.units[0]["read2"] == "https://sra-pub-src-1.s3.amazonaws.com/SRR9000016/b_R2.fastq.gz.1"


def test_one_lane_asked_for_of_two_is_noted(archives):
    tables, _ = resolved(archives, "SRR9000001")
    assert tables.units[0]["note"] == "the library's run SRR9000002 was not asked for"


def test_absent_accessions_have_a_sentence_each_and_the_others_are_resolved(archives):
    tables, absent = resolved(archives, "SRR9999999", "GSE900002", "GSE123", "GSM9000009", "SRX9000001")
    assert list(absent) == ["SRR9999999", "GSE900002", "GSE123", "GSM9000009"]
    assert absent["SRR9999999"].startswith("SRR9999999: neither archive has a run of it; check the number")
    assert "its 1 samples have no reads in SRA" in absent["GSE900002"]
    assert "GEO does not know it" in absent["GSE123"]
    assert [row["sample"] for row in tables.samples] == ["SRX9000001"]


def test_without_ncbi_a_pair_of_ena_is_taken_and_a_lone_file_left_to_sra(archives):
    found = look_up(["SRX9000001", "SRX9000002"], both(archives)[0], None)
    tables = tabulate(found.runs, Settings())
    assert {row["run"]: row["source"] for row in tables.runs}["SRR9000001"] == "ena_fastq"
    assert "read lengths are not known" in one(tables.runs, run="SRR9000003")["reason"]
    assert not [path for path, _ in archives.asked if path.startswith("ncbi")]


def test_geo_without_ncbi_is_refused(archives):
    with pytest.raises(UserMistake, match=r"GSM9000001 is GEO's, which only NCBI can resolve"):
        look_up(["GSM9000001"], both(archives)[0], None)


def test_lists_are_asked_for_in_batches_and_packages_page_by_page(archives, monkeypatch):
    monkeypatch.setattr("velocorpus.reads.resolve.ena.BATCH", 3)
    monkeypatch.setattr("velocorpus.reads.resolve.ncbi.BATCH", 5)
    monkeypatch.setattr("velocorpus.reads.resolve.ncbi.PAGE", 2)
    runs = [f"SRR90000{number:02}" for number in range(1, 13)]
    found = look_up(runs, *both(archives))
    assert [run.run for run in found.runs] == runs
    counts = Counter(path for path, _ in archives.asked)
    assert counts["ena/search"] == 4
    assert counts["ncbi/esearch.fcgi"] == 3
    assert counts["ncbi/efetch.fcgi"] == 6
    # Such lists are too long for an address.
    assert Counter(archives.posted) == {"ena/search": 4, "ncbi/esearch.fcgi": 3}


def test_a_whole_study_costs_few_requests(archives):
    look_up(["PRJNA900001"], *both(archives))
    assert Counter(path for path, _ in archives.asked) == {
        "ena/returnFields": 1,
        "ena/filereport": 1,
        "ncbi/esearch.fcgi": 1,
        "ncbi/efetch.fcgi": 1,
        "ena/search": 1,
    }


def test_a_field_that_ena_has_no_more_is_not_asked_for(archives, monkeypatch):
    known = Archives.ena_returnFields
    monkeypatch.setattr(Archives, "ena_returnFields", lambda *_: known(*_).replace("tissue_type", "tissue_kind"))
    assert look_up(["SRR9000001"], *both(archives)).runs[0].tissue == "blood"
    assert "tissue_type" not in dict(archives.asked)["ena/search"]["fields"]


def test_a_needed_field_that_ena_has_no_more_is_refused_by_name(archives, monkeypatch):
    monkeypatch.setattr(Archives, "ena_returnFields", lambda *_: json.dumps([{"columnId": "run_accession"}]))
    with pytest.raises(UserMistake, match="has no field experiment_accession of read_run any more"):
        look_up(["SRR9000001"], *both(archives))


BROKEN = [
    429,
    503,
    500,
    "cut",
    "<html>busy</html>",
    '{"esearchresult": {"count": "0", "ERROR": "Search Backend failed"}}',
    "{}",
]


@pytest.mark.parametrize("mood", BROKEN)
def test_an_answer_that_broke_is_asked_for_again(archives, mood):
    well = look_up(["GSE900001", "SRX9000004"], *both(archives))
    for request in range(len(archives.asked)):
        archives.moods = [None] * request + [mood]
        assert look_up(["GSE900001", "SRX9000004"], *both(archives)) == well
        assert not archives.moods


def test_an_archive_that_says_when_to_come_back_is_waited_for(archives, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    archives.moods, archives.retry_after = [429], "7"
    look_up(["SRR9000001"], *both(archives))
    assert waited.count(7) == 1


def test_an_archive_that_keeps_failing_is_a_sentence(archives):
    archives.moods = [503] * 9
    ena, ncbi = both(archives)
    ena.retries = 2
    with pytest.raises(UserMistake, match=r"did not answer in 3 tries \(status 503\); nothing was written"):
        look_up(["SRR9000001"], ena, ncbi)


def test_a_refused_request_is_not_repeated_and_says_what_the_archive_said(archives):
    archives.moods = [400]
    with pytest.raises(UserMistake, match=r"ena/returnFields was refused with status 400: \[\{"):
        look_up(["SRR9000001"], *both(archives))
    assert len(archives.asked) == 1


@pytest.mark.parametrize("answer", [404, (400, '{"message": "Invalid accession provided"}')])
def test_a_study_that_ena_cannot_place_is_absent_and_the_others_are_resolved(archives, answer):
    archives.moods = [None, answer]
    found = look_up(["PRJNA999999", "SRX9000001"], *both(archives))
    assert list(found.absent) == ["PRJNA999999"]
    assert len(found.runs) == 2


def test_another_refusal_of_ena_ends_the_call(archives):
    archives.moods = [None, (400, '{"message": "Invalid field(s) supplied: tissue_type"}')]
    with pytest.raises(UserMistake, match=r"ena/filereport was refused with status 400: .*Invalid field"):
        look_up(["PRJNA900001"], *both(archives))


def test_a_host_that_is_not_there_is_a_sentence():
    nowhere = Service("http://127.0.0.1:9", per_second=100, retries=1, wait_s=0.01)
    with pytest.raises(UserMistake, match=r"did not answer in 2 tries \(ConnectError"):
        look_up(["SRR1"], nowhere, None)


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(UserMistake, match="eutils is not an address"):
        look_up(["SRR1"], Service("eutils", per_second=100), None)


def test_ncbi_is_asked_at_most_three_times_a_second_and_told_who_asks(archives, monkeypatch):
    waited = []
    monkeypatch.setattr("velocorpus.reads.resolve.web.time.sleep", waited.append)
    _, ncbi = services(f"{archives.url}/ena", f"{archives.url}/ncbi")
    for _ in range(3):
        ncbi.ask("esearch.fcgi", {"db": "gds", "term": "GSE1[ACCN]"}, json.loads)
    assert waited[0] == 0
    assert all(0 < wait <= 1 / 2.9 for wait in waited[1:])
    assert ncbi.spacing_s >= 1 / 3
    assert archives.asked[0][1]["tool"] == "velocorpus"


def test_a_key_of_ones_own_allows_ten_requests_a_second(archives, monkeypatch):
    monkeypatch.setenv("NCBI_API_KEY", "k1")
    ena, ncbi = services(f"{archives.url}/ena", f"{archives.url}/ncbi")
    assert ncbi.always["api_key"] == "k1"
    assert 1 / 10 <= ncbi.spacing_s < 1 / 8
    assert not ena.always


def test_the_command_writes_three_tables_that_the_workflow_reads(archives, tmp_path):
    result = run_line(archives, "PRJNA900001", "ERX9000012", "SRR9999999", "--out", tmp_path, "--reference", "human=r")
    assert result.exit_code == 0, result.output
    assert "SRR9999999: neither archive has a run of it" in result.stderr
    assert (
        f"{tmp_path}: 9 samples, 12 units (9 runs with a note), 7 runs set aside, 1 accessions absent" in result.stderr
    )
    samples = [row for _, row in read_rows(Sample, tmp_path / "samples.tsv")]
    units = [row for _, row in read_rows(Unit, tmp_path / "units.tsv")]
    assert {sample.sample for sample in samples} == {unit.sample for unit in units}
    assert {sample.reference for sample in samples if sample.organism == "human"} == {"r"}
    assert len((tmp_path / "runs.tsv").read_text().splitlines()) == 1 + 18


def test_the_tables_pass_the_workflows_own_check(archives, tmp_path):
    words = ("--reference", "human=h", "--reference", "mouse=m", "--chemistry", "10xv3", "--bams", "count")
    run_line(archives, "PRJNA900001", *words, "--out", tmp_path)
    for name in ("h.fa", "h.gtf"):
        (tmp_path / name).touch()
    rows = [
        f"{name}\t{organism}\t{tmp_path}/h.fa\t{tmp_path}/h.gtf" for name, organism in (("h", "human"), ("m", "mouse"))
    ]
    (tmp_path / "references.tsv").write_text("\n".join(["reference\torganism\tfasta\tgtf", *rows, ""]))
    tables = load_tables(*(tmp_path / f"{name}.tsv" for name in ("samples", "units", "references")))
    assert {sample.quantifier for sample in tables.samples.values()} == {"kb", "bam"}


def test_the_same_answers_in_another_order_of_asking_give_the_same_bytes(archives, tmp_path):
    run_line(archives, "SRX9000001", "GSM9000002", "ERX9000012", "--out", tmp_path / "a")
    run_line(archives, "ERX9000012", "SRR9000003", "SRR9000002", "SRR9000001", "--out", tmp_path / "b")
    for name in ("samples.tsv", "units.tsv", "runs.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_nothing_usable_is_a_mistake_and_writes_nothing(archives, tmp_path):
    result = run_line(archives, "SRR9999999", "SRR9000009", "--out", tmp_path / "t")
    assert isinstance(result.exception, UserMistake)
    assert "No run of the 2 asked for can be used" in str(result.exception)
    assert "1 run is set aside (SRR9000009): its title says 'Smart-seq2': not 10x" in result.stderr
    assert not (tmp_path / "t").exists()


def test_strict_refuses_what_would_be_set_aside(archives, tmp_path):
    result = run_line(archives, "SRR9000001", "SRR9000009", "--strict", "--out", tmp_path / "t")
    assert "0 accessions are absent and 1 runs set aside, which --strict refuses" in str(result.exception)
    assert not (tmp_path / "t").exists()


def test_addresses_come_from_the_configuration(archives, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"resolve: {{ena_url: '{archives.url}/ena', ncbi_url: '{archives.url}/ncbi'}}\n")
    result = CliRunner().invoke(app, ["SRX9000001", "--out", str(tmp_path / "t"), "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "t" / "units.tsv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["SRZ1"], "'SRZ1' is not an accession that can be resolved; allowed are runs"),
        ([], "Give accessions"),
        (["SRR1", "--table", "t.tsv"], "Give accessions"),
        (["SRR1", "--quantifier", "bam"], "--quantifier 'bam' is not known; allowed are kb"),
        (["SRR1", "--organism", "rat"], "--organism 'rat' is not known; allowed are human, mouse"),
        (["SRR1", "--chemistry", "v3"], "--chemistry 'v3' is not known"),
        (["SRR1", "--reference", "GRCh38"], "--reference 'GRCh38' is not known; allowed are human, mouse"),
        (["SRR1", "--study", "my study"], "'my study' is not a usable name"),
        (["SRR1", "--reference", "human"], "--reference 'human' names no row"),
    ],
)
def test_a_mistake_in_the_call_is_said_before_anyone_is_asked(archives, tmp_path, words, said):
    result = run_line(archives, *words, "--out", tmp_path)
    assert isinstance(result.exception, UserMistake)
    assert said in str(result.exception)
    assert not archives.asked
