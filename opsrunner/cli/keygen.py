"""``opsrunner keygen``."""

from __future__ import annotations

from pathlib import Path

import click

from opsrunner.cli import context
from opsrunner.errors import InputError


@click.command("keygen", epilog="Examples: opsrunner keygen · opsrunner keygen --file /etc/opsrunner/key")
@click.option(
    "--file", "file", type=click.Path(path_type=Path), metavar="FILE", help="Instead of the key_file setting."
)
def command(file: Path | None) -> None:
    """Make the key that seals plans and secrets in Redis; the same file belongs on every node.

    An existing key is never replaced: what is sealed with it could not be opened any more.
    """
    from opsrunner.ledger.sealing import create_key

    path = file or Path(context.settings().key_file)
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}", why="it is a folder", remedy=f"name a file, as in {path / 'key'}")
        made = create_key(path)
    except OSError as error:
        raise InputError(f"cannot write {path}", why=error.strerror) from None
    if not made:
        raise InputError(f"{path} is there already", remedy="use it, or move it away first")
    click.echo(str(path))
    click.echo("copy it, mode 0600, to every worker and to whoever submits runs", err=True)
