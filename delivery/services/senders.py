"""From which domain an API user may send: asked by whatever requests mail."""

from __future__ import annotations

from django.utils.translation import gettext as _

from console.models import ApiUser
from delivery.models import SenderAddress, SenderDomain, Task


def busy(**sender: SenderAddress | SenderDomain) -> str:
    """Why a task's sender (`sender_address` or `sender_address__domain`) can't be taken away now; "" when it can."""
    task = Task.objects.filter(**sender, ended_at=None).order_by("pk").first()
    return _("Task %(task)s sends from it. Wait for its end, or stop it first.") % {"task": task.pk} if task else ""


def obstacle(domain: SenderDomain, api_user: ApiUser) -> str:
    """Why this API user can't request mail from this domain now, with what to do; '' when it can."""
    if not domain.verified:
        return _("%(domain)s is not verified yet. Publish its DNS records and verify it first.") % {"domain": domain}
    return restriction(domain, api_user)


def restriction(domain: SenderDomain, api_user: ApiUser) -> str:
    """The same for mail that was requested while the domain was verified: it waits until it is so again."""
    if api_user.may_send_from(domain.name):
        return ""
    return _(
        "The API user %(user)s may send from %(only)s alone. Choose an address there, or have an administrator change "
        "the API user."
    ) % {"user": api_user, "only": api_user.only_domain}
