"""A new installation's way to its first task, on the overview."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from delivery.attention import Look
from delivery.services import overview as service


@dataclass(frozen=True, slots=True)
class Step:
    """One of the steps to the first task. `here`: the next one to take."""

    title: str
    text: str
    done: bool
    link: str
    label: str
    here: bool = False


def steps_of(look: Look, steps: service.Steps) -> list[Step]:
    """Domain → verified → address → template → group → task; the first that is not done is the next."""
    link = look.link
    wanted = [
        (
            steps.domain,
            _("Create a sender domain"),
            _("A domain or subdomain of yours that the mail comes from."),
            link("domain-new") or link("domains"),
            _("Create sender domain"),
        ),
        (
            steps.verified,
            _("Verify it"),
            _("Publish the DNS records that its page shows; DNS is asked again every 10 minutes."),
            link("domain", steps.pending) if steps.pending else link("domains"),
            _("DNS records") if steps.pending else _("Sender domains"),
        ),
        (
            steps.address,
            _("Create a sender address"),
            _("The part before the @, and the name that recipients read."),
            link("address-new") or link("addresses"),
            _("Create sender address"),
        ),
        (
            steps.template,
            _("Create an email template"),
            _("Typed or uploaded, HTML or plain text, with variables."),
            link("template-new") or link("templates"),
            _("Create email template"),
        ),
        (
            steps.group,
            _("Import a recipient group"),
            _("A CSV file or workbook: the first column is the address, the others are variables."),
            (link("group-import", steps.nobody_in) if steps.nobody_in else link("group-new")) or link("groups"),
            _("Import recipients") if steps.nobody_in else _("Create recipient group"),
        ),
        (
            steps.task,
            _("Send the first task"),
            _("One template to one group, and then every recipient's fate on screen."),
            link("task-new"),
            _("Create sending task"),
        ),
    ]
    following = next((number for number, step in enumerate(wanted) if not step[0]), len(wanted))
    return [
        Step(title, text, done, url, label, here=number == following)
        for number, (done, title, text, url, label) in enumerate(wanted)
    ]
