"""What would fill the memory is refused, with file, line and the key that reads it, while there is memory left."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import zstandard

from bertinchamps.checks.finetuning import problems
from bertinchamps.data.sources.readers import records
from bertinchamps.data.sources.readers_records import Layout
from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig, ReadingConfig
from bertinchamps.tasks.formats import annotated_files, conll, label_studio, spans_jsonl, tables, xmi_writing
from bertinchamps.tasks.inputs import open_inputs
from bertinchamps.textfiles.archives import contents, listed
from bertinchamps.textfiles.limits import limited
from bertinchamps.textfiles.opening import Progress
from bertinchamps.textfiles.texts import texts_of
from support import composed
from tiny_corpora import documents

MILLION = 1_000_000
LITTLE = ReadingConfig(file_mb=2.5, record_mb=2, columns=100)
DEEP = "[" * 100_000 + "]" * 100_000
DENSE = json.dumps({"text": "x", "more": [[]] * 700_000})  # 2.8 MB, and some 50 MB as objects


def of_source(file: Path) -> list[str | None]:
    return [record.text() for record in records(file, Layout("text", "file", 2), Progress())]


def of_tables(file: Path) -> object:
    return list(tables.read(file, tables.Columns(label=None)))


@pytest.mark.parametrize(
    ("name", "content", "read", "told"),
    [
        ("a.jsonl", f'{{"text": "{"x" * 3 * MILLION}"}}', spans_jsonl.read, "longer than 2 MB; limits.record_mb"),
        ("a.jsonl", DENSE[:1_900_000] + "]}", spans_jsonl.read, "more than 62,500 values in one record; limits.record"),
        ("a.jsonl", DENSE[:1_900_000] + "]}", of_source, "more than 62,500 values in one record; data.max"),
        ("a.json", f"[{DENSE}]", of_source, "item 1: more than 62,500 values in one record; data.max"),
        ("a.jsonl", f'{{"text": {DEEP}}}', spans_jsonl.read, "line 1: not valid JSON (nested too deeply)"),
        ("a.jsonl", f'{{"text": {DEEP}}}', of_source, "line 1: not valid JSON (nested too deeply)"),
        ("a.json", f'[{{"text": {DEEP}}}]', of_source, "item 1: not valid JSON"),
        ("a.json", f'[{{"data": {DEEP}}}]', label_studio.read, "nested too deeply"),
        ("a.csv", "text," + ",".join(f"c{n}" for n in range(150)), of_tables, "100 columns; limits.columns=N"),
        ("a.csv", "text," * 1_000_000, of_tables, "line 1"),
        ("a.jsonl", '{"text": "abc"}\n' * 200_000, of_tables, "which are not read at once; limits.file_mb"),
        ("a.csv", "text,b\n" + "abc,def\n" * 400_000, of_tables, "unpacked more than 2.5 MB"),
        ("a.conll", "abc O\n" * 500_000, conll.read, "unpacked more than 2.5 MB"),
        ("a.json", '[{"data": 1}]' + " " * 3 * MILLION, label_studio.read, "unpacked more than 2.5 MB"),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused_with_the_key_that_reads_it(
    tmp_path: Path, name: str, content: str, read: Callable[[Path], object], told: str
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with limited(LITTLE), pytest.raises(UserError) as raised:
        read(file)
    assert told in str(raised.value)
    assert str(file) in str(raised.value)
    assert "xxx" not in str(raised.value)


def of_rows(file: Path) -> list[tables.Row]:
    return list(tables.open_rows(file, {"text": "text_field"}).rows)


def of_texts(file: Path) -> object:
    return list(texts_of(str(file)))


LONG_ROW = 'text,b\na,b\n"' + ("x" * 700_000 + "\n") * 2 + '","' + ("x" * 700_000 + "\n") * 2 + '"\nc,d\n'


@pytest.mark.parametrize("read", [of_rows, of_texts, of_source])
def test_a_row_of_many_lines_may_be_no_longer_than_a_record(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(LONG_ROW, encoding="utf-8")
    with limited(LITTLE), pytest.raises(UserError, match=r"record that begins in line 3 .* longer than 2 MB"):
        read(file)
    with limited(ReadingConfig(record_mb=3)):
        assert len(list(tables.open_rows(file, {"text": "text_field"}).rows)) == 3
    file.write_text("text,b\n" + "abcdefghij,k\n" * 200_000, encoding="utf-8")  # many rows are no long one
    with limited(LITTLE):
        assert len(of_rows(file)) == 200_000


def test_texts_that_are_kept_may_not_be_too_many(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b" " * 3 * MILLION))
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{"x" * 900}"}}\n' * 3000, encoding="utf-8")
    with limited(LITTLE):
        for entry, whole in (("a.txt.gz", False), ("a.jsonl", True)):
            with pytest.raises(UserError, match=r"unpacked more than 2\.5 MB"):
                list(texts_of(str(tmp_path / entry), whole))
        assert len(list(texts_of(str(tmp_path / "a.jsonl")))) == 3000


def test_standard_input_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x" * 3 * MILLION)))
    with limited(LITTLE), pytest.raises(UserError, match=r"standard input: .* 2\.5 MB.* limits\.file_mb=N"):
        open_inputs(PredictConfig(input="-"), words=True, pairs=False)


@pytest.mark.parametrize(
    ("packing", "pack"), [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]
)
def test_what_counts_is_what_a_file_unpacks_to(
    tmp_path: Path, packing: str, pack: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / f"a.jsonl{packing}"
    file.write_bytes(pack(b'{"text": "abc"}\n' * 200_000))
    assert file.stat().st_size < 30_000
    with limited(LITTLE), pytest.raises(UserError, match=r"unpacked more than 2\.5 MB"):
        of_tables(file)


def zip_of(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tar_of(members: dict[str, bytes], **facts: object) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in facts.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zip_of), ("a.tar.gz", tar_of)])
def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(
    tmp_path: Path, name: str, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    for members in ({"1.txt": b" " * 5 * MILLION}, {f"{n}.txt": b" " * MILLION for n in range(5)}):
        (tmp_path / name).write_bytes(pack(members))
        assert (tmp_path / name).stat().st_size < 30_000
        with limited(LITTLE), pytest.raises(UserError, match=r"unpacked more than 2\.5 MB"):
            contents(tmp_path / name, ["*.txt"])
        with limited(ReadingConfig(file_mb=6)):
            assert len(contents(tmp_path / name, ["*.txt"])) == len(members)


def test_a_tar_whose_headers_are_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_of({"1.txt": b"a"}, pax_headers={"comment": "x" * 3 * MILLION}))
    with pytest.raises(UserError, match="damaged or cut short"):
        contents(tmp_path / "a.tar.gz", ["*.txt"])


def test_headers_of_a_tar_are_counted_and_not_kept(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as archive:
        for number in range(20):
            info = tarfile.TarInfo(f"{number}.txt")
            info.pax_headers = {"comment": "x" * 900_000}
            archive.addfile(info, io.BytesIO())
    (tmp_path / "a.tar.gz").write_bytes(packed.getvalue())
    for read in (contents, listed):
        with limited(LITTLE), pytest.raises(UserError, match=r"unpacked more than 2\.5 MB"):
            read(tmp_path / "a.tar.gz", ["*.txt"])
    tracemalloc.start()
    assert len(contents(tmp_path / "a.tar.gz", ["*.txt"])) == 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MILLION


def header(kind: bytes, size: int) -> bytes:
    """A block of a tar that says so; `kind` is the type of a member."""
    info = tarfile.TarInfo("a.txt")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def fields(kind: bytes, *given: tuple[bytes, bytes]) -> bytes:
    """A pax header with fields of 100 to 999 bytes."""
    content = b"".join(b"%d %s=%s\n" % (len(name) + len(value) + 6, name, value) for name, value in given)
    return header(kind, len(content)) + content.ljust(-(-len(content) // 512) * 512, b"\0")


def holes(blocks: int) -> bytes:
    """A member whose list of holes goes on for so many blocks."""
    first = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    first[482:483], first[483:495] = b"\1", b"00000000001\0"
    first[148:156] = b"%06o\0 " % (sum(first[:148]) + sum(first[156:]) + 8 * 32)
    return bytes(first) + (b"00000000001\0" * 42 + b"\1".ljust(8, b"\0")) * blocks


@pytest.mark.parametrize(
    "before",
    [
        holes(5000),
        (header(tarfile.GNUTYPE_LONGNAME, 614_400) + b"a" * 614_400) * 2,
        fields(tarfile.XHDTYPE, (b"comment", b"x" * 400)) * 900,
        header(tarfile.GNUTYPE_LONGNAME, 2_000_000) + b"a" * 2_000_000,
        fields(tarfile.XGLTYPE, *((b"%d" % number, b"x" * 100) for number in range(1500))),
        header(tarfile.REGTYPE, -512),
        header(tarfile.XHDTYPE, -512),
        fields(tarfile.XHDTYPE, (b"size", b"-512".rjust(100))),
    ],
    ids=[
        "holes",
        "names in a row",
        "nested",
        "a name",
        "for all",
        "negative",
        "negative header",
        "negative field",
    ],
)
def test_a_header_of_a_tar_that_nobody_means_is_refused(tmp_path: Path, before: bytes) -> None:
    content = header(tarfile.REGTYPE, 1) + b"a".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(content + before + content + bytes(1024))
    with pytest.raises(UserError, match="damaged or cut short"):
        contents(tmp_path / "a.tar", ["*.txt"])


@pytest.fixture
def links(tmp_path: Path) -> bytes:
    """A tar with links, a device, a pipe and names that lead out of any folder, beside one file."""
    packed = io.BytesIO()
    kinds = {
        "link.txt": tarfile.SYMTYPE, "hard.txt": tarfile.LNKTYPE,
        "device.txt": tarfile.CHRTYPE, "pipe.txt": tarfile.FIFOTYPE,
    }  # fmt: skip
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name in ("../../outside.txt", "/tmp/outside.txt", "inside.txt"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"a"))
    return packed.getvalue()


def test_an_archive_writes_nothing_and_its_links_and_devices_are_no_files(
    tmp_path: Path, links: bytes
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tar").write_bytes(links)
    found = contents(tmp_path / "in" / "a.tar", ["*.txt"])
    assert {path.name for path in found} == {"outside.txt", "inside.txt"}
    assert set(found.values()) == {b"a"}
    assert [file.name for file in tmp_path.rglob("*")] == ["in", "a.tar"]


@pytest.mark.parametrize("form", ["brat", "xmi"])
def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(tmp_path: Path, form: str) -> None:
    os.mkfifo(tmp_path / ("1.txt" if form == "brat" else "1.xmi"))
    (tmp_path / "1.ann").write_text("")
    with pytest.raises(UserError, match="a named pipe, not a file"):
        annotated_files.read(tmp_path, form, Counter())


def test_a_compressed_file_of_xmi_is_read(tmp_path: Path) -> None:
    (document,) = documents(1)
    xmi_writing.write_document(tmp_path, document)
    (file,) = tmp_path.glob("*.xmi")
    packed = tmp_path / "a.xmi.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    (read,) = annotated_files.read(packed, "xmi", Counter())
    assert read.text == document.text


def test_limits_that_allow_nothing_are_mistakes(tmp_path: Path) -> None:
    config = composed(
        "task=demo", "model=scratch", "limits.file_mb=0", "limits.columns=-1", command="finetune"
    )
    told = [line for line in problems(config) if line.startswith("limits")]
    assert told == ["limits.file_mb=0.0: must be above 0", "limits.columns=-1: must be above 0"]


def repeated_gz(file: Path, times: int) -> None:
    """A file of kilobytes that unpacks to gigabytes without a line end."""
    piece = gzip.compress(b" " * 64 * MILLION, 9)
    file.write_bytes(piece * times)


def bomb_of_parquet(file: Path) -> None:
    """A text of 40 million characters on disk, and 500 rows that are this text: 20 GB."""
    text = arrow.array(["x" * 40 * MILLION])
    column = arrow.DictionaryArray.from_arrays(arrow.array([0] * 500, arrow.int32()), text)
    parquet.write_table(
        arrow.table({"text": column}), file, compression="zstd", dictionary_pagesize_limit=1 << 30,
        store_schema=False,
    )  # fmt: skip


LIMITED = """
import itertools, resource, sys
from pathlib import Path
from bertinchamps.data.sources.readers import records
from bertinchamps.data.sources.readers_records import Layout
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import label_studio, spans_jsonl, conll
from bertinchamps.textfiles.opening import Progress
from bertinchamps.textfiles.texts import texts_of
import pyarrow.parquet
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
most = now + 1_500_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
def rows(path):
    for record in itertools.islice(records(path, Layout("text", "file"), Progress()), 20):
        assert len(record.text()) == 40_000_000
readers = {"jsonl": spans_jsonl.read, "conll": conll.read, "source": rows, "parquet": rows}
for name, reader in readers.items():
    for file in Path(sys.argv[1], name).iterdir():
        try:
            reader(file)
            print(name, "read")
        except UserError as error:
            print(name, error)
"""


def test_small_files_that_unpack_to_gigabytes_take_little_memory(tmp_path: Path) -> None:
    for name in ("jsonl", "conll", "source", "parquet"):
        (tmp_path / name).mkdir()
    repeated_gz(tmp_path / "jsonl" / "a.jsonl.gz", 40)
    repeated_gz(tmp_path / "conll" / "a.conll.gz", 40)
    repeated_gz(tmp_path / "source" / "a.txt.gz", 40)
    bomb_of_parquet(tmp_path / "parquet" / "a.parquet")
    assert (tmp_path / "parquet" / "a.parquet").stat().st_size < 10_000
    words = [sys.executable, "-c", LIMITED, str(tmp_path)]
    given = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert told.pop("parquet") == "read"
    assert len(told) == 3
    assert all("longer than 64 MB" in line for line in told.values()), told
