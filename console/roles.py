"""Who may do what: three roles, kept as groups whose permissions are set anew at each migration.

A permission is taken when one of the role's patterns matches its "app.codename". Put a new table's permissions here,
not into a group by hand: the next migration would take them away again.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _

VIEWER, OPERATOR, ADMINISTRATOR = "viewer", "operator", "administrator"
NAMES = {VIEWER: _("Viewer"), OPERATOR: _("Operator"), ADMINISTRATOR: _("Administrator")}

OUR_APPS = ("console", "suppression", "delivery", "tracking", "exports")
_SEES = (
    *(f"{app}.view_*" for app in OUR_APPS),
    # What may be seen may be taken away as a file: each list asks for its own permission as well.
    "exports.add_export",
    "!console.view_user",
    "!console.view_node",
    "!console.view_heartbeat",
)
# Sends mail and edits lists.
_SENDS = (
    "delivery.send",
    "delivery.*_task",
    "delivery.*_template",
    "delivery.*_recipientgroup",
    "delivery.*_recipient",
    "delivery.*_groupimport",
    "delivery.change_queue",
    "suppression.*",
    "tracking.change_feedbackmail",
    "tracking.delete_feedbackmail",
    "exports.*",
)
# Configuration, users, API users: everything.
_ALL = tuple(f"{app}.*" for app in OUR_APPS)

ROLES: dict[str, tuple[str, ...]] = {
    VIEWER: _SEES,
    OPERATOR: (*_SEES, *_SENDS),
    ADMINISTRATOR: _ALL,
}


def includes(role: str, permission: str) -> bool:
    """Whether the role has this "app.codename". A pattern with ! before it takes away."""
    patterns = ROLES[role]
    taken = any(fnmatchcase(permission, pattern) for pattern in patterns if not pattern.startswith("!"))
    return taken and not any(fnmatchcase(permission, pattern[1:]) for pattern in patterns if pattern.startswith("!"))


def give(user: Any, role: str) -> None:
    """Make this the person's only role."""
    from django.contrib.auth.models import Group

    user.groups.set([Group.objects.get_or_create(name=role)[0]])


def role_of(user: Any) -> str:
    """The role to be shown beside a name, "" for none."""
    if not user.is_authenticated:
        return ""
    if user.is_superuser:
        return str(NAMES[ADMINISTRATOR])
    held = {group.name for group in user.groups.all()}
    return next((str(NAMES[role]) for role in (ADMINISTRATOR, OPERATOR, VIEWER) if role in held), "")


def sync(app_config: AppConfig, using: str, **kwargs: Any) -> None:
    """After the migration of the last of our apps: make the groups and set their permissions."""
    ours = [config.label for config in apps.get_app_configs() if config.label in OUR_APPS]
    if app_config.label != ours[-1]:
        return
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission
    from django.db import connections

    existing = connections[using].introspection.table_names()
    if Group._meta.db_table not in existing or Permission._meta.db_table not in existing:
        return
    # Django makes them at the same signal, perhaps after us.
    for config in apps.get_app_configs():
        if config.label in OUR_APPS:
            create_permissions(config, using=using, verbosity=0)
    found = Permission.objects.using(using).filter(content_type__app_label__in=OUR_APPS).select_related("content_type")
    names = {f"{permission.content_type.app_label}.{permission.codename}": permission for permission in found}
    for role in ROLES:
        group, _made = Group.objects.using(using).get_or_create(name=role)
        group.permissions.set([permission for name, permission in names.items() if includes(role, name)])


def follow_groups(sender: Any, instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **kw: Any) -> None:
    """Whoever is made an administrator may enter Django's admin, and who no longer is may not."""
    from django.contrib.auth import get_user_model

    if not action.startswith("post_"):
        return
    people = [instance] if not reverse else get_user_model().objects.filter(pk__in=pk_set or ())
    for person in people:
        staff = person.is_superuser or person.groups.filter(name=ADMINISTRATOR).exists()
        if person.is_staff != staff:
            person.is_staff = staff
            person.save(update_fields=["is_staff"])
