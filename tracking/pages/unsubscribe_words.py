"""What the account says on the unsubscribe page: its words and logo, and how the page looks with them."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin

from console.forms import UploadField, posted
from console.languages import LANGUAGES
from console.registry import Page, register
from suppression.models import UnsubscribeReason
from tracking.images import Measured, NotAnImage, measure
from tracking.models import UnsubscribePage
from tracking.public_page import drawn, language_of
from tracking.unsubscribe_page import masked

MAX_LOGO_BYTES = 256 * 1024
MAX_LOGO_SIDE = 2000  # pixels
# Template → how the console calls what it shows.
STATES = {
    "unsubscribe": gettext_lazy("Asks"),
    "unsubscribed": gettext_lazy("Done"),
    "resubscribed": gettext_lazy("Taken back"),
}
# Ours alone may show it in a frame, and nothing in it can be sent.
PREVIEW_POLICY = (
    "default-src 'self'; img-src 'self' data:; script-src 'none'; form-action 'none'; frame-ancestors 'self'"
)


class WordsForm(forms.ModelForm):
    logo = UploadField(
        label=gettext_lazy("Logo"),
        required=False,
        accept=".png,.jpg,.jpeg,.gif,.webp",
        max_bytes=MAX_LOGO_BYTES,
        help_text=gettext_lazy("PNG, JPEG, GIF or WebP, at most 2,000 pixels a side. Instead of the sender's name."),
    )
    remove_logo = forms.BooleanField(label=gettext_lazy("Take the logo away"), required=False)

    class Meta:
        model = UnsubscribePage
        fields = ("heading", "before", "after")
        help_texts = {
            "heading": gettext_lazy("Empty: “Stop these emails?” in the language that the browser asks for."),
            "before": gettext_lazy("Under the heading, before the address and the question why."),
            "after": gettext_lazy("Once the address is unsubscribed."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("before", "after"):
            self.fields[name].widget.attrs["rows"] = 3
        if not self.instance.logo_digest:
            del self.fields["remove_logo"]

    def clean_logo(self) -> tuple[bytes, Measured] | None:
        """The file's bytes and what they are; None when no file was chosen."""
        file = self.cleaned_data["logo"]
        if not isinstance(file, UploadedFile):
            return None
        data = file.read()
        try:
            found = measure(data)
        except NotAnImage:
            raise forms.ValidationError(
                _("This is no PNG, JPEG, GIF or WebP picture. Save it as one of these and choose it again.")
            ) from None
        if max(found.width, found.height) > MAX_LOGO_SIDE:
            raise forms.ValidationError(
                _("The picture has %(width)s × %(height)s pixels. Scale it down to at most %(max)s a side."),
                params={"width": found.width, "height": found.height, "max": MAX_LOGO_SIDE},
            )
        return data, found


def words(request: HttpRequest) -> HttpResponse:
    """The page as recipients see it, in each language and state."""
    state = request.GET.get("state", "")
    language = request.GET.get("lang", "")
    context = {
        "words": UnsubscribePage.current(),
        "states": STATES,
        "languages": LANGUAGES,
        "state": state if state in STATES else "unsubscribe",
        "language": language if language in LANGUAGES else "en",
        "crumbs": [(_("Account"), reverse("account"))],
    }
    return render(request, "tracking/words.html", context)


def edit(request: HttpRequest) -> HttpResponse:
    page = UnsubscribePage.current()
    form = WordsForm(instance=page, **posted(request))
    if request.method == "POST" and form.is_valid():
        page.changed_at, page.changed_by_id = timezone.now(), request.user.pk
        changed = ["heading", "before", "after", "changed_at", "changed_by"]
        if form.cleaned_data["logo"] is not None:
            data, found = form.cleaned_data["logo"]
            _set_logo(page, data, found)
            changed += _LOGO
        elif form.cleaned_data.get("remove_logo"):
            _set_logo(page, None, Measured("", 0, 0))
            changed += _LOGO
        # Only these where the row is there: whoever saves words must not bring back a logo that was just replaced.
        UnsubscribePage.objects.get_or_create(pk=page.pk)
        page.save(update_fields=changed)
        messages.success(request, _("The unsubscribe page is saved."))
        return redirect("unsubscribe-page")
    context = {
        "form": form,
        "title": _("Edit the unsubscribe page"),
        "cancel": reverse("unsubscribe-page"),
        "crumbs": [(_("Account"), reverse("account")), (_("Unsubscribe page"), reverse("unsubscribe-page"))],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


_LOGO = ["logo", "logo_type", "logo_width", "logo_height", "logo_digest"]


def _set_logo(page: UnsubscribePage, data: bytes | None, found: Measured) -> None:
    page.logo = data
    page.logo_type, page.logo_width, page.logo_height = found.type, found.width, found.height
    page.logo_digest = hashlib.sha256(data).hexdigest()[:32] if data else ""


@xframe_options_sameorigin
def preview(request: HttpRequest) -> HttpResponse:
    """The public page with an example, to be shown in a frame."""
    state = request.GET.get("state", "")
    example = {
        "sender": request.account.name,  # type: ignore[attr-defined]
        "address": masked("ann@example.com"),
        "reasons": UnsubscribeReason.choices,
        "undo": "#",
        "again": "#",
    }
    response = drawn(request, state if state in STATES else "unsubscribe", example)
    response["Content-Security-Policy"] = PREVIEW_POLICY
    response["Content-Language"] = language_of(request)
    return response


def logo(request: HttpRequest, digest: str) -> HttpResponse:
    """The picture itself, for whoever opens the page. Its URL changes with it."""
    found = UnsubscribePage.objects.filter(pk=1, logo_digest=digest).exclude(logo=None).first()
    if found is None or found.logo is None:
        raise Http404
    response = HttpResponse(bytes(found.logo), content_type=found.logo_type)
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


_SEES: dict[str, Any] = {"permission": "console.view_account", "parent": "account", "methods": ("GET", "HEAD")}

register(
    Page(
        name="unsubscribe-page",
        route="account/unsubscribe-page/",
        view=words,
        title=gettext_lazy("Unsubscribe page"),
        **_SEES,
    ),
    Page(
        name="unsubscribe-page-edit",
        route="account/unsubscribe-page/edit/",
        view=edit,
        title=gettext_lazy("Edit the unsubscribe page"),
        permission="console.change_account",
        parent="account",
    ),
    Page(
        name="unsubscribe-page-preview",
        route="account/unsubscribe-page/preview/",
        view=preview,
        title=gettext_lazy("Preview"),
        **_SEES,
    ),
    Page(
        name="unsubscribe-logo",
        route="logo/<str:digest>",
        view=logo,
        title=gettext_lazy("Logo"),
        public=True,
        methods=("GET", "HEAD"),
    ),
)
