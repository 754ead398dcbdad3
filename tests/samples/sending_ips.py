"""Sending IPs: one that is to be mended, and refused by a provider."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from delivery.models import IpCheck, LimitGroup, QueuePause
from delivery.services.preflight import Finding, sending_ips
from tests.samples import url_of


@url_of("sending-ips", "sending-ips-check")
def checked() -> dict[str, Any]:
    now, ip = timezone.now(), sending_ips()[0]
    findings = [
        Finding("ehlo", "warn", "ehlo_elsewhere", {"name": "out.example.com", "there": "192.0.2.9", "ip": ip}),
        Finding("reverse", "ok", "reverse_ok", {"host": "out.example.com", "ip": ip}),
        Finding("port25", "bad", "port_closed", {"host": "mx.example.org", "port": "25", "said": "timed out"}),
    ]
    IpCheck.objects.update_or_create(ip=ip, defaults={"checked_at": now, "findings": [asdict(one) for one in findings]})
    group, _made = LimitGroup.objects.get_or_create(name="provider:google")
    QueuePause.objects.update_or_create(
        limit_group=group,
        sending_ip=ip,
        defaults={
            "pace_at": now,
            "since": now,
            "paused_until": now + dt.timedelta(hours=1),
            "reason": QueuePause.Reason.REPUTATION,
            "said": "550-5.7.1 Our system has detected an unusual rate of unsolicited mail from your IP",
        },
    )
    return {}
