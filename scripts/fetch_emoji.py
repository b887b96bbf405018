"""Fetch the drawings of the benchmark ``emoji100`` and lay them out in data/emoji100.

Run: python scripts/fetch_emoji.py [--root data/emoji100]        (about 15 MB, half a minute)

Needs node and npm. Eight emoji sets come as npm packages of SVG drawings, one package a set, at exact versions (not
every set ships PNGs); resvg's WebAssembly build, another npm package, renders them under node. Each package is compared
with its sha256 before it is opened, and the drawings of each set before they are written. A set that is already there
is left alone, so the command can be repeated after an interruption.

Writes train/<class>/<set>.png, test/<class>/<set>.png and LICENSES.txt. The drawings remain their artists' work.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from sdlora.datasets.base import default_root
from sdlora.datasets.emoji import drawing_name, drawings_digest
from sdlora.datasets.emoji_classes import CODEPOINTS, DRAWINGS, HANDS
from sdlora.errors import DataError, SDLoRAError
from sdlora.files import digest, make_folder, write_atomic

SIDE = 192  # of a drawing, pixels
MAX_BYTES = 50_000_000  # of a file in a package
SECONDS = 600  # that npm or node may take
RENDERER = ("@resvg/resvg-wasm", "2.6.2", "ff51acbb5ee0074601b75c3bea9226a18d346752af787f6d2d3adcdd98493d71")
FIXES = {
    "npm": "install node and npm (Debian: apt-get install nodejs npm), check the network, and run the command again",
    "node": "install node 20 or later (Debian: apt-get install nodejs) and run the command again",
}

Pack = Callable[[str, str, Path], bytes]
Render = Callable[[list[str]], list[bytes]]


@dataclass(frozen=True)
class EmojiSet:
    """One artist's drawings, as a package of SVGs.

    Attributes:
        title: What the artist calls them.
        authors: Who drew them.
        licence: Of the drawings, with its address.
        package: Name in the npm registry.
        version: Exact version.
        sha256: Of the package's tarball.
        names: Names of drawings that are not the words of the class, joined by hyphens.
    """

    title: str
    authors: str
    licence: str
    package: str
    version: str
    sha256: str
    names: Mapping[str, str]

    def drawing(self, label: str) -> str:
        """Return the name of a class's drawing."""
        return self.names.get(label, label.replace(" ", "-"))


SETS = {
    hand: EmojiSet(**about)
    for hand, about in json.loads(Path(__file__).with_name("emoji_sets.json").read_text(encoding="utf-8")).items()
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=default_root("emoji100"), help="where to write the drawings")
    args = parser.parse_args(arguments)
    try:
        fetch(args.root)
    except SDLoRAError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def fetch(root: Path, pack: Pack | None = None, render: Render | None = None) -> None:
    """Lay out the drawings of every set that is not there yet, then LICENSES.txt.

    Args:
        root: The dataset's folder.
        pack: Returns the tarball of a package; npm's if absent.
        render: Turns SVG documents into PNGs; resvg's if absent.

    Raises:
        DataError: If a package cannot be had, is not the recorded one, or does not hold what it must.
    """
    pack = pack or npm_pack
    for hand, emoji_set in SETS.items():
        if drawings_digest(root, hand) == DRAWINGS[hand]:
            print(f"{hand}: already there", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            tarball = verified(emoji_set.package, emoji_set.version, emoji_set.sha256, pack, Path(folder))
            documents = svg_documents(emoji_set, tarball)
            drawings = (render or (lambda svgs: resvg(svgs, pack)))(documents)
        check_drawings(hand, drawings)
        for label, drawing in zip(CODEPOINTS, drawings, strict=True):
            path = root / drawing_name(hand, label)
            make_folder(path.parent)
            write_atomic(path, drawing)
        print(f"{hand}: {len(drawings)} drawings of {emoji_set.package} {emoji_set.version}", flush=True)
    write_atomic(root / "LICENSES.txt", licences().encode())
    print(f"Complete: {root}\nNext: sdlora train emoji100_10/sdlora stream.root={root}")


def licences() -> str:
    """Return the text that names each set, its version, licence and authors."""
    blocks = [
        "The drawings of emoji100, rendered from SVG to PNG and otherwise unchanged; they remain their artists' work."
    ]
    for part, hands in HANDS.items():
        for hand in hands:
            one = SETS[hand]
            source = f"npm package {one.package} {one.version}"
            blocks.append(f"{part}/*/{hand}.png\n{one.title}\n{one.authors}\n{one.licence}\n{source}")
    return "\n\n".join(blocks) + "\n"


def verified(package: str, version: str, sha256: str, pack: Pack, folder: Path) -> bytes:
    """Return a package's tarball once its sha256 is the recorded one."""
    tarball = pack(package, version, folder)
    if digest(tarball) != sha256:
        raise DataError(
            f"{package} {version} has the sha256 {digest(tarball)}",
            expected=sha256,
            fix="run the command again; if it stays so, the registry serves another file: do not use it",
        )
    return tarball


def npm_pack(package: str, version: str, folder: Path) -> bytes:
    """Download a package's tarball into an empty folder with npm and return it."""
    command = ["npm", "pack", "--loglevel=error", "--ignore-scripts", f"{package}@{version}"]
    call(command, folder, f"{package} {version}")
    found = list(folder.glob("*.tgz"))
    if len(found) != 1:
        raise DataError(f"npm pack left {len(found)} tarballs of {package} {version}", expected="1", fix=FIXES["npm"])
    return found[0].read_bytes()


def call(command: list[str], folder: Path, what: str, stdin: str = "") -> str:
    """Run npm or node and return what it printed; every way of failing is an error of three parts."""
    program = command[0]
    expected = f"{program} to run and " + ("to reach a registry" if program == "npm" else "to render every drawing")
    try:
        done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS)
    except FileNotFoundError as error:
        raise DataError(f"{what} needs {program}, not installed here", expected=expected, fix=FIXES[program]) from error
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{what}: {program} took over {SECONDS} s", expected=expected, fix=FIXES[program]) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("npm notice")]
        why = f"{program} exited with {done.returncode}" + (f": {lines[0][:200]}" if lines else "")
        raise DataError(f"{what}: {why}", expected=expected, fix=FIXES[program])
    return done.stdout


def members(tarball: bytes, wanted: tuple[str, ...], what: str) -> list[bytes]:
    """Return files of a package; nothing is extracted to the disk.

    Raises:
        DataError: If it holds anything but files and folders below ``package/``, or lacks a wanted one.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or path.parts[:1] != ("package",) or "\\" in member.name:
                raise DataError(f"{what} holds {member.name!r}", expected="paths below package/", fix="do not use it")
            if not (member.isreg() or member.isdir()) or member.size > MAX_BYTES:
                kind = f"files of at most {MAX_BYTES:,} bytes and folders, not links"
                raise DataError(f"{what} holds {member.name!r}", expected=kind, fix="do not use it")
            file = archive.extractfile(member)
            if file is not None and str(path) in wanted:
                found[str(path)] = file.read()
    if lacking := [name for name in wanted if name not in found]:
        raise DataError(f"{what} lacks {', '.join(lacking)}", expected=", ".join(wanted), fix="do not use it")
    return [found[name] for name in wanted]


def svg_documents(emoji_set: EmojiSet, tarball: bytes) -> list[str]:
    """Return the drawing of every class as a square SVG document, in the order of the classes."""
    what = f"{emoji_set.package} {emoji_set.version}"
    table = json.loads(members(tarball, ("package/icons.json",), what)[0])
    icons = table["icons"]
    if lacking := [label for label in CODEPOINTS if emoji_set.drawing(label) not in icons]:
        raise DataError(f"{what} does not draw {', '.join(lacking)}", expected="every class", fix="do not use it")
    return [square_svg({**table, **icons[emoji_set.drawing(label)]}) for label in CODEPOINTS]


def square_svg(icon: Mapping[str, Any]) -> str:
    """Return a drawing in the middle of a square."""
    width, height = icon.get("width", 16), icon.get("height", 16)
    side = max(width, height)
    left, top = icon.get("left", 0) - (side - width) / 2, icon.get("top", 0) - (side - height) / 2
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} viewBox="{left:g} {top:g} {side:g} {side:g}">{icon["body"]}</svg>'


@cache
def renderer(pack: Pack) -> list[bytes]:
    """Return resvg's module and its WebAssembly, downloaded once."""
    package, version, sha256 = RENDERER
    with tempfile.TemporaryDirectory() as folder:
        tarball = verified(package, version, sha256, pack, Path(folder))
    return members(tarball, ("package/index.js", "package/index_bg.wasm"), f"{package} {version}")


def resvg(documents: list[str], pack: Pack) -> list[bytes]:
    """Render SVG documents to PNGs of `SIDE` pixels under node."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        module, wasm = folder / "renderer.cjs", folder / "renderer.wasm"
        for path, data in zip((module, wasm), renderer(pack), strict=True):
            path.write_bytes(data)
        job = {"module": str(module), "wasm": str(wasm), "width": SIDE, "documents": documents}
        script = Path(__file__).with_name("render_svgs.mjs").resolve()
        printed = call(["node", str(script)], folder, "the renderer", json.dumps(job))
    return [base64.b64decode(image) for image in json.loads(printed)]


def check_drawings(hand: str, drawings: list[bytes]) -> None:
    """Refuse drawings that are not those that the figures in docs/emoji.md are from."""
    found = digest(b"".join(hashlib.sha256(drawing).digest() for drawing in drawings))
    if found != DRAWINGS[hand]:
        raise DataError(
            f"the drawings of {hand} came out with the sha256 {found}",
            expected=DRAWINGS[hand],
            fix="use another release of node; they were recorded with node 20",
        )


if __name__ == "__main__":
    sys.exit(main())
