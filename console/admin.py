"""Django's admin for administrators: people and their roles, API users, the account."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from console import roles
from console.models import Account, ApiUser, User


@admin.register(User)
class PersonAdmin(UserAdmin):
    """A role is a group; whoever is in *administrator* may come in here (console/roles.py)."""

    list_display = ("username", "email", "first_name", "last_name", "role", "is_active", "last_login")
    list_filter = ("groups", "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email", "theme")}),
        (_("Role"), {"fields": ("is_active", "groups")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "password1", "password2", "groups")}),)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("role"))
    def role(self, user: User) -> str:
        return roles.role_of(user)


# Roles are set anew at each migration (console/roles.py): nothing to edit.
admin.site.unregister(Group)


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    list_display = ("name", "time_zone", "retry_hours", "track_opens", "track_clicks")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiUser)
class ApiUserAdmin(admin.ModelAdmin):
    list_display = ("name", "type", "enabled", "only_domain", "daily_quota", "created_at")
    list_filter = ("type", "enabled")
    search_fields = ("name",)

    # Mail names the API user that it is of, and waits for it: one that is not wanted any more is disabled.
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # Whether its mail is trigger or batch mail was decided when it was requested.
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("type",) if obj else ()
