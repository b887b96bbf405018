"""A model of a disk that loses power: what was not flushed may be missing.

A file's bytes are safe once the file was flushed, a name once its folder was. `Recorder` listens to the write
primitive; `Disk` replays what it heard and tells what may be found after a power cut.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = tuple[Any, ...]


class Recorder:
    """Put in place of `os` and `shutil` in `sdlora.files`; carries every call out and notes the ones that write."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        self._paths[descriptor] = os.fspath(path)
        if flags & os.O_CREAT:
            self.events.append(("create", os.fspath(path)))
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        count = os.write(descriptor, data)
        self.events.append(("write", self._paths[descriptor], bytes(data[:count])))
        return count

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self.events.append(("flush", self._paths[descriptor]))

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)
        self.events.append(("mkdir", os.fspath(path)))

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)
        self.events.append(("rename", os.fspath(source), os.fspath(target)))

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        self.events.append(("rename", os.fspath(source), os.fspath(target)))

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)
        self.events.append(("link", os.fspath(source), os.fspath(target)))

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        self.events.append(("remove", os.fspath(path)))

    def rmtree(self, path: Path) -> None:
        shutil.rmtree(path)
        self.events.append(("remove", os.fspath(path)))


@dataclass
class Node:
    """A file or a folder: as it is, and as it is known to be on the disk."""

    is_folder: bool
    data: bytes = b""
    safe_data: bytes = b""
    names: dict[str, Node] = field(default_factory=dict)
    safe_names: dict[str, Node] = field(default_factory=dict)


class Disk:
    """All that lies under `root`, which itself is safe."""

    def __init__(self, root: Path) -> None:
        self.root, self.top = os.fspath(root), Node(is_folder=True)

    def apply(self, event: Event) -> None:
        kind, path, *rest = event
        if kind == "flush":
            node = self._find(path)
            node.safe_data, node.safe_names = node.data, dict(node.names)
            return
        folder, name = self._find(os.path.dirname(path)), os.path.basename(path)
        if kind in ("create", "mkdir"):
            folder.names[name] = Node(is_folder=kind == "mkdir")
        elif kind == "write":
            folder.names[name].data += rest[0]
        elif kind == "rename":
            self._find(os.path.dirname(rest[0])).names[os.path.basename(rest[0])] = folder.names.pop(name)
        elif kind == "link":
            self._find(os.path.dirname(rest[0])).names[os.path.basename(rest[0])] = folder.names[name]
        else:
            assert kind == "remove"
            del folder.names[name]

    def after_a_cut(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Yield what may be found: everything, only what is safe, or all names with only their safe bytes."""
        for title, names, data in (
            ("all kept", "names", "data"),
            ("all lost", "safe_names", "safe_data"),
            ("names kept, bytes lost", "names", "safe_data"),
            ("bytes kept, names lost", "safe_names", "data"),
        ):
            yield title, dict(self._walk(self.top, "", names, data))

    def _walk(self, node: Node, path: str, names: str, data: str) -> Iterator[tuple[str, bytes]]:
        if not node.is_folder:
            yield path, getattr(node, data)
            return
        for name, child in getattr(node, names).items():
            yield from self._walk(child, os.path.join(path, name), names, data)

    def _find(self, path: str) -> Node:
        node = self.top
        relative = os.path.relpath(path, self.root)
        for name in [] if relative == "." else relative.split(os.sep):
            node = node.names[name]
        return node


def put(files: dict[str, bytes], folder: Path) -> None:
    """Make a real folder hold exactly these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
