"""``sdlora serve``: a model behind HTTP, with a page for people."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.failure import INTERNAL
from sdlora.cli.options import Device, with_console
from sdlora.errors import ConfigError

if TYPE_CHECKING:
    from sdlora.server.running import Runner
    from sdlora.server.service import Service

EXAMPLES = ("sdlora serve my_model", "sdlora serve my_model --port 8001 --teach off")

MIN_TOKEN = 16  # characters

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder written by: sdlora learn.", show_default=False)]
Host = Annotated[str, typer.Option(help="Address to listen at.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any free one.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Whoever teaches must know its content.", show_default=False)
]
AllowHost = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="A name by which it may be called.", show_default=False)
]
Retest = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER", help="Test images of earlier classes; each lesson measures them.", show_default=False
    ),
]
New = Annotated[bool, typer.Option("--new", help="Begin a model with the first lesson.")]
MaxBatch = Annotated[int, typer.Option(help="Pictures in a forward pass.")]
MaxWait = Annotated[float, typer.Option("--max-wait-ms", help="How long an idle model waits for more pictures.")]
Queue = Annotated[int, typer.Option(help="Pictures that may wait; more are refused.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which a waiting picture is given up.")]


class Teach(StrEnum):
    """Whether the model can be taught over HTTP: ``auto`` is on for this machine only, or with a token."""

    auto = "auto"
    on = "on"
    off = "off"


@with_console
def serve(  # noqa: PLR0913 - the options of one command
    console: Console,
    model: Model,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    teach: Annotated[Teach, typer.Option(help="Teaching over HTTP; auto: for this machine only.")] = Teach.auto,
    token_file: TokenFile = None,
    allow_host: AllowHost = None,
    retest: Retest = None,
    new: New = False,
    max_batch: MaxBatch = 32,
    max_wait_ms: MaxWait = 5.0,
    queue: Queue = 256,
    timeout: Timeout = 30.0,
    device: Device = None,
) -> int:
    """Serve a model to programs, and to people who classify and teach.

    Predictions go on while a lesson is taught, and a lesson taught by another process is taken over by itself.
    """
    _require_extra()
    from sdlora.server.guard import Guard, is_loopback
    from sdlora.server.limits import Limits
    from sdlora.server.running import Runner, listen
    from sdlora.server.served import load_bundle
    from sdlora.server.service import Service

    limits = Limits(max_batch=max_batch, max_wait_ms=max_wait_ms, queue=queue, timeout=timeout)
    token = _read_token(token_file) if token_file else None
    can_teach = teach is Teach.on or (teach is Teach.auto and (is_loopback(host) or token is not None))
    guard = Guard(host=host, names=tuple(allow_host or ()), can_teach=can_teach, token=token)
    if missing := [str(folder) for folder in retest or () if not folder.is_dir()]:
        raise ConfigError(f"--retest {missing[0]} is no folder", expected="FOLDER/<class>/*.jpg")
    with listen(host, port) as listener:
        service = Service(
            model,
            lambda path: load_bundle(path, device=device or "auto", may_be_new=new),
            guard=guard,
            limits=limits,
            retest=[str(folder) for folder in retest or ()],
            device=device or "auto",
        )
        runner = Runner(service, listener, _log_to(console))
        runner.serve_until_stopped(lambda: _say_ready(console, service, runner))
    if runner.is_broken:
        console.error("the model thread died; the log above says why")
        return INTERNAL
    console.note("Stopped.")
    return 0


def _require_extra() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"serve needs {error.name}", fix='pip install "sdlora[serve]"') from error


def _read_token(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {path} cannot be read", expected="a file with one line") from error
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"the token in {path} has {len(token)} characters",
            expected=f"one word of {MIN_TOKEN} ASCII characters or more",
            fix=f"python -c 'import secrets; print(secrets.token_urlsafe())' > {path}",
        )
    return token


def _log_to(console: Console) -> Callable[[str, str, int, float], None]:
    def log(method: str, path: str, status: int, seconds: float) -> None:
        if not console.is_quiet:
            sys.stderr.write(f"{method} {path} {status} {1000 * seconds:.0f} ms\n")

    return log


def _say_ready(console: Console, service: Service, runner: Runner) -> None:
    address, port = runner.listener.getsockname()[:2]
    name = f"[{address}]" if ":" in address else address
    url = f"http://{name}:{port}"
    model, limits = service.served.model, service.limits
    console.document(
        {
            "url": url,
            "model_version": model.version,
            "num_seen": len(model.classes),
            "limits": limits.to_dict(),
            "can_teach": service.guard.can_teach,
        }
    )
    device = (
        f" on {model.facts['device']}, warmed up in {service.served.warm_up_seconds:.1f} s" if model.classes else ""
    )
    console.result(f"{service.path} ({len(model.classes)} classes, version {model.version}){device}")
    for title, text in _facts(service, url):
        console.result(f"  {title:<8} {text}")
    console.result("Ctrl-C stops after the requests in hand (at most 8 s).")


def _facts(service: Service, url: str) -> list[tuple[str, str]]:
    from sdlora.datasets.images import MAX_PIXELS
    from sdlora.server.guard import is_loopback
    from sdlora.server.problems import megabytes

    guard, limits = service.guard, service.limits
    who = "with the token" if guard.token else "for this machine only" if is_loopback(guard.host) else ""
    return [
        ("page", f"{url}      classify · teach · history"),
        ("API", "POST /v1/predict           /docs  /v1/model  /health/live  /health/ready  /metrics"),
        (
            "limits",
            f"{megabytes(limits.image_bytes)} and {MAX_PIXELS // 10**6} megapixels an image, "
            f"{limits.images} images a request, {limits.queue} waiting, {limits.timeout:g} s",
        ),
        (
            "batches",
            f"up to {limits.max_batch}, at most {limits.max_wait_ms:g} ms wait     "
            f"teaching: {f'on, {who}' if guard.can_teach else 'off'}",
        ),
    ]
