"""The composition root of every URL."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

# The admin's own sign-in form would know nothing of the lock-out; everybody comes in by one door.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
# Nor would its password form end the person's other sessions and leave an audit entry.
admin.site.password_change = RedirectView.as_view(  # type: ignore[method-assign, assignment]
    pattern_name="account_change_password"
)

handler400 = "opensoar.web.errors.bad_request"
handler403 = "opensoar.web.errors.permission_denied"
handler404 = "opensoar.web.errors.not_found"
handler500 = "opensoar.web.errors.server_error"

urlpatterns = [
    path("", include("opensoar.web.urls")),
    path("", include("opensoar.ops_urls")),
    path("accounts/", include("opensoar.accounts.urls")),
    path("admin/", admin.site.urls),
    path("alerts/", include("alerts.urls")),
    path("rules/", include("alerts.rule_urls")),
    path("suppressions/", include("alerts.suppression_urls")),
    path("deliveries/", include("alerts.delivery_urls")),
    path("incidents/", include("incidents.urls")),
    path("playbooks/", include("playbooks_engine.playbook_urls")),
    path("runs/", include("playbooks_engine.run_urls")),
    path("api/v1/", include("opensoar.api_urls")),
]
