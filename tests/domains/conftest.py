from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from delivery.models import SenderDomain
from delivery.services import domains
from delivery.simulator.server import Simulator, running_simulator
from tests.domains.dns import NOW


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture
def outside(world: Simulator, settings: Any) -> Simulator:
    """The simulator as this installation's DNS, with nothing published."""
    settings.DNS_SERVERS = [f"127.0.0.1:{world.dns_port}"]
    settings.DNS_TIMEOUT = 1.0
    settings.SIMULATOR_DIR = Path(world.directory)
    settings.MAIL_HOST = "mail.posthorn.example"
    settings.SENDING_IPS = ["192.0.2.5", "2001:db8::5"]
    settings.PUBLIC_URL = "https://posthorn.example"
    for record in world.published.records():
        world.published.withdraw(record.name)
    return world


@pytest.fixture
def domain(db: None, outside: Simulator) -> SenderDomain:
    return domains.add_domain("news.morrowfinch.example")


@pytest.fixture
def verified(domain: SenderDomain) -> SenderDomain:
    domains.publish_in_simulator(domain)
    assert domains.verify(domain, NOW).became == "verified"
    return domain
