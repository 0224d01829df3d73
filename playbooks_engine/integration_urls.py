"""REST paths of integrations."""

from django.urls import path

from playbooks_engine import integrations as api

urlpatterns = [
    path("integrations", api.IntegrationsView.as_view()),
    path("integrations/types", api.IntegrationTypesView.as_view()),
    path("integrations/<str:pk>", api.IntegrationView.as_view()),
    path("integrations/<str:pk>/health", api.IntegrationHealthView.as_view()),
    path("integrations/<str:pk>/poll", api.IntegrationPollView.as_view()),
]
