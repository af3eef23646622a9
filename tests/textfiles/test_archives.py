"""Damaged archives: every one is read right or refused in words, whatever part of it is damaged."""

from __future__ import annotations

import io
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from bertinchamps.errors import UserError
from bertinchamps.textfiles.archives import contents, listed

SECRET = "Madame Confidentielle"
FILES = {
    f"corpus/n{number}.{suffix}": f"{SECRET} {number} a une rougeole sévère. {suffix} ".encode()
    * (1 + number)
    for number in range(6)
    for suffix in ("txt", "ann")
}
ZIPS = {
    "stored.zip": zipfile.ZIP_STORED,
    "deflate.zip": zipfile.ZIP_DEFLATED,
    "bzip2.zip": zipfile.ZIP_BZIP2,
    "lzma.zip": zipfile.ZIP_LZMA,
}
TARS = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}
PATTERNS = ["*.txt", "*.ann"]


def packed(name: str) -> bytes:
    """An archive of FILES, of the kind that its name says."""
    whole = io.BytesIO()
    if name in ZIPS:
        return packed_zip(name, FILES)
    with tarfile.open(fileobj=whole, mode=TARS[name]) as tar:  # type: ignore[call-overload]
        for path, content in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def packed_zip(name: str, members: dict[str, bytes], claims: int | None = None) -> bytes:
    """A zip of the kind that its name says; `claims` is the size of each member that its directory has."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", ZIPS[name]) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        for info in archive.infolist():
            info.file_size = info.file_size if claims is None else claims
    return whole.getvalue()


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, or a part cut out, or the end."""
    place, kind = chance.randrange(len(whole)), chance.randrange(4)
    if kind == 0:
        return whole[:place]
    if kind == 1:
        return whole[:place] + whole[place + chance.randrange(1, 40) :]
    changed = bytearray(whole)
    for _ in range(chance.choice((1, 1, 4))):
        changed[chance.randrange(len(whole))] ^= chance.randrange(1, 256)
    return bytes(changed)


@pytest.mark.parametrize("name", [*ZIPS, *TARS])
def test_a_damaged_archive_is_read_right_or_refused(tmp_path: Path, name: str) -> None:
    whole, chance, path, told = packed(name), random.Random(name), tmp_path / name, []
    for _ in range(60):
        path.write_bytes(damaged(whole, chance))
        try:
            found = contents(path, PATTERNS)
        except UserError as error:
            told.append(str(error))
            continue
        assert [str(member.relative_to(path)) for member in found] == sorted(FILES)
        assert name == "a.tar" or list(found.values()) == [FILES[member] for member in sorted(FILES)]
    assert len(told) > 20
    assert all(message.startswith(f"{path}: ") and SECRET not in message for message in told)


@pytest.mark.parametrize("name", [*ZIPS, *TARS])
def test_a_whole_one_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(packed(name))
    assert contents(tmp_path / name, PATTERNS) == {
        PurePosixPath(tmp_path / name / path): content for path, content in sorted(FILES.items())
    }


def changed_zip(place: int, value: int) -> bytes:
    """A zip with one byte changed in each entry of its directory and in each header beside the content."""
    whole = bytearray(packed("deflate.zip"))
    for mark, offset in ((b"PK\x01\x02", place), (b"PK\x03\x04", place - 2)):
        start = whole.find(mark)
        while start >= 0:
            whole[start + offset] = value
            start = whole.find(mark, start + 1)
    return bytes(whole)


@pytest.mark.parametrize(
    ("name", "whole", "what"),
    [
        ("a.zip", changed_zip(8, 1), "encrypted or packed in an unknown way; unpack it first"),
        ("a.zip", changed_zip(10, 77), "encrypted or packed in an unknown way; unpack it first"),
        ("a.zip", changed_zip(16, 0), "damaged or cut short; get it again"),  # a checksum
        ("a.zip", b"no zip", "damaged or cut short; get it again"),
        ("a.tar.gz", packed("a.tar.gz")[:-9], "damaged or cut short; get it again"),
        ("a.tar.gz", packed("a.tar.gz")[:-1] + b"x", "damaged or cut short; get it again"),
        ("a.tar", packed("a.tar")[:1024], "damaged or cut short; get it again"),  # no end
        ("a.tar", b"", "damaged or cut short; get it again"),
    ],
)
def test_what_is_wrong_is_reported(tmp_path: Path, name: str, whole: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(whole)
    with pytest.raises(UserError) as caught:
        contents(tmp_path / name, PATTERNS)
    assert str(caught.value) == f"{tmp_path / name}: {what}"


def test_a_member_that_the_directory_of_a_zip_lost_is_missed(tmp_path: Path) -> None:
    whole = bytearray(packed("stored.zip"))
    ending = whole.rfind(b"PK\x05\x06")
    entry = whole.rfind(b"PK\x01\x02")
    size = int.from_bytes(whole[ending + 12 : ending + 16], "little")
    del whole[entry:ending]
    ending = whole.rfind(b"PK\x05\x06")
    shorter = size - (len(packed("stored.zip")) - len(whole))
    whole[ending + 12 : ending + 16] = shorter.to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(bytes(whole))
    with pytest.raises(UserError, match="damaged or cut short"):
        listed(tmp_path / "a.zip", PATTERNS)


@pytest.mark.parametrize("name", ZIPS)
def test_a_member_of_many_pieces_is_read(tmp_path: Path, name: str) -> None:
    noise = random.Random(0).randbytes(300_000)
    members = {"0.txt": b"", "1.txt": noise * 2 + bytes(1_000_000) + noise, "2.txt": b"a"}
    (tmp_path / name).write_bytes(packed_zip(name, members))
    assert list(contents(tmp_path / name, ["*.txt"]).values()) == list(members.values())


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.parametrize("claims", [10, 30_000_000])
def test_no_more_of_a_zip_is_unpacked_than_its_directory_claims(
    tmp_path: Path, name: str, claims: int
) -> None:
    (tmp_path / name).write_bytes(packed_zip(name, {"1.txt": bytes(20_000_000)}, claims))
    tracemalloc.start()
    with pytest.raises(UserError, match="damaged or cut short"):
        contents(tmp_path / name, ["*.txt"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (2_000_000 if claims == 10 else 70_000_000)
