"""`suture cloud`: serve the tails of one or more bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suture.console import examples, stderr_console
from suture_protocol.errors import UsageError

if TYPE_CHECKING:
    from suture_models.bundle import Bundle


def register(app: typer.Typer) -> None:
    """Adds `cloud` to the command."""
    app.command(
        "cloud",
        epilog=examples(
            "suture cloud --bundle bundles/pneumonia_mobilenet_v2 --listen 127.0.0.1:7000 --insecure",
            "suture cloud --bundle bundles/resnet50 --bundle bundles/unet --listen 127.0.0.1:7000 --insecure",
        ),
    )(cloud)


def cloud(
    bundle: Annotated[list[Path], typer.Option(help="A bundle to serve; repeat for several.")],
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="torch's threads on the CPU.")] = 1,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS; loopback and 198.18.0.0/15 only.")] = False,
    allow_files: Annotated[
        bool, typer.Option("--allow-files", help="Accept whole files, identifiers and all; for experiments.")
    ] = False,
    memory: Annotated[
        str, typer.Option(help="What requests may hold here together; further ones are refused as busy.")
    ] = "1gb",
    port_file: Annotated[Path | None, typer.Option(help="Write the address in use here once ready.")] = None,
) -> None:
    """Serve the tails of one or more bundles until Ctrl-C or SIGTERM.

    Both sides must hold the same bundle: the digest is compared at each request. The tails' times are measured in the
    background at the first start, for `infer --cut auto`, and kept.
    """
    from suture_models.bundle import open_bundle
    from suture_protocol.address import parse_address, refuse_without_tls
    from suture_protocol.units import parse_size_bytes

    # What can be told to be wrong is told before torch is loaded.
    refuse_without_tls(parse_address(listen), insecure=insecure)
    memory_bytes = parse_size_bytes(memory)
    opened = [open_bundle(path) for path in bundle]
    _serve(
        opened,
        listen,
        device,
        threads=threads,
        insecure=insecure,
        allow_files=allow_files,
        memory_bytes=memory_bytes,
        port_file=port_file,
    )


def _serve(
    opened: list[Bundle],
    listen: str,
    device: str,
    *,
    threads: int,
    insecure: bool,
    allow_files: bool,
    memory_bytes: int,
    port_file: Path | None,
) -> None:
    import asyncio

    from suture_cloud.pauses import settle
    from suture_cloud.profiling import TailProfiles
    from suture_cloud.server import serve
    from suture_cloud.tail import LocalExecutor, choose_device

    chosen = choose_device(device)
    executor = LocalExecutor(opened, chosen, threads=threads)
    profiles = TailProfiles(executor.tails.values(), then=settle)
    console = stderr_console()

    def ready(address: object) -> None:
        settle()
        profiles.start()
        names = ", ".join(f"{b.name} {b.digest[:12]}" for b in opened)
        if port_file is not None:
            _write_whole(port_file, f"{address}\n")
        text = f"serving {names} on {address}, tails on {chosen.type}; Ctrl-C stops"
        console.print(text, markup=False, soft_wrap=True)

    asyncio.run(
        serve(
            opened,
            listen,
            chosen.type,
            insecure,
            executor,
            allow_files=allow_files,
            memory_bytes=memory_bytes,
            profiles=profiles,
            on_ready=ready,
        )
    )


def _write_whole(path: Path, text: str) -> None:
    """Writes a file that a reader finds complete or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"--port-file {path} cannot be written: {error.strerror}") from error
