"""NCBI's E-utilities: GEO's series to samples, and SRA's experiment packages with read lengths and original files.

The packages (`efetch db=sra`, XML) are the one place that says how long each read of a spot is, technical reads
included, and where a submitter's own FASTQ and BAM lie. A search by accession is a full-text search, so a run is taken
only if it answers to an accession that was asked for. Rules of use: https://www.ncbi.nlm.nih.gov/books/NBK25497
(3 requests a second, 10 with a key in NCBI_API_KEY).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree import ElementTree

from velocorpus.reads.resolve.runs import File, Run, https, kind_of, name_of
from velocorpus.reads.resolve.web import Service

# Accessions in one search; packages in one answer (some 10 kB each).
BATCH, PAGE = 100, 200
Element = ElementTree.Element


def samples_of_series(service: Service, series: Iterable[str]) -> dict[str, list[str]]:
    """The GSM of each GSE; none for a series that GEO does not know. A superseries lists those of all its parts."""
    found: dict[str, list[str]] = {}
    for name in series:
        search = {"db": "gds", "term": f"{name}[ACCN] AND gse[ETYP]", "retmode": "json"}
        ids = service.ask("esearch.fcgi", search, _search)["idlist"]
        found[name] = []
        if ids:
            asked = {"db": "gds", "id": ",".join(ids), "retmode": "json"}
            for record in service.ask("esummary.fcgi", asked, _records):
                if record.get("accession") == name:
                    found[name] = [one["accession"] for one in record.get("samples", [])]
    return found


def look_up(service: Service, accessions: Iterable[str]) -> dict[str, Run]:
    """Every run of every package that a search for the accessions finds; the caller picks those that it asked for."""
    asked = list(accessions)
    found: dict[str, Run] = {}
    for start in range(0, len(asked), BATCH):
        # POST: a hundred accessions are too long for an address.
        search = {
            "db": "sra",
            "term": " OR ".join(asked[start : start + BATCH]),
            "usehistory": "y",
            "retmode": "json",
            "retmax": "0",
        }
        answer = service.ask("esearch.fcgi", search, _search, post=True)
        for first in range(0, int(answer["count"]), PAGE):
            page = {
                "db": "sra",
                "WebEnv": answer["webenv"],
                "query_key": answer["querykey"],
                "retstart": str(first),
                "retmax": str(PAGE),
                "rettype": "full",
                "retmode": "xml",
            }
            for run in service.ask("efetch.fcgi", page, _packages):
                found[run.run] = run
    return found


def _search(text: str) -> dict[str, Any]:
    answer = json.loads(text).get("esearchresult")
    # The search's own failures come with status 200.
    if not isinstance(answer, dict) or "ERROR" in answer or "count" not in answer:
        raise ValueError(f"no result of a search: {text[:100]}")
    return answer


def _records(text: str) -> list[dict[str, Any]]:
    result = json.loads(text).get("result")
    if not isinstance(result, dict):
        raise ValueError(f"no summary: {text[:100]}")
    return [result[uid] for uid in result.get("uids", [])]


def _packages(text: str) -> list[Run]:
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from None
    if root.tag != "EXPERIMENT_PACKAGE_SET":
        raise ValueError(f"<{root.tag}> instead of packages")
    return [run for package in root for run in _runs(package)]


def _runs(package: Element) -> Iterator[Run]:
    experiment, study = package.find("EXPERIMENT"), package.find("STUDY")
    samples = package.findall("SAMPLE")
    if experiment is None:
        return
    library = experiment.find("DESIGN/LIBRARY_DESCRIPTOR")
    layout = None if library is None else library.find("LIBRARY_LAYOUT")
    platform = experiment.find("PLATFORM")
    parts = [part for part in (study, experiment, *samples) if part is not None]
    aliases = {part.get("alias", "") for part in parts} | {
        external.text or "" for part in parts for external in part.findall("IDENTIFIERS/EXTERNAL_ID")
    }
    traits = [(_text(one, "TAG").lower(), _text(one, "VALUE")) for one in package.iter("SAMPLE_ATTRIBUTE")]
    for run in package.iter("RUN"):
        yield Run(
            run=run.get("accession", ""),
            experiment=experiment.get("accession", ""),
            sra_sample=_joined(sample.get("accession", "") for sample in samples),
            biosample=_joined(external for external in _external(samples, "BioSample")),
            study=_joined(_external([] if study is None else [study], "BioProject")),
            sra_study="" if study is None else study.get("accession", ""),
            aliases=_joined(name for name in aliases if kind_of(name) in ("gsm", "gse")),
            organism=_joined(_text(sample, "SAMPLE_NAME/SCIENTIFIC_NAME") for sample in samples),
            tax_id=_joined(_text(sample, "SAMPLE_NAME/TAXON_ID") for sample in samples),
            layout="" if layout is None or not len(layout) else layout[0].tag,
            strategy=_text(library, "LIBRARY_STRATEGY"),
            source=_text(library, "LIBRARY_SOURCE"),
            platform="" if platform is None or not len(platform) else platform[0].tag,
            title=_text(experiment, "TITLE"),
            sample_title=_joined(_text(sample, "TITLE") for sample in samples),
            study_title=_text(study, "DESCRIPTOR/STUDY_TITLE"),
            library=_text(library, "LIBRARY_NAME"),
            protocol=_text(library, "LIBRARY_CONSTRUCTION_PROTOCOL"),
            tissue=_joined(value for tag, value in traits if tag == "tissue"),
            disease=_joined(value for tag, value in traits if tag in ("disease", "disease state")),
            spots=run.get("total_spots", ""),
            read_lengths=_lengths(run),
            closed=_closed(run),
            files=tuple(_files(run)),
        )


def _lengths(run: Element) -> tuple[float, ...]:
    means = [float(read.get("average", "0")) for read in run.findall("Statistics/Read")]
    return tuple(mean for mean in means if mean > 0)


def _closed(run: Element) -> str:
    if run.get("is_public") == "false" or run.get("cluster_name", "public") != "public":
        return "its access is controlled or it is not public yet"
    return "the archive says that its data are not available" if run.get("unavailable") == "true" else ""


def _files(run: Element) -> Iterator[File]:
    for file in run.findall("SRAFiles/SRAFile"):
        size, md5, name = file.get("size", ""), file.get("md5", ""), name_of(file.get("filename", ""))
        if file.get("supertype") == "Original":
            places = file.findall("Alternatives")
            free = [place for place in places if place.get("access_type") == "anonymous"]
            why = _joined(place.get("access_type", "") for place in places)
            url = (free or places or [file])[0].get("url", "")
            yield File(https(url), name, "submitter", md5, size, offline="" if free else why or "no address")
        elif name == run.get("accession"):
            # The copy with full qualities; `.lite` has none.
            yield File(https(file.get("url", "")), name, "sra", md5, size)


def _external(parts: list[Element], namespace: str) -> list[str]:
    found = [one for part in parts for one in part.findall("IDENTIFIERS/EXTERNAL_ID")]
    return [one.text or "" for one in found if one.get("namespace") == namespace]


def _text(element: Element | None, path: str) -> str:
    return " ".join(((element.findtext(path) if element is not None else "") or "").split())


def _joined(values: Iterable[str]) -> str:
    return ";".join(dict.fromkeys(value for value in values if value))
