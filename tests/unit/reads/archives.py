"""Both archives as a local server that gives recorded answers, and what is asked of them."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

from typer.testing import CliRunner

from velocorpus.cli.resolve import app
from velocorpus.reads.resolve.accessions import look_up, services
from velocorpus.reads.resolve.rows import Settings, tabulate

ANSWERS = Path(__file__).parents[2] / "data" / "resolve"
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
