"""Every process notices within seconds that the machine of the database is gone, not only nodes."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from changeover.store.engine import ANSWERS_WITHIN, Store

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def limits(url: str) -> dict[str, str]:
    """Return what the driver was told, as far as it is not its default."""
    store = Store.open(url, create=True)
    try:
        with store.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            told: dict[str, str] = driver.info.get_parameters()
    finally:
        store.close()
    return {name: told[name] for name in ANSWERS_WITHIN}


def test_every_connection_has_the_limits(postgres_url: str) -> None:
    """By default the system waits a quarter of an hour for an answer on a connection."""
    assert limits(postgres_url) == ANSWERS_WITHIN


def test_the_address_may_say_otherwise(postgres_url: str) -> None:
    """As over a line that is slow for long."""
    url = make_url(postgres_url).update_query_dict({"tcp_user_timeout": "9000"})
    found = limits(url.render_as_string(hide_password=False))
    assert found == {**ANSWERS_WITHIN, "tcp_user_timeout": "9000"}
