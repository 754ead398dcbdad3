"""The look's small parts as template tags. Built in: no template needs to load them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms, template
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from console.badges import Badge
from console.charts import Chart

register = template.Library()

DASH = mark_safe('<span class="ph-muted ph-dash">–</span>')


@register.simple_tag
def icon(name: str, label: str = "", tone: str = "") -> SafeString:
    """One icon of the sprite: decoration, unless it has a label of its own."""
    cls = f"i ph-tone ph-t-{tone}" if tone else "i"
    href = f"{static('vendor/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="{}" role="img" aria-label="{}"><use href="{}"/></svg>', cls, label, href)
    return format_html('<svg class="{}" aria-hidden="true"><use href="{}"/></svg>', cls, href)


@register.simple_tag
def badge(value: Badge | None, solid: bool = False) -> SafeString:
    """A status: icon, word and the lighter detail."""
    if value is None:
        return DASH
    detail = format_html(" <small>· {}</small>", value.detail) if value.detail else ""
    title = format_html(' title="{}"', value.title) if value.title else ""
    return format_html(
        '<span class="ph-st ph-t-{}{}"{}>{}<span>{}{}</span></span>',
        value.tone,
        " is-solid" if solid else "",
        title,
        icon(value.icon),
        value.word,
        detail,
    )


def both_zones(moment: dt.datetime) -> str:
    """“2025-11-21 09:41:07.312 JST (00:41:07.312 UTC)”."""
    here, utc = timezone.localtime(moment), moment.astimezone(dt.UTC)
    form = "%Y-%m-%d %H:%M:%S" if here.date() != utc.date() else "%H:%M:%S"
    milli = f"{moment.microsecond // 1000:03d}"
    return f"{here:%Y-%m-%d %H:%M:%S}.{milli} {here:%Z} ({utc:{form}}.{milli} UTC)"


def clock(moment: dt.datetime) -> str:
    """The time of day in the account's zone, with the day when it is another one."""
    here = timezone.localtime(moment)
    return date_format(here, "H:i" if here.date() == timezone.localdate() else "j M H:i")


@register.simple_tag
def when(moment: dt.datetime | dt.date | None, style: str = "seconds") -> SafeString:
    """A time in the account's zone; both zones to the millisecond on hover.

    style: "seconds" 21 Nov 09:41:07, "minutes" 21 Nov 09:41, "day" 21 Nov, "time" 09:41:07, "milli" 09:41:07.312,
    "clock" 09:41 today.
    Other years than this one: 3 Mar 2024.
    """
    if not moment:
        return DASH
    if not isinstance(moment, dt.datetime):
        year = "" if moment.year == timezone.localdate().year else " Y"
        return format_html('<time datetime="{}">{}</time>', moment.isoformat(), date_format(moment, f"j M{year}"))
    here = timezone.localtime(moment)
    if style == "clock":
        return format_html(
            '<time datetime="{}" title="{}">{}</time>', here.isoformat(), both_zones(moment), clock(moment)
        )
    forms_by_style = {"seconds": "j M H:i:s", "minutes": "j M H:i", "day": "j M", "time": "H:i:s", "milli": "H:i:s"}
    form = forms_by_style[style]
    if style not in ("time", "milli") and here.year != timezone.localtime().year:
        form = "j M Y"
    text = date_format(here, form) + (f".{here.microsecond // 1000:03d}" if style == "milli" else "")
    return format_html('<time datetime="{}" title="{}">{}</time>', here.isoformat(), both_zones(moment), text)


@register.filter
def span(value: dt.timedelta | float | None) -> str:
    """A length of time in its two largest units: 2 d 6 h, 11 min, 3.4 s, 12 ms."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else float(value)
    if 0 < seconds < 0.1:
        return _("%s ms") % (round(seconds * 1000) or "< 1")
    if seconds < 60:
        return _("%s s") % number_format(round(seconds, 1) if seconds < 10 and seconds % 1 else round(seconds))
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if minutes < 60:
        return _("%s min") % minutes
    if hours < 24:
        return _("%(h)s h %(m)s min") % {"h": hours, "m": minutes % 60}
    return _("%(d)s d %(h)s h") % {"d": days, "h": hours % 24}


@register.filter
def num(value: float | None, decimals: int = 0) -> SafeString | str:
    """1284 → 1,284; None → –."""
    # Rounded here: number_format cuts off.
    return DASH if value is None else number_format(round(value, decimals), decimals, force_grouping=True)


@register.simple_tag
def percent(part: float, whole: float, decimals: int = 1) -> str:
    """“97.2 %”, “–” of nothing."""
    return f"{number_format(round(100 * part / whole, decimals), decimals)} %" if whole else "–"


def cut(value: Any) -> SafeString:
    """In one line, cut where there is no room, whole on hover."""
    return format_html('<span class="ph-cut" title="{0}">{0}</span>', value)


@register.filter
def address(value: str | None) -> SafeString:
    """An address that loses its local part first when there is no room: the domain stays readable."""
    if not value:
        return DASH
    local, at, domain = str(value).rpartition("@")
    if not at:
        return cut(value)
    return format_html('<span class="ph-addr" title="{}"><span>{}</span><span>@{}</span></span>', value, local, domain)


@register.filter
def breakable(value: str | None) -> SafeString:
    """An address on a page of its own: whole, broken before the @ where it must be."""
    local, at, domain = str(value or "").rpartition("@")
    return format_html("{}<wbr>@{}", local, domain) if at else conditional_escape(domain)


@register.simple_tag
def copy(target: str, label: str) -> SafeString:
    """A button that copies the text of the element with this id. Shown only where scripts run."""
    return format_html(
        '<button class="ph-icon ph-js" type="button" data-copy="{}" aria-label="{}" title="{}">{}</button>',
        target,
        label,
        _("Copy"),
        icon("copy"),
    )


@register.simple_tag
def bar(done: float, whole: float, label: str, tone: str = "") -> SafeString:
    """A progress bar; the tone follows from what is done unless it is given."""
    share = round(100 * done / whole) if whole else 0
    return format_html(
        '<progress class="ph-bar ph-t-{}" value="{}" max="{}" aria-label="{}">{} %</progress>',
        tone or ("ok" if whole and done >= whole else "busy"),
        f"{done:g}" if isinstance(done, float) else str(done),
        f"{whole or 1:g}" if isinstance(whole, float) else str(whole or 1),
        label,
        share,
    )


@register.simple_tag
def field(bound: forms.BoundField, optional: bool = True, rows: int = 0, prefix: str = "", suffix: str = "") -> str:
    """A form's field in the look: label above, control, error beside it, hint under it."""
    from console.forms import dress

    control = dress(bound, rows=rows)
    widget = bound.field.widget
    kind = "plain"
    if isinstance(widget, forms.CheckboxInput):
        kind = "check"
    elif isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        kind = "choices"
    return render_to_string(
        "console/field.html",
        {
            "field": bound,
            "control": control,
            "kind": kind,
            # A few short choices stand side by side, many below each other.
            "segmented": isinstance(widget, forms.RadioSelect)
            and sum(len(str(word)) for _value, word in getattr(bound.field, "choices", ())) < 50,
            "optional": optional and not bound.field.required and kind == "plain",
            "prefix": prefix,
            "suffix": suffix,
        },
    )


@register.inclusion_tag("console/form_errors.html")
def form_errors(*which: forms.BaseForm) -> dict[str, Any]:
    """A form's errors on top of the page, each with a link to its field. Give all forms of the page."""
    items = [
        {"href": f"#{bound.id_for_label or bound.auto_id}", "label": bound.label, "text": text}
        for form in which
        if form.is_bound
        for bound in form
        for text in bound.errors
    ]
    whole = [text for form in which if form.is_bound for text in form.non_field_errors()]
    from console.forms import UNDONE

    undone = getattr(which[0], "undone", UNDONE)
    return {"items": items, "whole": whole, "count": len(items) + len(whole), "undone": undone}


@register.inclusion_tag("console/empty.html")
def empty(
    icon_name: str, title: str, text: str = "", link: str = "", label: str = "", primary: bool = True
) -> dict[str, Any]:
    """An empty state: what this is for, and the next step."""
    return {"icon": icon_name, "title": title, "text": text, "link": link, "label": label, "primary": primary}


@register.simple_block_tag
def note(content: str, tone: str = "bad", symbol: str = "", alert: bool = False) -> SafeString:
    """{% note "warn" %}…{% endnote %}: what is the matter, what it holds up, what to do. At most one a page."""
    symbols = {
        "bad": "alert-circle",
        "warn": "alert-triangle",
        "ok": "check",
        "busy": "info-circle",
        "calm": "info-circle",
    }
    role = mark_safe(' role="alert"') if alert else ""
    return format_html(
        '<div class="ph-note ph-t-{}"{}>{}<div>{}</div></div>', tone, role, icon(symbol or symbols[tone]), content
    )


@register.simple_tag
def control(bound: forms.BoundField) -> SafeString:
    """Only the control, in the look."""
    from console.forms import dress

    return dress(bound)


# Characters of a choice that half a phone's width has room for.
_HALF_A_PHONE = 14


@register.filter
def roomy(bound: forms.BoundField) -> bool:
    """Whether its choices want the whole width of a phone, as the names of other rows may."""
    if isinstance(bound.field, forms.ModelChoiceField):
        return True
    return any(len(str(label)) > _HALF_A_PHONE for _value, label in getattr(bound.field, "choices", ()))


@register.simple_tag
def lookup(mapping: Any, key: Any) -> Any:
    """`mapping[key]`, or nothing."""
    return mapping.get(key) if mapping else None


@register.filter
def lowfirst(value: Any) -> str:
    """A label within a line: “Sender domain” → “sender domain”, but “API user” as it is."""
    text = str(value)
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


@register.filter
def unlocalized(value: Any) -> str:
    """A number without separators: keys and attribute values."""
    return str(value)


@register.simple_tag
def zone_city() -> str:
    """The account's zone as it stands in the top bar: Asia/Tokyo → Tokyo."""
    return timezone.get_current_timezone_name().rpartition("/")[2].replace("_", " ")


@register.simple_tag
def page_link(name: str, *args: Any) -> str:
    """The URL of a page, "" when there is none of that name."""
    from console.views import page_url

    return page_url(name, *args)


@register.inclusion_tag("console/chart.html")
def chart(it: Chart) -> dict[str, Any]:
    """A chart, its legend and its figures as a table. The page includes console/chart_scripts.html in head_extra."""
    return {"chart": it, "spec": it.spec(), "data_id": f"{it.id}-data"}
