"""How long an end in order may take: one chain, from whoever stops the service down to the mail on the wire.

    systemd, Docker …       more than STOP_SECONDS, then SIGKILL (docs/systemd: TimeoutStopSec)
    `manage.py serve`       STOP_SECONDS in all: it asks its parts to end, and kills what is left
    a part                  PART_SECONDS of them, from the first SIGTERM; the last GONE_SECONDS are for the killed
    an engine (deliver)     ENGINE_SECONDS, from when it sees the stop file: its cluster must still wind up after it
    mail on the wire        what an engine does not need for settling (delivery/engine/run.py): 20 seconds, in which
                            servers may answer a final dot

A shorter STOP_SECONDS shortens all of it, and the wire's share first. What has not ended by then is not lost: its
journal and its claims tell the next one.
"""

from __future__ import annotations

from django.conf import settings

GONE_SECONDS = 2.0
# django-q2 looks for the end of its workers every half second or so, and an engine for the stop file.
CLUSTER_SECONDS = 5.0

PART_SECONDS = max(1.0, settings.STOP_SECONDS - GONE_SECONDS)
ENGINE_SECONDS = max(1.0, PART_SECONDS - CLUSTER_SECONDS)
