"""The composition root of every URL."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

handler400 = "opensoar.web.errors.bad_request"
handler403 = "opensoar.web.errors.permission_denied"
handler404 = "opensoar.web.errors.not_found"
handler500 = "opensoar.web.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
]
for prefix, module in [  # until all of them have landed
    ("", "opensoar.web.urls"),
    ("", "opensoar.ops_urls"),
    ("api/v1/", "opensoar.api_urls"),
    ("alerts/", "alerts.urls"),
    ("incidents/", "incidents.urls"),
    ("playbooks/", "playbooks_engine.playbook_urls"),
    ("runs/", "playbooks_engine.run_urls"),
]:
    if find_spec(module):
        urlpatterns.append(path(prefix, include(module)))
