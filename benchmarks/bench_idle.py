"""What idle connections cost a worker: CPU while nothing happens, and memory for each.

    .venv/bin/python benchmarks/bench_idle.py [--hosts 1000] [--seconds 30]

Every host is an address of one sshd; its memory and CPU are not counted.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from opsrunner.remote import Command  # noqa: E402
from opsrunner.ssh.pool import Pool  # noqa: E402
from opsrunner.ssh.target import Target  # noqa: E402
from tests.fleet import Fleet  # noqa: E402


def memory() -> float:
    """Kilobytes resident."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    pool = Pool()
    with tempfile.TemporaryDirectory(prefix="obi") as folder:
        fleet = Fleet.start(Path(folder))
        key, known = str(fleet.key), (str(fleet.known_hosts),)
        addresses = fleet.addresses(chosen.hosts)

        def use(address: str) -> None:
            target = Target(address, address, fleet.port, private_key_file=key, known_hosts_files=known, timeout=120.0)
            pool.remote(target).exec(Command("true"))

        try:
            with ThreadPoolExecutor(50) as executor:
                use(addresses[0])
                before = memory()
                began = time.process_time()
                list(executor.map(use, addresses))
            connecting = (time.process_time() - began) / len(addresses)
            grown = (memory() - before) / len(addresses)
            time.sleep(1.0)
            began = time.process_time()
            time.sleep(chosen.seconds)
            busy = (time.process_time() - began) / chosen.seconds
            print(f"{pool.count().open} connections, {threading.active_count()} threads")
            print(f"{connecting * 1000:.2f} ms of CPU for a connection and its first command")
            print(f"idle: {busy * 100:.3f} % of a core, {grown:.0f} KB for each")
        finally:
            pool.close()
            fleet.stop()


if __name__ == "__main__":
    main()
