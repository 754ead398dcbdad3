"""All URLs: the kit's own, Django's admin, and one for each registered page."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import path, reverse_lazy
from django.views.decorators.http import require_GET, require_POST

from console import registry, views

admin.site.site_header = admin.site.site_title = "Posthorn"
admin.site.index_title = "Administration"

_pages = registry.pages()
_home = [] if "home" in _pages else [path("", require_GET(views.home), name="home")]

urlpatterns = [
    *_home,
    path("healthz", login_not_required(require_GET(views.healthz)), name="healthz"),
    path("sign-in/", views.SignIn.as_view(), name="login"),
    path("sign-out/", auth.LogoutView.as_view(), name="logout"),
    path(
        "password/",
        views.ChangePassword.as_view(success_url=reverse_lazy("password_change_done")),
        name="password_change",
    ),
    path("password/changed/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("theme/", require_POST(views.theme), name="theme"),
    path("search/", require_GET(views.search), name="search"),
    path("admin/", admin.site.urls),
    *registry.urls(),
]

handler500 = "console.views.server_error"
