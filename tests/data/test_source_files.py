"""The user's files: every format, every compression, and every way in which they can be wrong."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import zstandard

from bertinchamps.composing import configuration
from bertinchamps.contract import Document, Noting, Source
from bertinchamps.data import file_hashes
from bertinchamps.data.file_hashes import cache_folder, content_hashes, quick_hashes
from bertinchamps.data.preparation import prepare
from bertinchamps.data.sources import files as files_module
from bertinchamps.data.sources import sources
from bertinchamps.data.sources.files import FilesSource
from bertinchamps.data.sources.readers import records
from bertinchamps.data.sources.readers_records import Layout
from bertinchamps.errors import UserError
from bertinchamps.textfiles.opening import Progress
from real import real

SECRET = "Madame Confidentielle"
TEXTS = ["L'été à la mer.", 'Il dit : « Où ? », "là", et rit.', "Œuvre ; 500 µg à 39 °C", "Fin."]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    # two frames, as `cat a.zst b.zst` and parallel compressors write them
    ".zst": lambda data: (
        zstandard.compress(data[: len(data) // 2]) + zstandard.compress(data[len(data) // 2 :])
    ),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))


def as_jsonl(texts: list[str]) -> bytes:
    return "".join(
        json.dumps({"id": n, "text": text}, ensure_ascii=False) + "\n" for n, text in enumerate(texts)
    ).encode()


def as_csv(texts: list[str], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["id", "text"])
    writer.writerows([n, text] for n, text in enumerate(texts))
    return out.getvalue().encode()


WRITERS: dict[str, Callable[[list[str]], bytes]] = {
    ".jsonl": as_jsonl,
    ".json": lambda texts: json.dumps(
        [{"text": text} for text in texts], ensure_ascii=False, indent=1
    ).encode(),
    ".txt": lambda texts: "\n".join(texts).encode(),
    ".csv": as_csv,
    ".tsv": lambda texts: "".join(
        f"{n}\t{text}\n" for n, text in [("id", "text"), *enumerate(texts)]
    ).encode(),
}


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def texts_of(*files: str, **settings: str) -> list[str]:
    return [document.text for document in FilesSource(list(files), **settings).documents()]


def failure(action: Callable[[], object]) -> str:
    """The message of the UserError, which must not hold a document's text anywhere."""
    with pytest.raises(UserError) as caught:
        action()
    assert SECRET not in str(caught.value)
    assert SECRET.split()[1] not in str(caught.value)
    return str(caught.value)


def broken(tmp_path: Path, name: str, data: bytes, **settings: str) -> str:
    """The message for a file that cannot be read to its end; it names the file."""
    source = FilesSource(write(tmp_path / name, data), **settings)
    message = failure(lambda: list(source.documents()))
    assert name in message
    return message


# --- reading


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_and_compression(tmp_path: Path, suffix: str, compression: str) -> None:
    path = write(tmp_path / f"notes{suffix}{compression}", COMPRESS[compression](WRITERS[suffix](TEXTS)))
    source = sources.build("files", files=path, txt_documents="line")
    assert isinstance(source, Source)
    source.check()
    documents = list(source.documents())
    assert [document.text for document in documents] == TEXTS
    where = {".jsonl": "line 2", ".json": "item 2", ".txt": "line 2", ".csv": "line 3", ".tsv": "line 3"}[
        suffix
    ]
    assert documents[1].name == f"notes{suffix}{compression}:{where}"
    assert source.held_out() is None
    assert [document.text for document in source.sample(10**6)] == TEXTS


@pytest.mark.parametrize(
    "kind", [arrow.string(), arrow.large_string(), arrow.dictionary(arrow.int32(), arrow.string())]
)
def test_parquet(tmp_path: Path, kind: arrow.DataType) -> None:
    column = arrow.array([*TEXTS, None, ""], arrow.string()).cast(kind)
    path = tmp_path / "notes.parquet"
    parquet.write_table(arrow.table({"text": column, "id": list(range(6))}), path, row_group_size=2)
    source = FilesSource([str(path)])
    source.check()
    assert list(source.documents())[2] == Document(TEXTS[2], "notes.parquet:row 3", [0, 3])
    assert texts_of(str(path)) == TEXTS


def test_a_txt_is_one_document_or_one_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "note.txt", b"\xef\xbb\xbfUn\r\n\r\n  \r\nDeux\r\n")
    assert list(FilesSource(path).documents()) == [Document("Un\n\n  \nDeux", "note.txt", [0, 1])]
    assert texts_of(path, txt_documents="line") == ["Un", "Deux"]


def test_byte_order_marks_and_windows_line_ends(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    for suffix in (".jsonl", ".csv", ".tsv", ".json"):
        path = write(
            tmp_path / f"bom{suffix}",
            mark + WRITERS[suffix](TEXTS).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        )
        assert texts_of(path) == TEXTS, suffix


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'["un", "deux"]', ["un", "deux"]),
        (b'{"text": "seul", "id": 1}', ["seul"]),
        (b" [ ] ", None),
        (b"", None),
        (b'[{"text": null}, {"text": " "}, {"text": "a"}]', ["a"]),
        (
            json.dumps([{"text": "é" * 300_000}, {"text": "b"}], ensure_ascii=False).encode(),
            ["é" * 300_000, "b"],
        ),
        (b'{"text": "a"}\n{"text": "b"}\n\n"c"', ["a", "b", "c"]),
    ],
)
def test_shapes_of_json(tmp_path: Path, data: bytes, expected: list[str] | None) -> None:
    path = write(tmp_path / "x.json", data)
    if expected is None:
        assert "no document" in failure(lambda: texts_of(path))
    else:
        assert texts_of(path) == expected


def test_csv_fields_over_lines_semicolons_and_long_ones(tmp_path: Path) -> None:
    texts = ["une\nligne; puis une autre, enfin", "x" * 300_000, "fin"]
    for delimiter in ",;":
        source = FilesSource(write(tmp_path / f"{ord(delimiter)}.csv", as_csv(texts, delimiter)))
        assert [document.text for document in source.documents()] == texts
        assert [document.name.split(":")[1] for document in source.documents()] == [
            "line 2",
            "line 4",
            "line 5",
        ]


def test_blank_lines_and_empty_documents_are_skipped(tmp_path: Path) -> None:
    assert texts_of(write(tmp_path / "a.jsonl", b'\n{"text": ""}\n  \n{"text": " \\n"}\n"a"\n\n')) == ["a"]
    assert texts_of(write(tmp_path / "a.csv", b"text,n\n\n,1\na,2\n\n")) == ["a"]


def test_another_text_field(tmp_path: Path) -> None:
    assert texts_of(write(tmp_path / "a.jsonl", b'{"note": "a", "text": 1}'), text_field="note") == ["a"]


def test_memory_stays_small_whatever_the_size(tmp_path: Path) -> None:
    one = json.dumps({"text": "mot " * 500}) + "\n"
    paths = [
        write(
            tmp_path / "big.jsonl.zst", zstandard.compress(one.encode() * 20_000)
        ),  # 40 MB, very compressible
        write(tmp_path / "big.json.gz", gzip.compress(b"[" + b",".join([one.encode()] * 5_000) + b"]", 1)),
    ]
    for path in paths:
        tracemalloc.start()
        assert sum(1 for _ in FilesSource(path).documents()) in (5_000, 20_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 24e6, path


# --- which files


def test_folders_patterns_and_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "b/2.txt",
        "b/1.txt",
        "b/deep/3.txt",
        "a/x.jsonl",
        "b/.hidden.txt",
        "b/readme.md",
        "odd[1].txt",
    ):
        write(
            tmp_path / "corpus" / name,
            json.dumps(Path(name).stem).encode() if "json" in name else Path(name).stem.encode(),
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert texts_of("corpus/b") == ["1", "2", "3"]
    assert texts_of("~/corpus/b/*.txt") == ["1", "2"]
    assert texts_of(str(tmp_path / "corpus" / "**" / "*.txt")) == ["1", "2", "3", "odd[1]"]
    assert texts_of("corpus/odd[1].txt", "corpus/a", "corpus/b/2.txt", "corpus/b") == [
        "odd[1]",
        "x",
        "2",
        "1",
        "3",
    ]
    (tmp_path / "link.txt").symlink_to(tmp_path / "corpus/b/1.txt")
    assert texts_of("corpus/b/1.txt", "./corpus/b/../b/1.txt", "link.txt") == ["1"]


def test_held_out_files(tmp_path: Path) -> None:
    train, held = write(tmp_path / "a.jsonl", b'"a"'), write(tmp_path / "b.jsonl", b'"b"')
    source = FilesSource([train], held_out_files=held)
    source.check()
    held_out = source.held_out()
    assert held_out is not None
    assert [document.text for document in held_out] == ["b"]
    message = failure(FilesSource([train, held], held_out_files=[held]).check)
    assert "b.jsonl: both in data.files and in data.held_out_files; leave it in one" in message


# --- what is wrong


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (
            "a.jsonl",
            f'{{"text": "a"}}\n{{"text": "{SECRET}\n',
            ["line 2", "not valid JSON", "one JSON object a line"],
        ),
        (
            "a.jsonl",
            f'{{"note": "{SECRET}", "id": 1}}',
            ["line 1", "'text'", "found: 2 by other names", "data.text_field=NAME"],
        ),
        ("a.jsonl", f'{{"{SECRET}": 1}}', ["line 1", "found: 1 by another name"]),
        ("a.jsonl", f'{{"text": ["{SECRET}"]}}', ["line 1", "'text' is a list", "data.text_field=NAME"]),
        ("a.jsonl", '{"text": 3}', ["line 1", "a number, not a text"]),
        ("a.jsonl", "3", ["line 1", "the document is a number"]),
        ("a.jsonl", "[" * 100_000, ["line 1", "nested too deeply"]),
        ("a.jsonl", "1" * 5_000, ["line 1", "too many digits"]),
        ("a.jsonl", f'{{"text": "{SECRET} \\ud83d"}}', ["line 1", "surrogate", "remove it"]),
        ("a.json", f'[{{"text": "a"}}, {{"text": "{SECRET}"', ["item 2", "cut short"]),
        ("a.json", '["a", "b",]', ["item 3", "not valid JSON"]),
        ("a.json", '["a"] "b"', ["not valid JSON"]),
        ("a.json", f'{{"text": "{SECRET}"}}\n{{"text": "b"\n', ["item 2", "one object after the other"]),
        ("a.json", f'[{{"note": "{SECRET}"}}]', ["item 1", "found: 1 by another name"]),
        (
            "a.csv",
            f"note,id\n{SECRET},1\n",
            ["line 1", "no column 'text'", "found: 2 by other names", "data.text_field=NAME"],
        ),
        ("a.csv", f"{SECRET} va bien,1\n{SECRET},2\n", ["line 1", "found: 2 by other names"]),
        ("a.csv", f"id,text\n1,a\n2,{SECRET},b\n", ["line 3", "3 columns where the header has 2", "quote"]),
        ("a.csv", f'id,text\n1,a\n2,"{SECRET}\n', ["line 3", "never closed"]),
        ("a.tsv", f"id\tnote\n1\t{SECRET}\n", ["line 1", "found: 2 by other names"]),
        ("a.csv", f"id, Text\n1,{SECRET}\n", ["found: 2 by other names; number 2 differs in capitals"]),
        ("a.tsv", f'"id"\t"text"\n1\t{SECRET}\n', ["number 2 differs in", "call the file .csv"]),
        (
            "a.csv",
            f"text,id,text\n{SECRET},1,b\n",
            ["line 1: 2 columns are called 'text': number 1 and number 3"],
        ),
        ("a.csv", f"text,id\r{SECRET},1\r", ["line 1: not valid", "old Macs", "tr '\\r' '\\n'"]),
        ("a.tsv", f"text\tid\r{SECRET}\t1\r", ["line 1: not valid", "old Macs"]),
        ("a.csv", f"text,id\n{SECRET},1\r{SECRET},2\n", ["line 2: not valid", "old Macs"]),
        ("a.csv", f'"text,id\n{SECRET},1\n', ["line 1: not valid", "never closed"]),
    ],
)
def test_broken_content(tmp_path: Path, name: str, data: str, expected: list[str]) -> None:
    message = broken(tmp_path, name, data.encode())
    for part in expected:
        assert part in message


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.json"])
def test_not_utf8(tmp_path: Path, name: str) -> None:
    data = {
        "a.txt": f"{SECRET}\nété",
        "a.jsonl": f'"{SECRET}"\n"été"',
        "a.csv": f"text\n{SECRET} été",
        "a.tsv": f"text\n{SECRET} été",
        "a.json": f'["{SECRET}", "été"]',
    }[name]
    message = broken(tmp_path, name, data.encode("windows-1252"))
    bad = data.encode("windows-1252").index(b"\xe9")
    place = f"byte {bad + 1}" if name == "a.json" else f"line 2, byte {bad - data.index(chr(10))}"
    assert f"{place}: not UTF-8; convert it to UTF-8, for example `iconv" in message


def test_an_utf8_character_cut_by_a_block_is_whole(tmp_path: Path) -> None:
    text = "é" * 100_000
    assert texts_of(write(tmp_path / "a.json", json.dumps(["a" + text], ensure_ascii=False).encode())) == [
        "a" + text
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".txt", ".csv", ".tsv"])
@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_cut_or_damaged_compression(tmp_path: Path, suffix: str, compression: str) -> None:
    texts = [f"{SECRET} {n} {os.urandom(40).hex()}" for n in range(2_000)]
    whole = COMPRESS[compression](WRITERS[suffix](texts))
    for data in (whole[:-7], whole[: len(whole) // 3], b"nothing compressed at all"):
        message = broken(tmp_path, f"a{suffix}{compression}", data)
        assert "damaged or cut short; copy or compress the file again" in message
        assert "after line " in message or "after byte " in message


def test_broken_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"note": [SECRET], "n": [1], "raw": [b"x"]}), path)
    assert "no column 'text' (found: 3 by other names)" in failure(FilesSource([str(path)]).check)
    assert "'n' is of type int64, not a text" in failure(FilesSource([str(path)], text_field="n").check)
    assert "'raw' is of type binary" in failure(FilesSource([str(path)], text_field="raw").check)
    parquet.write_table(arrow.table({"text": [{SECRET: 1}]}), path)
    assert "'text' is of type struct, not a text" in failure(FilesSource([str(path)]).check)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a Parquet file, or damaged or cut short" in failure(FilesSource([str(path)]).check)


def test_parquet_with_a_damaged_byte_is_read_or_refused(tmp_path: Path) -> None:
    path, right = tmp_path / "a.parquet", 0
    parquet.write_table(
        arrow.table({"text": [f"{SECRET} {n}" for n in range(9)], "id": list(range(9))}), path
    )
    whole = path.read_bytes()
    for place in range(len(whole)):  # the names of columns among them, where a byte may be no UTF-8
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xF0]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            list(FilesSource([str(path)]).documents())
            right += 1
    assert right < len(whole) // 2


def test_a_header_over_several_lines_and_separated_by_tabs(tmp_path: Path) -> None:
    for mark in ",;\t":
        data = f'\n"the note\n(raw)"{mark}text\n"a\nb"{mark}Fin\n'.encode()
        (document,) = FilesSource(write(tmp_path / "a.csv", data)).documents()
        assert document[:2] == ("Fin", "a.csv:line 4")


def mutated(data: bytes, seed: int) -> bytes:
    """The data with a few bytes changed, lost or added."""
    random, found = np.random.default_rng(seed), bytearray(data)
    for kind in random.integers(0, 10, random.integers(1, 9)):
        place = int(random.integers(0, max(1, len(found) - 50)))
        if kind < 7:
            found[place] = int(random.integers(0, 256))
        else:
            found[place : place + (20 if kind == 7 else 0)] = random.bytes(0 if kind == 7 else 9)
    return bytes(found)


@pytest.mark.parametrize("kind", [".parquet", ".jsonl.gz", ".jsonl.zst", ".jsonl", ".json", ".csv"])
def test_no_damage_ends_in_a_traceback_or_tells_a_word(tmp_path: Path, kind: str) -> None:
    inner, _, compression = kind[1:].partition(".")
    if kind == ".parquet":
        stream = io.BytesIO()
        table = arrow.table({"text": [f"{SECRET} {n}" for n in range(200)], "id": list(range(200))})
        parquet.write_table(table, stream, row_group_size=100, compression="none")
        whole = stream.getvalue()
    else:
        whole = WRITERS[f".{inner}"]([f"{SECRET} {n}" for n in range(200)])
        whole = COMPRESS[f".{compression}" if compression else ""](whole)
    # a name of a column that is no UTF-8 has stopped pyarrow with an error of another kind
    names = [whole.replace(b"text", b"te\x9at", n) for n in range(1, 6)] if kind == ".parquet" else []
    told = list[str]()
    for data in [*names, *(mutated(whole, seed) for seed in range(300))]:
        source = FilesSource(write(tmp_path / f"a{kind}", data))
        try:
            source.check()
            list(source.documents())
        except UserError as error:
            told.append(str(error))
    assert len(told) > 50
    assert SECRET.split()[1] not in "".join(told)


def test_a_file_whose_name_is_no_text_is_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.jsonl"
    Path(os.fsdecode(path)).write_bytes(b'"a"')
    source = FilesSource(str(tmp_path / "*.jsonl"))
    (document,) = source.documents()
    assert document.name == "caf\ufffd.jsonl:line 1"
    assert "caf\ufffd.jsonl" in json.dumps(source.fingerprint(), ensure_ascii=False).encode().decode()


@pytest.mark.parametrize("data", ["text\nété", '{"text": "été"}', '["été"]'])
def test_two_bytes_a_character_are_reported(tmp_path: Path, data: str) -> None:
    name = {"t": "a.csv", "{": "a.jsonl", "[": "a.json"}[data[0]]
    assert "iconv -f UTF-16 -t UTF-8" in broken(tmp_path, name, data.encode("utf-16"))


# --- what has no end


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json", ".txt", ".parquet", ".jsonl.gz"])
@pytest.mark.parametrize(
    ("kind", "said"), [("pipe", "a named pipe"), ("device", "a device"), ("socket", "a socket")]
)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, suffix: str, kind: str, said: str) -> None:
    path = tmp_path / f"notes{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    good = write(tmp_path / "good.jsonl", b'"a"')
    for source in (FilesSource([good, str(path)]), FilesSource([good], held_out_files=str(path))):
        message = failure(source.check)
        assert message.endswith(f"{path}: {said}, not a file; write its content into a file first")
    layout = Layout("text", "file")
    message = failure(lambda: [record.text() for record in records(path, layout, Progress())])
    assert message == f"{path}: {said}, not a file; write its content into a file first"


LONG = "x" * 3_000


@pytest.mark.parametrize(
    ("name", "data", "where"),
    [
        ("a.jsonl", f'"a"\n"{LONG}"\n', "line 2"),
        ("a.jsonl", f'"a"\n{{"id": "{LONG}", "text": "b"}}\n', "line 2"),
        ("a.json", f'["a", "{LONG}", "b"]' + " " * 9000, "item 2 (or what follows it is not valid JSON)"),
        ("a.txt", "ligne\n" * 1000, "one document (data.txt_documents=line makes one of each line)"),
        ("a.csv", f"text\na\n{LONG}\n", "line 3"),
        (
            "a.csv",
            'text\na\n"' + "ligne\n" * 1000,
            "the record that begins in line 3 (is a quote never closed?)",
        ),
        ("a.tsv", f"text\na\n{LONG}\n", "line 3"),
    ],
)
@pytest.mark.parametrize("compression", COMPRESS)
def test_a_record_may_not_be_longer_than_asked_for(
    tmp_path: Path, name: str, data: str, where: str, compression: str
) -> None:
    path = write(tmp_path / f"{name}{compression}", COMPRESS[compression](data.encode()))
    message = failure(lambda: list(FilesSource(path, max_record_mb=0.002).documents()))
    assert message == f"{path}: {where}: longer than 0.002 MB; data.max_record_mb=N reads longer ones"
    if '"ligne' not in data:  # a quote that is never closed
        assert list(FilesSource(path, max_record_mb=0.02).documents())


@pytest.mark.parametrize("texts", [[LONG, "b"], ["b"] * 99 + [LONG]])
def test_a_cell_of_parquet_may_not_be_longer_than_asked_for(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"text": texts}), path, use_dictionary=False)
    message = failure(lambda: list(FilesSource(str(path), max_record_mb=0.001).documents()))
    assert message.endswith("longer than 0.001 MB; data.max_record_mb=N reads longer ones")
    assert ("row 100" in message) == (len(texts) == 100)
    assert len(list(FilesSource(str(path), max_record_mb=0.01).documents())) == len(texts)


def test_a_line_of_gigabytes_in_a_small_file_is_refused_in_little_memory(tmp_path: Path) -> None:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    chunks = [compressor.compress(b'"a"\n"'), *(compressor.compress(b"x" * 10_000_000) for _ in range(150))]
    path = write(tmp_path / "bomb.jsonl.zst", b"".join([*chunks, compressor.flush()]))
    assert Path(path).stat().st_size < 1_000_000
    tracemalloc.start()
    message = failure(lambda: list(FilesSource(path).documents()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == f"{path}: line 2: longer than 64 MB; data.max_record_mb=N reads longer ones"
    assert peak < 250e6


def test_the_longest_record_shapes_no_corpus(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'"a"')
    assert FilesSource(path, max_record_mb=1).fingerprint() == FilesSource(path).fingerprint()
    (problem,) = sources.problems("files", {"files": [path], "max_record_mb": 0})
    assert problem == "data.max_record_mb=0: above 0, in millions of bytes, such as 64"


def test_check_reports_everything_at_once(tmp_path: Path) -> None:
    write(tmp_path / "bad.jsonl", f'{{"note": "{SECRET}"}}'.encode())
    write(tmp_path / "good.jsonl", b'"a"')
    write(tmp_path / "notes.docx", b"PK")
    write(tmp_path / "empty" / "readme.md", b"")
    write(tmp_path / "x.parquet.gz", b"")
    names = ["bad.jsonl", "good.jsonl", "notes.docx", "missing/*.txt", "missing.txt", "empty", "x.parquet.gz"]
    source = FilesSource(
        [str(tmp_path / name) for name in names], held_out_files=[str(tmp_path / "good.jsonl")]
    )
    message = failure(source.check)
    assert len(message.splitlines()) == 7
    for part in (
        "bad.jsonl: line 1: no field 'text'",
        "good.jsonl: both in",
        "notes.docx: unknown kind of file; known are .jsonl",
        "missing/*.txt: no such file (looked from ",
        "missing.txt: no such file",
        "empty: no file of a known kind in this folder",
        "x.parquet.gz: unknown kind of file",
    ):
        assert part in message


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    message = failure(FilesSource([str(tmp_path / f"{n}.txt") for n in range(50)]).check)
    assert len(message.splitlines()) == 31
    assert message.endswith("… and 20 more")


def test_nothing_given_nothing_inside_and_a_wrong_choice(tmp_path: Path) -> None:
    assert "data.files: no file is given; for example 'data.files=[" in failure(FilesSource().check)
    empty = FilesSource(write(tmp_path / "a.jsonl", b"\n\n"))
    assert "data.files: no document in 1 file(s)" in failure(empty.check)
    assert "data.files: no document in 1 file(s)" in failure(lambda: list(empty.documents()))
    (told,) = sources.problems("files", {"files": "a", "txt_documents": "page"})
    assert told == "data.txt_documents=page: one of file, line"


def test_check_reads_only_the_beginning(tmp_path: Path) -> None:
    """Whatever is wrong later, `check` does not see it: it stops at the first document."""
    late = b'"a"\n' * 100_000 + b"\xe9"
    FilesSource(write(tmp_path / "a.jsonl", late)).check()
    FilesSource(write(tmp_path / "a.txt", late)).check()
    FilesSource(write(tmp_path / "a.json", b'["a"' + b', "b"' * 100_000 + b"\xe9")).check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.jsonl", b'"a"'))
    path.chmod(0)
    assert "cannot be read (Permission denied)" in failure(FilesSource([str(path)]).check)


# --- samples


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst", ".csv.gz"])
def test_sample_is_bounded_and_spread(tmp_path: Path, suffix: str) -> None:
    inner, _, compression = suffix[1:].partition(".")
    for name, count in (("small", 1_000), ("large", 30_000)):
        texts = [f"{name} {n} " + os.urandom(45).hex() for n in range(count)]
        compress = COMPRESS[f".{compression}" if compression else ""]
        write(tmp_path / f"{name}{suffix}", compress(WRITERS[f".{inner}"](texts)))
    sample = [document.text.split() for document in FilesSource(str(tmp_path)).sample(200_000)]
    assert sum(len(" ".join(words)) for words in sample) in range(190_000, 201_000)
    assert sum(words[0] == "small" for words in sample) in range(10, 300)
    large = [int(words[1]) for words in sample if words[0] == "large"]
    assert [sum(n // 6_000 == fifth for n in large) > 100 for fifth in range(5)] == [True] * 5


def test_sample_of_many_small_files_skips_some(tmp_path: Path) -> None:
    for n in range(200):
        write(tmp_path / "corpus" / f"{n:03}.txt", f"{n:03}{'x' * 997}".encode())
    sample = [int(document.text[:3]) for document in FilesSource(str(tmp_path / "corpus")).sample(20_000)]
    assert len(sample) in (20, 21)
    assert max(sample) > 180


def test_sample_walks_through_no_more_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "SAMPLE_READ", 1_000_000)
    path = write(tmp_path / "a.jsonl", as_jsonl([f"{n:06} {'x' * 93}" for n in range(40_000)]))
    numbers = [int(document.text[:6]) for document in FilesSource(path).sample(100_000)]
    assert 5_000 < max(numbers) < 12_000
    assert len(numbers) > 900


# --- fingerprints


def test_fingerprint_follows_content_and_settings_but_not_the_folder(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder / "a.jsonl", b'"a"') for folder in ("one", "two")]
    first, second = (FilesSource(path).fingerprint() for path in paths)
    assert first == second
    assert str(tmp_path) not in json.dumps(first)
    assert first["files"] == [{"file": "a.jsonl", "bytes": 3, "blake2b": content_hashes([Path(paths[0])])[0]}]
    write(tmp_path / "two" / "a.jsonl", b'"b"')
    assert FilesSource(paths[1]).fingerprint() != first
    assert FilesSource(paths[0], text_field="note").fingerprint() != first
    assert FilesSource(paths[0], txt_documents="line").fingerprint() != first
    assert FilesSource(paths[0], held_out_files=paths[1]).fingerprint() != first


def test_hashes_are_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(write(tmp_path / "a.txt", b"a"))
    first = content_hashes([path])
    with monkeypatch.context() as patched:
        patched.setattr(file_hashes, "_hash", lambda path: pytest.fail("hashed again"))
        assert content_hashes([path]) == first
    path.write_bytes(b"bb")
    assert content_hashes([path]) != first


def test_of_large_files_samples_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [Path(write(tmp_path / name, os.urandom(1_000_000))) for name in ("a", "b")]
    assert quick_hashes(paths) == content_hashes(paths)
    monkeypatch.setattr(file_hashes, "WHOLE", 1_999_999)
    monkeypatch.setattr(file_hashes, "CHUNK", 1_000)
    monkeypatch.setattr(file_hashes, "_hash", lambda path: pytest.fail("hashed as a whole"))
    first = quick_hashes(paths)
    assert first[0] != first[1]
    assert quick_hashes(paths) == first
    way = 1_000_000 // 4096
    for start in (0, 123_456, 999_000):
        content = bytearray(paths[0].read_bytes())
        content[start : start + way] = bytes(b ^ 1 for b in content[start : start + way])
        paths[0].write_bytes(content)
        assert quick_hashes(paths)[0] != first[0]
        assert quick_hashes(paths)[1] == first[1]
    assert quick_hashes([Path(write(tmp_path / "empty", b"")), *paths])[0]


@pytest.mark.parametrize("memory", [b"", b"{", b"[]", b'{"PATH": 3}', b'{"PATH": [1, 2, 3, 4, 5]}', b"\xff"])
def test_a_corrupt_memory_of_hashes_costs_only_time(tmp_path: Path, memory: bytes) -> None:
    path = Path(write(tmp_path / "a.txt", b"a"))
    first = content_hashes([path], tmp_path / "other")
    write(cache_folder() / file_hashes.NAME, memory.replace(b"PATH", str(path).encode()))
    assert content_hashes([path]) == first
    assert json.loads((cache_folder() / file_hashes.NAME).read_bytes())[str(path)][-1] == first[0]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", write(tmp_path / "a file", b""))
    assert len(content_hashes([Path(write(tmp_path / "a.txt", b"a"))])[0]) == 32
    assert "cannot be read" in failure(lambda: content_hashes([tmp_path / "gone"]))


# --- the real corpora


@pytest.mark.real_data
def test_real_corpora() -> None:
    folder = real("fr_text")
    source = FilesSource(str(folder / "*.jsonl.zst"))
    source.check()
    held_out = FilesSource(
        str(folder / "eltec_train.jsonl.zst"), held_out_files=str(folder / "eltec_valid.jsonl.zst")
    )
    documents = list(held_out.held_out() or ())
    assert sum(len(document.text) for document in documents) in range(2_000_000, 2_600_000)
    assert documents[0].name == "eltec_valid.jsonl.zst:line 1"
    sample = list(held_out.sample(500_000))
    assert sum(len(document.text) for document in sample) in range(490_000, 520_000)
    assert int(sample[-1].name.rsplit(" ", 1)[1]) > 8_000


def test_quotes_that_a_tsv_keeps_are_reported(tmp_path: Path) -> None:
    rows = ['"Un ""mot"""', 'Un "mot"', '"Un" et "deux"', '"Un\tmot"'.replace("\t", " ")]
    quoted = write(tmp_path / "a.tsv", ("text\n" + "\n".join(rows * 100) + "\n").encode())
    plain = write(tmp_path / "b.tsv", b"text\nUn mot\n")
    enclosed = write(tmp_path / "c.csv", ("text\n" + "\n".join(rows[:2]) + "\n").encode())
    told = (
        f"{quoted}: 50 of the first 100 texts in quotes, which are kept: in a .tsv a quote is a character like any "
        "other; where quotes enclose fields, call the file .csv"
    )
    assert FilesSource([plain, enclosed]).notes() == []
    assert FilesSource([plain, enclosed], held_out_files=quoted).notes() == [told]
    parts = [{"weight": 1, "name": "files", "files": file} for file in (plain, quoted)]
    mixed = sources.build("mix", sources=parts)
    assert isinstance(mixed, Noting)
    assert mixed.notes() == [f"data.sources[1]: {told}"]
    lines: list[str] = []
    settings = [f"data.files={quoted}", f"blocks.cache_dir={tmp_path / 'cache'}", "blocks.held_out_share=0.2"]
    config = configuration(
        "prepare", ["data=files", *settings, "tokenizer.vocab_size=60", "blocks.sequence_length=8"]
    )
    prepare(config, lines.append)
    assert lines[0] == f"note: {told}"


GOOD = '{"text": "Un texte qui est lu."}\n'


def test_records_that_cannot_be_read_are_left_out_and_counted_where_that_is_asked_for(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", (GOOD + '{"text": "cut\n' + GOOD + '{"txet": "x"}\n' + GOOD).encode())
    rows = write(tmp_path / "b.csv", b"text,b\nUn,1\nDeux,2,3\nTrois,1\n")
    assert "line 2" in failure(lambda: list(FilesSource([lines, rows]).documents()))
    source = FilesSource([lines, rows], on_error="skip")
    source.check()
    read = list(source.documents())
    assert [document.text for document in read] == ["Un texte qui est lu."] * 3 + ["Un"]
    counts = {"a record that cannot be read": 2, "the rest of a file, which cannot be read": 1}
    report = source.report()
    assert report["dropped"] == counts
    assert [told.partition(": ")[2][:7] for told in cast(list[str], report["unreadable"])] == [
        "line 2:",
        "line 4:",
        "line 3:",
    ]
    assert [document.text for document in source.documents(after=read[1].place)] == [
        "Un texte qui est lu.",
        "Un",
    ]
    assert source.report()["dropped"] == counts, "the counts go on where the reading does"
    assert FilesSource(lines).fingerprint() != FilesSource(lines, on_error="skip").fingerprint()
    assert sources.problems("files", {"files": [lines], "on_error": "ignore"})


def test_a_file_of_which_nothing_can_be_read_is_refused_in_any_case(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", b"txet,b\nUn,1\n")
    assert "no column 'text'" in failure(FilesSource(table, on_error="skip").check)
    assert "no column 'text'" in failure(lambda: list(FilesSource(table, on_error="skip").documents()))


def test_what_was_left_out_is_in_the_manifest(tmp_path: Path) -> None:
    lines = [f'{{"text": "Un texte de {number} mots et plus."}}\n' for number in range(300)]
    lines[250] = '{"text": "cut\n'
    path = write(tmp_path / "a.jsonl", "".join(lines).encode())
    shaping = ["tokenizer.vocab_size=300", "blocks.sequence_length=16", "blocks.held_out_share=0.1"]
    words = ["data=files", f"data.files=[{path}]", "data.on_error=skip", *shaping]
    config = configuration("prepare", words)
    corpus = prepare(config, lambda line: None)
    assert corpus.manifest["dropped"] == {"a record that cannot be read": 1}
    (told,) = corpus.manifest["unreadable"]
    assert told.startswith("a.jsonl: line 251: not valid JSON")
    assert any("a record that cannot be read" in line for line in corpus.lines())
