"""Writes what the archives would answer: ENA's rows, NCBI's packages and GEO's summaries, each in its documented form.

The form is that of the services, the runs are made up, one for each way in which deposits go wrong. Run from the root
of the checkout.
"""

import hashlib
import json
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path("tests/data/resolve")
TENX = "10x Chromium Single Cell 3' v3"
ENA = "ftp.sra.ebi.ac.uk/vol1"
STUDY = {"PRJNA900001": ("SRP900001", "GSE900001"), "PRJEB90001": ("ERP90001", "E-MTAB-90001")}


def run(number, experiment, title, lengths=(), fastq=(), **more):
    """One run: `fastq` are the endings of ENA's own files, `submitted` and `originals` files of the submitter."""
    defaults = {
        "prefix": "SRR",
        "study": "PRJNA900001",
        "organism": ("Homo sapiens", "9606"),
        "strategy": "RNA-Seq",
        "source": "TRANSCRIPTOMIC SINGLE CELL",
        "protocol": TENX,
        "submitted": (),
        "originals": (),
        "offline": (),
        "at": ("ena", "ncbi"),
        "public": "true",
        "tissue": "blood",
    }
    values = {"number": number, "experiment": experiment, "title": title, "lengths": lengths, "fastq": fastq}
    return defaults | values | more


RUNS = [
    run(1, 1, "GSM9000001: PBMC, donor 1; Homo sapiens; RNA-Seq", (28, 91), ("_1", "_2")),
    run(2, 1, "GSM9000001: PBMC, donor 1; Homo sapiens; RNA-Seq", (28, 91), ("_1", "_2", "")),
    run(3, 2, "GSM9000002: PBMC, donor 2; Homo sapiens; RNA-Seq", (26, 98), ("",)),
    run(
        4,
        3,
        "GSM9000003: heart nuclei; Mus musculus; RNA-Seq",
        (98,),
        (),
        organism=("Mus musculus", "10090"),
        tissue="heart",
        submitted=("heart.bam.1", "heart.bam.1.bai"),
        originals=("heart.bam",),
    ),
    run(5, 4, "PBMC, both reads long", (150, 150), ("_1", "_2")),
    run(6, 5, "PBMC, two of three reads", (8, 26, 98), ("_1", "_2")),
    run(7, 6, "PBMC, index read in the middle and an empty one", (28, 8, 91, 0), ("_1", "_2", "_3")),
    run(8, 7, "PBMC donor 1 ADT", (28, 25), ("_1", "_2"), strategy="OTHER"),
    run(9, 8, "Smart-seq2 plate 7", (75, 75), ("_1", "_2"), protocol="Smart-seq2"),
    run(10, 9, "zebrafish heart", (28, 91), ("_1", "_2"), organism=("Danio rerio", "7955")),
    run(11, 10, "PBMC, reads of a BAM", (98,), ("",), offline=("a_R1.fastq.gz", "a_R2.fastq.gz")),
    run(12, 11, "PBMC, first BAM", (98,), (), originals=("one.bam",)),
    run(13, 11, "PBMC, second BAM", (98,), (), originals=("two.bam",)),
    run(
        14,
        12,
        "blood of donor 9",
        (),
        ("",),
        prefix="ERR",
        study="PRJEB90001",
        at=("ena",),
        submitted=tuple(f"d9_S1_L00{lane}_{read}_001.fastq.gz" for lane in (1, 2) for read in ("I1", "R1", "R2")),
    ),
    run(15, 13, "patients, controlled access", (28, 91), (), at=("ncbi",), public="false"),
    run(
        16, 14, "brain, new", (28, 91), (), at=("ncbi",), originals=("b_R1.fastq.gz", "b_R2.fastq.gz", "b_I1.fastq.gz")
    ),
    run(17, 15, "PBMC, Chromium Flex", (28, 91), ("_1", "_2"), protocol="Chromium Fixed RNA Profiling"),
    run(18, 16, "PBMC, only cDNA", (98,), ("",)),
]


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def names(one):
    """The accessions of a run: run, experiment, sample, biosample."""
    p, e = one["prefix"], one["experiment"]
    return f"{p}{9000000 + one['number']}", f"{p[0]}RX{9000000 + e}", f"{p[0]}RS{9000000 + e}", f"SAMN{90000000 + e}"


def ena_row(one):
    run_, experiment, sample, biosample = names(one)
    files = {
        "fastq": [f"{ENA}/fastq/{run_}/{run_}{end}.fastq.gz" for end in one["fastq"]],
        "submitted": [f"{ENA}/run/{run_}/{name}" for name in one["submitted"]],
        "sra": [f"{ENA}/srr/{run_}/{run_}"],
    }
    row = {
        "run_accession": run_,
        "experiment_accession": experiment,
        "sample_accession": biosample,
        "secondary_sample_accession": sample,
        "study_accession": one["study"],
        "secondary_study_accession": STUDY[one["study"]][0],
        "experiment_alias": one["title"].split(":")[0]
        if one["title"].startswith("GSM")
        else f"library {one['experiment']}",
        "sample_alias": "",
        "study_alias": STUDY[one["study"]][1],
        "library_layout": "PAIRED" if len(one["fastq"]) > 1 else "SINGLE",
        "library_strategy": one["strategy"],
        "library_source": one["source"],
        "library_name": "",
        "library_construction_protocol": one["protocol"],
        "instrument_platform": "ILLUMINA",
        "read_count": "1000000",
        "tax_id": one["organism"][1],
        "scientific_name": one["organism"][0],
        "tissue_type": one["tissue"],
        "disease": "",
        "experiment_title": f"Illumina NovaSeq 6000 sequencing; {one['title']}",
        "sample_title": "",
        "study_title": "Cells in one study",
    }
    for kind, urls in files.items():
        row[f"{kind}_ftp"] = ";".join(urls)
        row[f"{kind}_md5"] = ";".join(map(md5, urls))
        row[f"{kind}_bytes"] = ";".join(str(1000 + len(url)) for url in urls)
    return row


def sra_file(one, name, access, address):
    run_ = names(one)[0]
    original = name != run_
    return (
        f'<SRAFile cluster="public" filename="{name}" size="2000" date="2024-01-01 00:00:00" md5="{md5(run_ + name)}" '
        f'semantic_name="{"fastq" if "fastq" in name else "10X Genomics bam file" if original else "SRA Normalized"}" '
        f'supertype="{"Original" if original else "Primary ETL"}" sratoolkit="{0 if original else 1}">'
        f'<Alternatives url="{address}" free_egress="{"worldwide" if access == "anonymous" else "-"}" '
        f'access_type="{access}" org="AWS"/></SRAFile>'
    )


def run_xml(one):
    run_, experiment, _, _ = names(one)
    files = [sra_file(one, run_, "anonymous", f"https://sra-pub-run-odp.s3.amazonaws.com/sra/{run_}/{run_}")]
    for name in one["originals"]:
        files.append(sra_file(one, name, "anonymous", f"https://sra-pub-src-1.s3.amazonaws.com/{run_}/{name}.1"))
    for name in one["offline"]:
        files.append(sra_file(one, name, "Use Cloud Data Delivery", f"s3://sra-pub-src-2/{run_}/{name}.1"))
    reads = "".join(
        f'<Read index="{i}" count="1000000" average="{length}" stdev="0"/>' for i, length in enumerate(one["lengths"])
    )
    return (
        f'<RUN accession="{run_}" alias="{run_}" total_spots="1000000" total_bases="{sum(one["lengths"])}000000" '
        f'size="2000" load_done="true" published="2024-01-01 00:00:00" is_public="{one["public"]}" '
        f'cluster_name="{"public" if one["public"] == "true" else "dbgap"}">'
        f'<EXPERIMENT_REF accession="{experiment}"/><SRAFiles>{"".join(files)}</SRAFiles>'
        f'<Statistics nreads="{len(one["lengths"])}" nspots="1000000">{reads}</Statistics></RUN>'
    )


def package(members):
    one = members[0]
    _, experiment, sample, biosample = names(one)
    gsm = one["title"].split(":")[0] if one["title"].startswith("GSM") else ""
    study, geo = STUDY[one["study"]]
    return (
        f'<EXPERIMENT_PACKAGE><EXPERIMENT accession="{experiment}" alias="{gsm or experiment}">'
        f"<TITLE>{one['title']}</TITLE>"
        f"<DESIGN><LIBRARY_DESCRIPTOR><LIBRARY_NAME>{gsm}</LIBRARY_NAME>"
        f"<LIBRARY_STRATEGY>{one['strategy']}</LIBRARY_STRATEGY><LIBRARY_SOURCE>{one['source']}</LIBRARY_SOURCE>"
        f"<LIBRARY_LAYOUT><PAIRED/></LIBRARY_LAYOUT>"
        f"<LIBRARY_CONSTRUCTION_PROTOCOL>{escape(one['protocol'])}</LIBRARY_CONSTRUCTION_PROTOCOL></LIBRARY_DESCRIPTOR>"
        f"</DESIGN><PLATFORM><ILLUMINA><INSTRUMENT_MODEL>Illumina NovaSeq 6000</INSTRUMENT_MODEL></ILLUMINA></PLATFORM>"
        f'</EXPERIMENT><STUDY accession="{study}" alias="{geo}"><IDENTIFIERS>'
        f'<EXTERNAL_ID namespace="BioProject" label="primary">{one["study"]}</EXTERNAL_ID>'
        f'<EXTERNAL_ID namespace="GEO">{geo}</EXTERNAL_ID></IDENTIFIERS>'
        f"<DESCRIPTOR><STUDY_TITLE>Cells in one study</STUDY_TITLE></DESCRIPTOR></STUDY>"
        f'<SAMPLE accession="{sample}" alias="{gsm or sample}"><IDENTIFIERS>'
        f'<EXTERNAL_ID namespace="BioSample">{biosample}</EXTERNAL_ID></IDENTIFIERS>'
        f"<SAMPLE_NAME><TAXON_ID>{one['organism'][1]}</TAXON_ID><SCIENTIFIC_NAME>{one['organism'][0]}</SCIENTIFIC_NAME>"
        f"</SAMPLE_NAME><SAMPLE_ATTRIBUTES><SAMPLE_ATTRIBUTE><TAG>tissue</TAG><VALUE>{one['tissue']}</VALUE>"
        f"</SAMPLE_ATTRIBUTE></SAMPLE_ATTRIBUTES></SAMPLE>"
        f"<RUN_SET>{''.join(run_xml(member) for member in members)}</RUN_SET></EXPERIMENT_PACKAGE>"
    )


def summary(number, samples):
    return {
        "uid": f"200{number}",
        "accession": f"GSE{number}",
        "entrytype": "GSE",
        "n_samples": len(samples),
        "samples": [{"accession": name, "title": name} for name in samples],
        "extrelations": [],
        "bioproject": "PRJNA900001",
    }


def main():
    rows = [ena_row(one) for one in RUNS if "ena" in one["at"]]
    (HERE / "ena_read_run.json").write_text(json.dumps(rows, indent=1) + "\n")
    at_ncbi = [one for one in RUNS if "ncbi" in one["at"]]
    by_experiment = {
        one["experiment"]: [other for other in at_ncbi if other["experiment"] == one["experiment"]] for one in at_ncbi
    }
    packages = "\n".join(package(members) for members in by_experiment.values())
    text = f'<?xml version="1.0" encoding="UTF-8" ?>\n<EXPERIMENT_PACKAGE_SET>\n{packages}\n</EXPERIMENT_PACKAGE_SET>\n'
    (HERE / "ncbi_packages.xml").write_text(text)
    series = [summary(900001, ["GSM9000001", "GSM9000002", "GSM9000003"]), summary(900002, ["GSM9009999"])]
    (HERE / "geo_summaries.json").write_text(json.dumps(series, indent=1) + "\n")


if __name__ == "__main__":
    main()
