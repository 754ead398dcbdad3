"""Django's admin over the configuration of sending. Keys, versions and what was sent are read only, or not here."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from delivery.models import (
    DkimKey,
    DnsRecord,
    GroupImport,
    RecipientGroup,
    SenderAddress,
    SenderDomain,
    Task,
    Template,
    TemplateVersion,
)


class Watching:
    """To be looked at: what the services keep in step can't be changed behind their back."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RecordsOfDomain(Watching, admin.TabularInline):
    model = DnsRecord
    fields = readonly_fields = ("purpose", "type", "host", "state", "required", "checked_at")


class KeysOfDomain(Watching, admin.TabularInline):
    model = DkimKey
    # Never the private half, encrypted or not.
    fields = readonly_fields = ("selector", "active", "created_at")


@admin.register(SenderDomain)
class SenderDomainAdmin(Watching, admin.ModelAdmin):
    """Domains are added, verified and deleted on their own page, which makes keys and records with them."""

    list_display = ("name", "verified_at", "problem", "level", "checked_at", "next_check_at")
    search_fields = ("name",)
    inlines: ClassVar = [RecordsOfDomain, KeysOfDomain]


@admin.register(SenderAddress)
class SenderAddressAdmin(admin.ModelAdmin):
    list_display = ("address", "sender_name", "domain", "created_at")
    list_select_related = ("domain",)
    list_filter = ("domain",)
    search_fields = ("prefix", "sender_name", "domain__name")
    # The page checks the prefix and the limit of ten; here only the name is edited.
    readonly_fields = ("domain", "prefix")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    # A task may be sending from it: its page looks first.
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class VersionsOfTemplate(Watching, admin.TabularInline):
    model = TemplateVersion
    fields = readonly_fields = ("number", "type", "variables", "made_by", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TemplateVersion]:
        return super().get_queryset(request).defer("source", "html", "text")


@admin.register(Template)
class TemplateAdmin(Watching, admin.ModelAdmin):
    list_display = ("id", "name", "type", "changed_at", "deleted_at")
    list_filter = ("type", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name",)
    inlines: ClassVar = [VersionsOfTemplate]


class ImportsOfGroup(Watching, admin.TabularInline):
    model = GroupImport
    fields = readonly_fields = ("filename", "total", "valid", "repeated", "malformed", "made_by", "made_at")


@admin.register(RecipientGroup)
class RecipientGroupAdmin(admin.ModelAdmin):
    list_display = ("name", "description", "size", "created_at")
    search_fields = ("name",)
    readonly_fields = ("size", "variables", "created_at")
    inlines: ClassVar = [ImportsOfGroup]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    # A task may be walking it: its page looks first.
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Task)
class TaskAdmin(Watching, admin.ModelAdmin):
    list_display = ("id", "subject", "group_name", "template_name", "status", "requested", "created_at")
    list_filter = ("status", "type")
    search_fields = ("subject", "group_name", "label")
