"""What the fetching of reads, counts and references asks of the tables; it has no rule."""

from velocorpus.table_rows import REMOTE


def unit_of(wildcards):
    return next(unit for unit in TABLES.units[wildcards.sample] if unit.unit == wildcards.unit)


def of_unit(column):
    """A function of wildcards: what units.tsv has in one column of the job's unit; `{read}` in its name is the job's."""

    def value(wildcards):
        return getattr(unit_of(wildcards), column.format_map(dict(wildcards.items())))

    return value


def of_reference(column):
    """A function of wildcards: what references.tsv has in one column; `{kind}` in its name is the job's."""

    def value(wildcards):
        return getattr(TABLES.references[wildcards.reference], column.format_map(dict(wildcards.items())))

    return value


source_of_read, md5_of_read, bytes_of_read = map(
    of_unit, ("read{read}", "read{read}_md5", "read{read}_bytes")
)
source_of_file, md5_of_file, bytes_of_file = map(of_unit, ("path", "path_md5", "path_bytes"))
source_of_pair, md5_of_pair = map(of_unit, ("read1", "read1_md5"))
source_of_reference, md5_of_reference = map(of_reference, ("{kind}", "{kind}_md5"))


def is_pair(unit):
    """Whether one source holds both reads: a run of SRA, or a BAM that is to be turned to FASTQ."""
    return unit.read1 == unit.read2 and unit.read1 != ""


def bytes_of_pair(wildcards):
    # The archives' copies of a run differ in size; its form tells whether it is whole.
    unit = unit_of(wildcards)
    return "" if unit.read1.startswith("sra:") else unit.read1_bytes


def if_local(source):
    """An input function with the file that `source` names when it lies on this machine, and no file otherwise."""

    def local(wildcards):
        return [] if REMOTE.match(source(wildcards)) else [source(wildcards)]

    return local
