"""Datasets of the Hub, read by the real libraries from a Hub on the loopback interface.

Each case is a process of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from loopback_hub import COMMIT, REPOSITORY, serving

from bertinchamps.contract import Document
from bertinchamps.data.sources import readers_parquet
from bertinchamps.data.sources.hub import HubSource
from bertinchamps.errors import UserError
from support import NO_HUB, command

SECRET = "Madame Confidentielle"
READ = "for document in source.documents(): print(ascii(document.text), document.name)"
CHECK = "source.check()"
OSCAR = {"repository": REPOSITORY, "pattern": "fr_meta/*.jsonl.zst", "text_field": "content"}
PREPARE = f"""
OSCAR = {OSCAR!r}
"""
PREPARE += """
from bertinchamps.schemas import BlocksConfig, PrepareConfig, TokenizerConfig
from bertinchamps.data.preparation import prepare
config = PrepareConfig(
    data={"name": "hub"} | OSCAR, tokenizer=TokenizerConfig(vocab_size=300),
    blocks=BlocksConfig(sequence_length=8, held_out_share=0.2),
)
corpus = prepare(config, lambda line: None)
counts = corpus.manifest
print(counts["train"]["documents"] + counts["held_out"]["documents"])
print(counts["shaped_by"]["source"]["revision"])
"""


class Ran(NamedTuple):
    output: str
    message: str  # of the UserError, if there was one
    seconds: float


def run(
    tmp_path: Path, code: str, environment: Mapping[str, str] = MappingProxyType({}), **settings: object
) -> Ran:
    """Runs code with a `source` in a process of its own. Any error but a UserError fails the test."""
    program = (
        "import sys\nfrom bertinchamps.data.sources import sources\n"
        "from bertinchamps.errors import UserError\n"
        f"source = sources.build('hub', **{(OSCAR | settings)!r})\n"
        f"try:\n    exec({code!r})\nexcept UserError as error:\n    sys.exit('USER ERROR ' + str(error))\n"
    )
    began = time.monotonic()
    done = command("-c", program, cwd=tmp_path, BERTINCHAMPS_CACHE=str(tmp_path / "cache"), **environment)
    _, user_error, message = done.stderr.partition("USER ERROR ")
    assert done.returncode == (1 if user_error else 0), done.stderr
    return Ran(done.stdout, message, time.monotonic() - began)


def shard(*lines: object) -> bytes:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return zstandard.compress(text.encode())


def document(text: str, **metadata: object) -> dict[str, object]:
    return {"content": text, "warc_headers": {"warc-type": "conversion"}, "metadata": metadata}


def test_the_documents_of_all_french_shards_stream_in_order(tmp_path: Path) -> None:
    files = {
        "README.md": b"OSCAR",
        "en_meta/en_meta_part_1.jsonl.zst": shard(document("not French")),
        # the type of a metadata field changes between lines and shards, as it does in OSCAR
        "fr_meta/fr_meta_part_1.jsonl.zst": shard(
            document("L'œil\nà nu.", quality=None), document("Deux.", quality=["short"])
        ),
        "fr_meta/fr_meta_part_2.jsonl.zst": shard(document("Trois\u2028lignes.", quality={"a": 1})),
    }
    with serving(files):
        ran = run(tmp_path, READ)
    assert ran.output.splitlines() == [
        f"{text!a} fr_meta_part_{place}"
        for text, place in [
            ("L'œil\nà nu.", "1.jsonl.zst:line 1"),
            ("Deux.", "1.jsonl.zst:line 2"),
            ("Trois\u2028lignes.", "2.jsonl.zst:line 1"),
        ]
    ]


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    shards = {f"fr_meta/part_{number}.jsonl.zst": shard(document(f"{number}")) for number in range(3)}
    with serving(shards) as hub:
        ran = run(tmp_path, READ, max_documents=1)
    assert ran.output.splitlines() == ["'0' part_0.jsonl.zst:line 1"]
    assert not any("part_2" in request for request in hub.requests)


def parquet(*texts: str | None, rows: int = 2) -> bytes:
    stream = io.BytesIO()
    columns = {"id": [str(n) for n in range(len(texts))], "text": list(texts)}
    pq.write_table(pa.table(columns), stream, row_group_size=rows)
    return stream.getvalue()


def test_parquet_streams_its_text_column(tmp_path: Path) -> None:
    files = {"data/a.parquet": parquet("Un.", " ", "L'œil\nà nu."), "data/b.parquet": parquet("Trois.")}
    with serving(files):
        ran = run(tmp_path, READ, pattern="data/*.parquet", text_field="text")
    assert ran.output.splitlines() == [
        "'Un.' a.parquet:row 1",
        f"{'L' + chr(39) + 'œil' + chr(10) + 'à nu.'!a} a.parquet:row 3",
        "'Trois.' b.parquet:row 1",
    ]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("behaviour", [{"broken": 3}, {"stalling": 2}, {"trickling": True}], ids=str)
def test_bad_connections_lose_nothing_and_repeat_nothing(
    tmp_path: Path, kind: str, behaviour: dict[str, int]
) -> None:
    random = np.random.default_rng(0)  # text that does not compress, so that it takes more than one answer
    texts = ["".join(map(chr, random.integers(97, 1000, 2000))) for _ in range(300)]
    if kind == "parquet":
        files = {"fr_meta/a.parquet": parquet(*texts)}
    else:
        files = {"fr_meta/a.jsonl.zst": shard(*(document(text) for text in texts))}
    code = (
        "from huggingface_hub import constants\n"
        "constants.HF_HUB_DOWNLOAD_TIMEOUT = 0.5\n"  # seconds of silence, then the connection is given up
        "import time\nsleep = time.sleep\n"
        "time.sleep = lambda seconds: sleep(seconds / 20)\n"  # between tries, which are as many as ever
        "import hashlib\ntexts = [document.text for document in source.documents()]\n"
        "print(len(texts), hashlib.sha256(''.join(texts).encode()).hexdigest())"
    )
    settings = {"pattern": "fr_meta/*.parquet", "text_field": "text"} if kind == "parquet" else {}
    with serving(files, **behaviour) as hub:
        ran = run(tmp_path, code, **settings)
        assert hub.broken == hub.stalling == 0
    assert ran.output.split() == ["300", hashlib.sha256("".join(texts).encode()).hexdigest()], ran.message


PEAK = """
from pathlib import Path
characters = sum(len(document.text) for document in source.documents())
# not ru_maxrss, which begins with the parent's
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(characters, int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak of its memory")
def test_no_more_than_a_buffer_is_held(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(map(chr, random.integers(97, 123, 20_000))) for _ in range(50)]
    peaks = []
    for copies in (8, 80):  # megabytes; much of it in few bytes, since a thousandth of it is new
        lines = [json.dumps(document(f"{copy} {text}")) for copy in range(copies) for text in texts]
        files = {"fr_meta/a.jsonl.zst": shard(*lines[::2]), "fr_meta/b.jsonl.zst": shard(*lines[1::2])}
        with serving(files):
            characters, peak = map(int, run(tmp_path, PEAK).output.split())
        assert characters > 1_000_000 * copies
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 40, peaks  # MiB


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_place_goes_on_there_and_downloads_no_earlier_shard(tmp_path: Path, kind: str) -> None:
    texts = [[f"{part} {number}" for number in range(5)] for part in range(3)]
    if kind == "parquet":
        files = {f"fr_meta/{part}.parquet": parquet(*texts[part]) for part in range(3)}
        settings = {"pattern": "fr_meta/*.parquet", "text_field": "text"}
    else:
        files = {f"fr_meta/{part}.jsonl.zst": shard(*map(document, texts[part])) for part in range(3)}
        settings = {}
    code = (
        "documents = list(source.documents())\n"
        "for number, document in enumerate(documents, start=1):\n"
        "    assert list(source.documents(document.place)) == documents[number:]\n"
        "print(documents[6].place)"
    )
    for most in (None, 9):
        with serving(files) as hub:
            assert run(tmp_path, code, max_documents=most, **settings).output == "[1, 2, 7]\n"
            hub.requests.clear()
            rest = run(
                tmp_path,
                "print(len(list(source.documents([1, 2, 7]))))",
                max_documents=most,
                **settings,
            )
            assert rest.output == ("8\n" if most is None else "2\n")
            assert not any(
                "fr_meta/0" in request for request in hub.requests if request.startswith("GET /datasets")
            )


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    with serving({"fr_meta/a.jsonl.zst": shard('{"content": "a\\ud83db"}')}):
        assert run(tmp_path, READ).output.startswith("'a?b'")


def test_prepare_builds_a_corpus_from_the_hub_and_names_its_commit(tmp_path: Path) -> None:
    shards = {
        f"fr_meta/part_{part}.jsonl.zst": shard(*(document(f"le texte numéro {part}{n}") for n in range(30)))
        for part in (1, 2)
    }
    with serving(shards) as hub:
        ran = run(tmp_path, PREPARE)
    assert ran.output.split() == ["60", COMMIT]
    asked = [request for request in hub.requests if request.endswith("/auth-check")]
    assert len(asked) == 1  # one commit for the fingerprint, the tokenizer and the blocks


def test_a_line_without_the_text_field_names_its_place_but_neither_keys_nor_text(tmp_path: Path) -> None:
    with serving({"fr_meta/a.jsonl.zst": shard(document("Un."), {"text": SECRET, "id": 2})}):
        ran = run(tmp_path, READ)
    assert (
        f"data.text_field=content: {REPOSITORY}, a.jsonl.zst:line 2 has no such text (keys: 2);"
        in ran.message
    )
    assert SECRET not in ran.message


def test_a_document_may_not_be_longer_than_asked_for(tmp_path: Path) -> None:
    files = {
        "fr_meta/a.jsonl.zst": shard(document("Un."), document(SECRET * 100)),
        "data/a.parquet": parquet("Un.", SECRET * 100, *["Trois."] * 8, rows=10),
    }
    of_parquet = {"pattern": "data/*.parquet", "text_field": "text"}
    with serving(files):
        line = run(tmp_path, READ, max_record_mb=0.001)
        row = run(tmp_path, READ, max_record_mb=0.001, **of_parquet)
    told = "longer than 0.001 MB; data.max_record_mb=N reads longer ones"
    assert f"fr_meta/a.jsonl.zst: line 2: {told}" in line.message
    assert f"a.parquet: row 2: {told}" in row.message
    assert SECRET not in line.message + row.message


def rows_of(name: str, content: bytes, **settings: object) -> Iterator[tuple[int, Document | None]]:
    """The rows of a file that has come from the Hub."""
    source = HubSource(REPOSITORY, f"*{Path(name).suffix}", **settings)  # type: ignore[arg-type]
    return source.rows_of(io.BytesIO(content), f"datasets/{REPOSITORY}/{name}")


def test_rows_that_share_one_text_are_not_all_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * 100_000]))
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": column}), stream, compression="zstd", store_schema=False)
    assert len(stream.getvalue()) < 2000
    monkeypatch.setattr(readers_parquet, "EXPANDED", 1_000_000)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    rows = rows_of("a.parquet", stream.getvalue())
    next(rows)
    assert pa.total_allocated_bytes() - before < 4_000_000
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert sum(1 for _ in rows) == 299


def test_columns_that_nobody_asked_for_are_not_read() -> None:
    with pytest.raises(UserError, match=r"a\.parquet: schema: no column 'content' \(found: 2 by") as raised:
        next(rows_of("a.parquet", parquet(SECRET), text_field="content"))
    assert SECRET not in str(raised.value)
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": [[SECRET]]}), stream)
    with pytest.raises(UserError, match="of type list, not a text"):
        next(rows_of("a.parquet", stream.getvalue()))


def test_a_line_of_more_values_than_any_document_has_is_refused() -> None:
    line = json.dumps({"text": "x", "more": [[]] * 400_000}).encode()
    with pytest.raises(UserError, match=r"a\.jsonl:line 1: more than 62,500 values in one record; data\.max"):
        next(rows_of("a.jsonl", line, max_record_mb=2))


class CountingFile(io.BytesIO):
    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def test_a_row_group_is_downloaded_once() -> None:
    random = np.random.default_rng(0)
    texts = ["".join(map(chr, random.integers(97, 1000, 2000))) for _ in range(300)]
    file = CountingFile(parquet(*texts, rows=100))
    source = HubSource(REPOSITORY, "*.parquet")
    assert [document.text for _, document in source.rows_of(file, "a.parquet") if document] == texts
    assert file.count < 1.1 * len(file.getvalue()) + 65536  # which is how much pyarrow reads of the end


def test_a_line_that_is_not_json_names_its_place_but_no_text(tmp_path: Path) -> None:
    with serving({"fr_meta/a.jsonl.zst": shard(document("Un."), SECRET)}):
        ran = run(tmp_path, READ)
    assert ran.message.strip() == f"{REPOSITORY}, a.jsonl.zst:line 2: not JSON"


@pytest.mark.parametrize("pattern", ["br_meta/*.jsonl.zst", "fr_meta/*.parquet", "fr_meta/b.jsonl.zst"])
def test_a_pattern_that_fits_no_file_says_where_to_look(tmp_path: Path, pattern: str) -> None:
    with serving({"fr_meta/a.jsonl.zst": shard(document("Un."))}) as hub:
        ran = run(tmp_path, READ, pattern=pattern)
    assert f"data.pattern={pattern}: no such files in {REPOSITORY}" in ran.message
    assert f"{hub.endpoint}/datasets/{REPOSITORY}/tree/main" in ran.message


# --------------------------------------------------------------- the corpus cannot be read at all


def assert_names_the_ways_out(ran: Ran) -> None:
    assert ran.message.startswith(f"the corpus {REPOSITORY} ")
    for way in ("data=files", "data=demo", "hf auth login", f"/datasets/{REPOSITORY}"):
        assert way in ran.message
    assert ran.seconds < 10


@pytest.mark.parametrize(
    ("status", "code", "what"),
    [
        (403, "GatedRepo", "is gated: accept its terms at"),
        (401, "GatedRepo", "is gated"),
        (404, "RepoNotFound", "was not found on http://127.0.0.1:PORT, or is private"),
        (401, "RepoNotFound", "was not found on http://127.0.0.1:PORT, or is private"),
        (503, "", "cannot be read: http://127.0.0.1:PORT answered 503"),
    ],
)
def test_a_refusal_is_told_in_words(tmp_path: Path, status: int, code: str, what: str) -> None:
    with serving({}, refusal=(status, code)) as hub:
        ran = run(tmp_path, CHECK)
    assert what.replace("PORT", str(hub.server_port)) in ran.message
    assert_names_the_ways_out(ran)


def test_a_hub_out_of_reach_is_told_within_seconds(tmp_path: Path) -> None:
    ran = run(tmp_path, CHECK)
    assert f"cannot be read: {NO_HUB['HF_ENDPOINT']} did not answer" in ran.message
    assert_names_the_ways_out(ran)


def test_offline_mode_is_named_as_the_reason(tmp_path: Path) -> None:
    ran = run(tmp_path, CHECK, {"HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE is set" in ran.message
    assert_names_the_ways_out(ran)


def test_a_name_that_is_none_is_told_by_its_key(tmp_path: Path) -> None:
    ran = run(tmp_path, CHECK, repository="a/b/c")
    assert ran.message.strip() == "data.repository=a/b/c: not a name of the form owner/name"
