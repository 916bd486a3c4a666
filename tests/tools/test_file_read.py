"""The tool `file_read`: what is in the folder, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.configuration import RuntimeSettings, configure, current
from tests.tools.use import problems, use
from tools.builtin.file_read.beneath import Unreadable, open_beneath


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The operator's folder, with a secret beside it."""
    before = current()
    opened = tmp_path / "open"
    (opened / "deep" / "deeper").mkdir(parents=True)
    (opened / "a.txt").write_text("Hello, wörld")
    (opened / "deep" / "deeper" / "b.md").write_text("# B")
    (tmp_path / "secret.txt").write_text("secret")
    configure(RuntimeSettings(file_read_roots=(str(opened),)))
    yield opened
    configure(before)


async def read(path: str, **parameters: Any) -> dict[str, Any]:
    record = await use("file_read", {"path": path}, **parameters)
    assert record.status == "ok", record.error
    found: dict[str, Any] = record.result
    return found


async def refusal(path: str, **parameters: Any) -> str:
    record = await use("file_read", {"path": path}, **parameters)
    assert record.status == "error", record.result
    return str(record.error)


async def test_a_file_is_read(folder: Path) -> None:
    assert await read("a.txt") == {"path": "a.txt", "content": "Hello, wörld", "size": 13, "next_offset": None}
    assert (await read("deep/./deeper/b.md"))["content"] == "# B"


async def test_an_assistant_may_be_given_a_folder_below(folder: Path) -> None:
    assert (await read("b.md", root=str(folder / "deep" / "deeper")))["content"] == "# B"
    assert "no file" in await refusal("a.txt", root=str(folder / "deep"))


@pytest.mark.parametrize(
    "path", ["../secret.txt", "deep/../../secret.txt", "..", "deep/..", "/etc/hosts.txt", "/", "."]
)
async def test_nothing_leads_out_of_the_folder(folder: Path, path: str) -> None:
    assert "path" in await refusal(path)


@pytest.mark.parametrize(
    "path", ["a\0.txt", "a" * 1000 + ".txt", "\\..\\secret.txt", "~/a.txt", "nothing.txt", "a.txt/x.txt"]
)
async def test_what_is_not_there_is_refused(folder: Path, path: str) -> None:
    assert await refusal(path)


async def test_symbolic_links_are_not_followed(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "inner.txt").symlink_to(folder / "a.txt")
    (folder / "up").symlink_to(folder.parent)
    assert await refusal("link.txt") == "'link.txt' is not a plain file."
    assert await refusal("inner.txt") == "'inner.txt' is not a plain file."
    assert await refusal("up/secret.txt") == "There is no file 'up/secret.txt' that may be read."
    assert "no file" in await refusal("secret.txt", root=str(folder / "up"))


def test_a_file_that_becomes_a_link_between_two_looks_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def swapping(*args: Any, **named: Any) -> os.stat_result:
        found = real(*args, **named)
        (folder / "a.txt").unlink()
        (folder / "a.txt").symlink_to(folder.parent / "secret.txt")
        return found

    monkeypatch.setattr(os, "stat", swapping)
    with pytest.raises(Unreadable, match="no file"):
        open_beneath(str(folder), ["a.txt"])


@pytest.mark.parametrize(
    ("name", "extensions"),
    [("run.exe", None), ("a.txt.exe", None), ("no_extension", None), (".txt", None), ("a.txt", [".md"]), ("a.txt", [])],
)
async def test_other_extensions_are_refused(folder: Path, name: str, extensions: list[str] | None) -> None:
    (folder / name).write_text("there")
    parameters = {} if extensions is None else {"allowed_extensions": extensions}
    assert "are not read here" in await refusal(name, **parameters)


async def test_the_case_of_an_extension_does_not_matter(folder: Path) -> None:
    (folder / "README.MD").write_text("loud")
    assert (await read("README.MD", allowed_extensions=[".Md"]))["content"] == "loud"


async def test_folders_pipes_and_devices_are_refused(folder: Path) -> None:
    (folder / "d.txt").mkdir()
    os.mkfifo(folder / "pipe.txt")
    for name in ("d.txt", "pipe.txt"):
        assert await refusal(name) == f"{name!r} is not a plain file."
    configure(RuntimeSettings(file_read_roots=("/dev",)))
    assert "not read here" in await refusal("null")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"MZ\x00\x01", b"text\x00more", b"\x80abc", "ü".encode("latin-1") + b"x"]
)
async def test_what_is_no_text_is_refused(folder: Path, content: bytes) -> None:
    (folder / "binary.txt").write_bytes(content)
    assert "text" in await refusal("binary.txt")


async def test_a_long_file_is_read_in_parts_that_end_between_characters(folder: Path) -> None:
    text = "äöü€😀" * 300
    (folder / "long.txt").write_text(text)
    parts, offset = [], 0
    while offset is not None:
        record = await use("file_read", {"path": "long.txt", "offset": offset, "limit": 10**9}, max_bytes=1024)
        parts.append(record.result["content"])
        offset = record.result["next_offset"]
    assert "".join(parts) == text
    assert max(len(part.encode()) for part in parts) <= 1024


async def test_behind_the_end_there_is_nothing(folder: Path) -> None:
    record = await use("file_read", {"path": "a.txt", "offset": 1000})
    assert (record.result["content"], record.result["next_offset"]) == ("", None)


async def test_the_model_cannot_choose_the_folder(folder: Path) -> None:
    record = await use("file_read", {"path": "a.txt", "root": "/etc"})
    assert "not valid" in str(record.error)


def test_without_folders_of_the_operator_the_tool_says_so() -> None:
    assert problems("file_read") == ["FILE_READ_ROOTS opens no folder of this server."]


@pytest.mark.parametrize("root", ["/etc", "/", "{folder}/../x", "{folder}x", "deep", "{folder}/a\0"])
def test_a_folder_of_nobodys_is_a_problem(folder: Path, root: str) -> None:
    assert "FILE_READ_ROOTS" in problems("file_read", root=root.format(folder=folder))[0]


def test_a_folder_of_the_operators_is_none(folder: Path) -> None:
    assert problems("file_read") == problems("file_read", root=f"{folder}/deep") == []
