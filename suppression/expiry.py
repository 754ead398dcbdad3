"""How long an entry lasts, as PRODUCT's lists have it. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Final

COMPLAINT_DAYS: Final = 180
_TENCENT_DAYS_MAX: Final = 30
_OTHERS_DAYS: Final = (30, 60, 180)
# From the hard bounce of this number on, the days no longer grow, for any mailbox.
STEADY_FROM: Final = 6


def bounce_days(n: int, tencent: bool) -> int:
    """Days on the bounce list after the n-th hard bounce of an address, n ≥ 1; `tencent`: the mailbox is Tencent's."""
    if n < 1:
        raise ValueError("hard bounces are counted from 1")
    if tencent:
        return min(int(2 ** min(n - 1, STEADY_FROM)), _TENCENT_DAYS_MAX)
    return _OTHERS_DAYS[min(n, len(_OTHERS_DAYS)) - 1]


def complaint_expires_at(latest: dt.datetime) -> dt.datetime:
    """When the entry ends whose latest report came at `latest`."""
    return latest + dt.timedelta(days=COMPLAINT_DAYS)
