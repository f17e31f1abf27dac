"""From the sources named with ``-i`` to one inventory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opsrunner.errors import InputError, raise_all
from opsrunner.inventory import addresses, formats, sources, variable_files
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.inventory import LOCAL_NAMES, Inventory
from opsrunner.inventory.model import Layer
from opsrunner.inventory.origins import Origins
from opsrunner.inventory.reading import Reading
from opsrunner.settings import SCRIPT_TIMEOUT


def load(
    given: Sequence[str],
    *,
    base: Path,
    playbook_directory: Path | None = None,
    script_timeout: float = SCRIPT_TIMEOUT,
    origins: Origins | None = None,
) -> Inventory:
    """Read every source into one inventory, later ones adding to and overriding earlier ones.

    A source is a file, a script, a folder of them, or a host list (``host,`` or ``h1,h2``); relative
    paths are against ``base``, where scripts are run, for ``script_timeout`` seconds at most each time.
    With ``playbook_directory`` the variable files there are read as well. ``origins`` is told where
    each variable stands. What Ansible takes with a warning is in the inventory's ``warnings``. Raises
    InputError, or InputErrors with every fault of every file.
    """
    reading = Reading(base.absolute(), script_timeout=script_timeout, origins=origins)
    builder = Builder(origins)
    folders: list[Path] = []
    for text in given:
        try:
            source = sources.resolve(text, reading.base)
            if isinstance(source, sources.HostList):
                _add_host_list(builder, source)
            else:
                folders.append(source if source.is_dir() else source.parent)
                _add_files(builder, source, reading)
        except InputError as error:
            reading.faults.append(error)
    raise_all(reading.faults)
    return _with_variable_files(builder.finish(), folders, reading, playbook_directory)


def _add_files(builder: Builder, source: Path, reading: Reading) -> None:
    for path in sources.files(source, reading):
        try:
            if path != source:
                sources.refuse_special(path, reading)
            formats.add_file(path, builder, reading)
        except InputError as error:
            reading.faults.append(error)


def _add_host_list(builder: Builder, source: sources.HostList) -> None:
    for name in source.names:
        if "[" in name and addresses.parse(name) and "[" in (addresses.parse(name) or ("",))[0]:
            raise InputError(
                f"a range in the host list {source.text!r}",
                why=f"Ansible would take {name} for the name of one host",
                remedy="write the names out, or put the range into an inventory file",
            )
        host, port = addresses.parse(name) or (name, None)
        if host not in builder.hosts:
            builder.add_host(host, "ungrouped", source.text, None, port)


def _with_variable_files(
    inventory: Inventory, folders: Sequence[Path], reading: Reading, playbook_directory: Path | None
) -> Inventory:
    known: dict[Path, Layer] = {}
    hosts = (*inventory.hosts, *LOCAL_NAMES)
    wanted = [*folders, playbook_directory.absolute()] if playbook_directory else list(folders)
    for folder in wanted:
        if folder not in known:
            known[folder] = variable_files.read(folder, inventory.groups, hosts, reading)
    raise_all(reading.faults)
    playbook_layer = known[playbook_directory.absolute()] if playbook_directory else None
    layers = [known[folder] for folder in folders]
    return Inventory(inventory.groups, inventory.hosts, layers, playbook_layer, reading.warnings)
