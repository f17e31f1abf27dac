"""What a worker keeps in memory of its runs."""

from __future__ import annotations

import gc
from pathlib import Path

from opsrunner import settings
from opsrunner.engine.node import RUNS_KEPT, Node
from opsrunner.engine.submit import submit
from opsrunner.ledger.sealing import create_key
from opsrunner.plan.model import Options
from opsrunner.plan.read import read_playbook
from tests.integration.stack import Redis


def test_a_run_at_work_is_watched_over_however_many_come_after_it(tmp_path: Path) -> None:
    server = Redis(tmp_path / "redis")
    try:
        environment = {
            "CELERY_BROKER_URL": server.url,
            "OPSRUNNER_STATE_DIR": str(tmp_path),
            "OPSRUNNER_KEY_FILE": str(tmp_path / "key"),
        }
        create_key(tmp_path / "key")
        chosen = settings.load(environment, tmp_path)
        node = Node(chosen, chosen.ledger_url, "one", ("default",))
        (tmp_path / "hosts.yml").write_text("all: {hosts: {h1: }}\n")
        (tmp_path / "site.yml").write_text("- {hosts: h1, gather_facts: false, tasks: [{ping: }]}\n")
        compiled = read_playbook(tmp_path / "site.yml", ["hosts.yml"], Options(), {}, base=tmp_path)
        runs = [submit(node.store, compiled.plan, compiled.files, user="me") for _ in range(RUNS_KEPT + 4)]
        at_work = node.context(runs[0], 0)
        for run in runs[1:]:
            node.context(run, 0)
        gc.collect()
        assert {context.run_id for context in node.contexts()} == {runs[0], *runs[-RUNS_KEPT:]}
        assert node.context(runs[0], 0) is at_work, "its commands are reached when it is cancelled"
        node.forget(runs[-1])
        gc.collect()
        assert runs[-1] not in {context.run_id for context in node.contexts()}
        node.end()
    finally:
        server.stop()
