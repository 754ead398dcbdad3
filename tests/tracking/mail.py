"""Mail that was sent, with its links as they stand in it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from console.models import ApiUser
from delivery import templating
from delivery.models import Message, SenderDomain, Template, TemplateVersion
from delivery.services.requests import Request, Wanted, as_json
from suppression import address
from tests.factories.sending import request_mail
from tracking.links import tokens

BODY = (
    "<p>Hello {{name}}</p>"
    '<a href="https://shop.example/new?for={{name}}&amp;x=1">New</a>'
    '<a href="{{page}}">Yours</a>'
    '<a href="https://shop.example/sale">Sale</a>'
    '<a href="{{unsubscribe_url}}">Stop</a>'
)


@dataclass(frozen=True)
class Sent:
    """A message and the paths of its links."""

    message: Message

    @property
    def unsubscribe(self) -> str:
        return f"/u/{tokens().unsubscribe(self.message.pk)}"

    @property
    def open(self) -> str:
        return f"/o/{tokens().open(self.message.pk)}.gif"

    def click(self, index: int) -> str:
        return f"/c/{tokens().click(self.message.pk, index, self.message.version_id)}"


def send(to: str = "ann.smith@example.com", *, type: str = ApiUser.Type.BATCH, **variables: str) -> Sent:
    """Request a mail by one of the console's own API users."""
    domain, _ = SenderDomain.objects.get_or_create(name="mail.finch.example", defaults={"verified_at": timezone.now()})
    found = address.parse(to)
    values = as_json({"name": "Ann", **variables})
    wanted = Wanted(found.canonical, found.key, found.domain, "News", "Morrow & Finch", values)
    request = Request(ApiUser.console(type), domain, _version().pk, f"news@{domain.name}")
    made = request_mail(request, [wanted], now=timezone.now())
    return Sent(Message.objects.get(pk=made.ids[0]))


def _version() -> TemplateVersion:
    template, _ = Template.objects.get_or_create(name="News about shoes")
    made = templating.prepare(BODY, "html")
    version, _ = TemplateVersion.objects.get_or_create(
        template=template, number=1, defaults={"type": "html", "source": BODY, "html": made.html, "text": made.text}
    )
    return version
