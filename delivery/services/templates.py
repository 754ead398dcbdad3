"""Email templates: saved as versions that never change, put away when deleted, and sent as a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.languages import DEFAULT_LANGUAGE
from console.models import ApiUser
from delivery import templating
from delivery.models import SenderAddress, Task, Template, TemplateVersion
from delivery.services import senders, texts
from delivery.services.refused import Refused
from delivery.services.requests import Made, Request, Wanted, as_json, make_messages
from suppression.address import parse

EMPTY_BODY = gettext_lazy("The body is empty. Type it, or upload a file.")


class TemplateRefused(Refused):
    """Nothing was changed; the text says what to do. `field` is the form's field that it belongs to."""


def problems(source: str, type: str, summary: str = "") -> list[templating.Problem]:
    """All that is wrong with a body, in order of place; warnings are among them."""
    found = templating.check(plain_lines(source), _kind(type))
    if any(not problem.warning for problem in found):
        return found
    try:
        _prepare(source, type, summary)
    except templating.TemplateError as error:
        found += [problem for problem in error.problems if problem not in found]
    return found


def _kind(type: str) -> templating.Kind:
    return "html" if type == Template.Type.HTML else "text"


def plain_lines(source: str) -> str:
    """Lines ending in LF: browsers send CRLF, and the same body shall be the same version."""
    return source.replace("\r\n", "\n").replace("\r", "\n")


def _prepare(source: str, type: str, summary: str) -> templating.Prepared:
    prepared = templating.prepare(plain_lines(source), _kind(type), summary)
    # Finds variables in places where none can be filled.
    templating.compile(prepared.html, prepared.text, batch=True)
    return prepared


def save_template(
    *,
    name: str,
    type: str,
    summary: str,
    source: str,
    language: str = DEFAULT_LANGUAGE,
    by: str = "",
    template: Template | None = None,
) -> Template:
    """Make a template, or change `template`. A body, type, summary or language that differs makes a new version.

    `language`: one of console.languages.LANGUAGES.

    Raises templating.TemplateError with every problem of the body, and TemplateRefused; then nothing was changed.
    """
    name, summary, source = name.strip(), summary.strip(), plain_lines(source)
    if not name:
        raise TemplateRefused(_("Enter a name."), "name")
    if not source.strip():
        raise TemplateRefused(str(EMPTY_BODY), "source")
    prepared = _prepare(source, type, summary)
    try:
        with transaction.atomic():
            if template is None:
                template = Template.objects.create(name=name, type=type, summary=summary, language=language)
            else:
                template = Template.objects.select_for_update(of=("self",)).get(pk=template.pk, deleted_at=None)
            template.name, template.type, template.summary, template.language = name, type, summary, language
            said, now = template.current, (source, type, summary, language)
            if said is None or (said.source, said.type, said.summary, said.language) != now:
                template.current = _new_version(template, prepared, source, by)
            template.save()
    except IntegrityError:
        raise TemplateRefused(_("Another template has this name. Choose another one."), "name") from None
    return template


def _new_version(template: Template, prepared: templating.Prepared, source: str, by: str) -> TemplateVersion:
    last = template.versions.aggregate(last=Max("number"))["last"] or 0
    return TemplateVersion.objects.create(
        template=template,
        number=last + 1,
        type=template.type,
        summary=template.summary,
        language=template.language,
        source=source,
        html=prepared.html or "",
        text=prepared.text,
        variables=list(prepared.variables),
        made_by=by,
    )


def in_use(template: Template) -> str:
    """Why the template can't be deleted now, "" when it can."""
    task = Task.objects.filter(template=template, ended_at=None).order_by("pk").first()
    if task is None:
        return ""
    return _("Task %(task)s sends it. Wait for its end, or stop it first.") % {"task": task.pk}


def delete_template(template: Template, *, now: dt.datetime) -> None:
    """Put a template away and free its name; its versions stay, for the mail that was sent with them.

    Raises TemplateRefused while a task sends it.
    """
    with transaction.atomic():
        template = Template.objects.select_for_update(of=("self",)).get(pk=template.pk)
        if why := in_use(template):
            raise TemplateRefused(why)
        ending = f" (deleted {template.pk})"
        template.name = template.name[: 100 - len(ending)] + ending
        template.deleted_at = now
        template.save()


def filled(version: TemplateVersion, values: Mapping[str, str]) -> tuple[str, str]:
    """(HTML, text) as a recipient with these values gets them, with the footer of batch mail; for previews."""
    compiled = version.compiled(batch=True)
    return compiled.render_html(values), compiled.render_text(values).replace("\r\n", "\n")


def sample_values(names: list[str]) -> dict[str, str]:
    """Something to show for each variable until real values are given."""
    return {name: name.replace("_", " ").strip().capitalize() or name for name in names}


def send_test(
    template: Template,
    *,
    sender_address: SenderAddress,
    subject: str,
    recipient: str,
    values: Mapping[str, str],
    now: dt.datetime,
    request_ip: str | None = None,
    type: ApiUser.Type = ApiUser.Type.TRIGGER,
    label: str = "test",
) -> Made:
    """Send the current version to one address by the console's API user of this type, whatever number of variables it
    has.

    Raises TemplateRefused; MalformedAddress is the caller's to see to.
    """
    version = template.usable
    if version is None:
        raise TemplateRefused(str(texts.NO_BODY))
    api_user = ApiUser.console(type)
    if why := senders.obstacle(sender_address.domain, api_user):
        raise TemplateRefused(why, "sender_address")
    try:
        subject, given = texts.subject(subject), texts.values(values)
    except texts.Unfit as unfit:
        raise TemplateRefused(str(unfit), "subject") from None
    address = parse(recipient)
    request = Request(
        api_user=api_user,
        sender_domain=sender_address.domain,
        version_id=version.pk,
        sender=sender_address.address,
        label=label,
        request_ip=request_ip,
    )
    wanted = Wanted(
        address.canonical,
        address.key,
        address.domain,
        templating.fill_line(subject, given),
        templating.fill_line(sender_address.sender_name, given),
        as_json(given),
    )
    with transaction.atomic():
        return make_messages(request, [wanted], now=now)
