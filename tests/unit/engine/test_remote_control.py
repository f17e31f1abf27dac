"""What a worker says of itself to whoever asks."""

from __future__ import annotations

from celery import Celery

from opsrunner.engine.remote_control import without_secrets


def test_no_password_of_a_broker_is_told() -> None:
    url = "sentinel://ops:se%2Fcret@one:26379/0;sentinel://:se%2Fcret@two:26379/0"
    app = Celery("told", broker=url, set_as_current=False)
    app.conf.broker_transport_options = {"master_name": "ours", "sentinel_kwargs": {"password": "se/cret", "retry": 1}}
    told = app.connection_for_read().info()
    shown = without_secrets(told)
    assert "se%2Fcret" in repr(told) and "se/cret" in repr(told)
    assert "se%2Fcret" not in repr(shown) and "se/cret" not in repr(shown)
    assert (shown["port"], shown["hostname"]) == (26379, "one")
    assert shown["alternates"] == ["sentinel://***@one:26379/0", "sentinel://***@two:26379/0"]
    assert shown["transport_options"]["sentinel_kwargs"]["retry"] == 1
