"""API paths of people, tokens and the audit trail."""

from django.urls import path

from opensoar.accounts import api

urlpatterns = [
    path("auth/capabilities", api.CapabilitiesView.as_view(), name="auth-capabilities"),
    path("auth/register", api.RegisterView.as_view(), name="auth-register"),
    path("auth/login", api.LoginView.as_view(), name="auth-login"),
    path("auth/logout", api.LogoutView.as_view(), name="auth-logout"),
    path("auth/me", api.MeView.as_view(), name="auth-me"),
    path("auth/change-password", api.ChangePasswordView.as_view(), name="auth-change-password"),
    path("auth/roles", api.RolesView.as_view(), name="auth-roles"),
    path("auth/analysts", api.AnalystsView.as_view(), name="auth-analysts"),
    path("auth/analysts/mentionable", api.MentionableView.as_view(), name="auth-mentionable"),
    path("auth/analysts/<str:pk>", api.AnalystView.as_view(), name="auth-analyst"),
    path(
        "auth/analysts/<str:pk>/reset-password", api.ResetPasswordView.as_view(), name="auth-reset-password"
    ),
    path("api-keys", api.ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<str:pk>", api.ApiKeyView.as_view(), name="api-key"),
    path("audit", api.AuditView.as_view(), name="audit"),
]
