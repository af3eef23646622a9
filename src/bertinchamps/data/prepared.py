"""A prepared corpus that travels: exported where the documents are, opened on a machine without the documents.

    FOLDER/tokenizer.json tokenizer_config.json …
    FOLDER/train.bin.zst held_out.bin.zst   the blocks, compressed
    FOLDER/manifest.json                    fingerprint, settings, counts; size and digest of each file

Opening a corpus unpacks the blocks into the cache, once, under the fingerprint: where a preparation of the documents
would have put them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertinchamps.console import Tell
from bertinchamps.data.building import build
from bertinchamps.data.corpus import Corpus, check_all
from bertinchamps.data.file_hashes import content_hashes
from bertinchamps.data.tokenizer import OTHER_TOKENIZER_FILES, TOKENIZER_FILES, files_that_open
from bertinchamps.durable import flush_to_disk, write_json
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.launch import cores
from bertinchamps.schemas import Node, PrepareConfig
from bertinchamps.textfiles.opening import opened, unreadable

FORMAT = 1  # of the folder
LEVEL = 19  # of zstandard: an export is written once and carried around
BLOCKS = ("train.bin", "held_out.bin")
FACTS = {  # of each file
    **dict.fromkeys(TOKENIZER_FILES, ("bytes", "blake2b")),
    **{f"{name}.zst": ("bytes", "blake2b", "content_bytes", "content_blake2b") for name in BLOCKS},
}
OF_OTHERS = (*OTHER_TOKENIZER_FILES, "config.json")  # that tokenizers of other programs may have besides
MANIFEST = "manifest.json"
CHUNK = 1 << 20  # bytes
REMEDY = "copy the folder again, or export it again"


def is_prepared(data: Node) -> bool:
    """Whether a `data` node names an exported corpus instead of a source of documents."""
    return data.get("name") == "prepared"


@dataclass(frozen=True)
class Export:
    """A folder that was exported, with what its manifest says.

    Attributes:
        folder: where it is.
        fingerprint: of the corpus, from where the corpus was prepared.
        settings: that shaped it, by the keys of the command line.
        files: name → `bytes` and `blake2b` of the file; of blocks, also `content_bytes` and `content_blake2b`.
        corpus: the manifest of the corpus.
    """

    folder: Path
    fingerprint: str
    settings: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    corpus: dict[str, Any]

    def problems(self) -> list[str]:
        """Files that are missing or have another size, each by name."""
        found = []
        for name in self.files:
            file, expected = self.folder / name, self.files[name]["bytes"]
            if not file.is_file():
                found.append(f"{file} is missing; {REMEDY}")
            elif file.stat().st_size != expected:
                found.append(f"{file} has {file.stat().st_size} bytes instead of {expected}; {REMEDY}")
        return found

    def check(self) -> None:
        """Look for each file, and compare its size and digest.

        Raises:
            UserError: all that is missing, cut or altered, a line each.
        """
        found = self.problems()
        if not found:
            digests = content_hashes([self.folder / name for name in self.files])
            found = [
                f"{self.folder / name} was altered after it was exported; {REMEDY}"
                for name, is_now in zip(self.files, digests, strict=True)
                if is_now != self.files[name]["blake2b"]
            ]
        if found:
            raise UserError("\n".join(found))

    def unpack(self, target: Path, tell: Tell) -> None:
        """Write the blocks and their manifest into an empty folder, in little memory.

        Raises:
            UserError: a file is damaged, or cannot be written.
        """
        for name in BLOCKS:
            packed, facts = self.folder / f"{name}.zst", self.files[f"{name}.zst"]
            tell(f"blocks: unpacking {packed} ({facts['content_bytes']:,} bytes)")
            content, written = _new_digest(), 0
            try:
                with (target / name).open("wb") as stream:
                    for chunk in _content(packed):
                        content.update(chunk)
                        written += stream.write(chunk)
                        if written > facts["content_bytes"]:  # damaged; it need not fill the disk
                            break
                flush_to_disk(target / name)
            except OSError as error:
                raise UserError(f"{target / name}: cannot be written ({error.strerror or error})") from error
            if (written, content.hexdigest()) != (facts["content_bytes"], facts["content_blake2b"]):
                raise UserError(f"{packed}: what it unpacks to is not what was exported; {REMEDY}")
        write_json(target / MANIFEST, self.corpus)


def _content(packed: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file, in chunks.

    Raises:
        UserError: it is damaged, or cannot be read.
    """
    read = 0
    try:
        with opened(packed) as stream:
            while chunk := stream.read(CHUNK):
                read += len(chunk)
                yield chunk
    except (OSError, EOFError) as error:
        raise unreadable(packed, f"after byte {read} of its content", error) from error


def read_export(data: Node) -> Export:
    """The exported folder that a `data` node names; the files in it are not looked at yet.

    Raises:
        UserError: there is no manifest of an export, or it is damaged.
    """
    folder = Path(data["folder"]).expanduser().resolve()
    file = folder / MANIFEST
    if not file.is_file():
        raise UserError(
            f"data.folder={data['folder']}: {file} is missing; python -m bertinchamps.prepare … export=FOLDER "
            "writes such a folder where the documents are"
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = int(manifest["format"])
        if version <= FORMAT:
            others = {name: ("bytes", "blake2b") for name in OF_OTHERS if name in manifest["files"]}
            files = {
                name: {key: manifest["files"][name][key] for key in keys}
                for name, keys in (FACTS | others).items()
            }
            export = Export(
                folder, manifest["fingerprint"], manifest["settings"], files, dict(manifest["corpus"])
            )
            whole = export.fingerprint == digest(canonical(export.corpus["shaped_by"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"data.folder={data['folder']}: {file} is damaged, or not of an export; {REMEDY}"
        ) from error
    if version > FORMAT:
        raise UserError(f"{file}: written by a newer version (format {version}); install that version here")
    if not whole:
        raise UserError(f"{file}: its fingerprint is not that of what shaped the corpus; {REMEDY}")
    return export


def prepared_problems(config: PrepareConfig) -> list[str]:
    """What is wrong with the exported folder, and settings that came too late for it, in the user's key names."""
    data = config.data
    problems = [
        f"data.{key}: a prepared corpus takes no such setting (it takes: folder)"
        for key in data
        if key not in ("name", "folder")
    ]
    if not isinstance(data.get("folder"), str):
        return [*problems, f"data.folder={data.get('folder')}: must be the folder that prepare exported"]
    try:
        export = read_export(data)
    except UserError as error:
        return [*problems, str(error)]
    given, defaults = _settings(config), _settings(PrepareConfig())
    late = [
        f"{key}={value}: the corpus is prepared already, "
        + (f"with {key}={export.settings[key]}" if key in export.settings else "with a tokenizer of its own")
        + "; leave it out"
        for key, value in given.items()
        if value != defaults[key] and value != export.settings.get(key, defaults[key])
    ]
    if config.tokenizer.path is not None:
        late.append(f"tokenizer.path={config.tokenizer.path}: the corpus brings its tokenizer; leave it out")
    return [*problems, *export.problems(), *late]


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """What shapes a corpus besides its documents, by the keys of the command line."""
    tokenizer = vars(config.tokenizer)
    trained = {f"tokenizer.{key}": value for key, value in tokenizer.items() if key != "path"}
    return {
        "cleaning": config.cleaning,
        **(trained if config.tokenizer.path is None else {}),
        "blocks.held_out_share": config.blocks.held_out_share,
        "blocks.tokens_per_character": config.blocks.tokens_per_character,
    }


def export_corpus(corpus: Corpus, config: PrepareConfig, folder: Path, tell: Tell) -> None:
    """Write a prepared corpus into a new folder, whole or not at all, for its owner's eyes alone.

    Args:
        corpus: with its blocks on disk.
        config: what it was prepared with.
        folder: must not exist.
        tell: shown progress.

    Raises:
        UserError: it cannot be written, or a byte of the blocks is not the one that was.
    """
    check_all(corpus)

    def fill(unfinished: Path) -> None:
        files: dict[str, dict[str, Any]] = {}
        for name in files_that_open(corpus.tokenizer_folder):
            shutil.copyfile(corpus.tokenizer_folder / name, unfinished / name)
            files[name] = {}
        for name in BLOCKS:
            source = corpus.folder / name
            tell(f"export: compressing {source} ({source.stat().st_size:,} bytes)")
            files[f"{name}.zst"] = _pack(source, unfinished / f"{name}.zst", config.blocks.workers or cores())
        for name, facts in files.items():
            file = unfinished / name
            with file.open("rb") as stream:
                of_file = hashlib.file_digest(stream, _new_digest).hexdigest()
            files[name] = {"bytes": file.stat().st_size, "blake2b": of_file, **facts}
            flush_to_disk(file)
        manifest = {
            "format": FORMAT,
            "fingerprint": corpus.fingerprint,
            "settings": _settings(config),
            "files": files,
            "corpus": corpus.manifest,
        }
        write_json(unfinished / MANIFEST, manifest)

    try:
        build(folder, fill, tell)
    except OSError as error:
        raise UserError(f"export={folder}: cannot be written ({error.strerror or error})") from error
    size = sum(file.stat().st_size for file in folder.iterdir())
    tell(f"export    {folder} ({size:,} bytes)")


def _new_digest() -> hashlib.blake2b:
    """Of the kind that `content_hashes` computes."""
    return hashlib.blake2b(digest_size=16)


def _pack(source: Path, target: Path, threads: int) -> dict[str, Any]:
    """Compress a file; returns the size and digest of its content."""
    import zstandard

    content, size = _new_digest(), 0
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=threads)
    with (
        source.open("rb") as stream,
        target.open("wb") as file,
        compressor.stream_writer(file, closefd=False) as packer,
    ):
        while chunk := stream.read(CHUNK):
            content.update(chunk)
            size += len(chunk)
            packer.write(chunk)
    return {"content_bytes": size, "content_blake2b": content.hexdigest()}
