"""Incident pages, by number."""

from django.urls import path

from incidents.views import actions, from_alert, pages, suggestions

app_name = "incidents"

urlpatterns = [
    path("", pages.incident_list, name="list"),
    path("go/", pages.go, name="go"),
    path("live/", pages.list_live, name="list-live"),
    path("new/", from_alert.create, name="create"),
    path("link/", from_alert.link, name="link-alerts"),
    path("suggestions/", pages.suggested, name="suggestions"),
    path("suggestions/<slug:suggestion_id>/accept/", suggestions.accept, name="suggestion-accept"),
    path("suggestions/<slug:suggestion_id>/add/", suggestions.add, name="suggestion-add"),
    path("suggestions/<slug:suggestion_id>/exclude/", suggestions.exclude, name="suggestion-exclude"),
    path("suggestions/<slug:suggestion_id>/dismiss/", suggestions.dismiss, name="suggestion-dismiss"),
    path("belongings/", suggestions.belongings_of, name="belongings"),
    path("<int:number>/", pages.detail, name="detail"),
    path("<int:number>/live/", pages.live, name="live"),
    path("<int:number>/assign/", actions.assign, name="assign"),
    path("<int:number>/move/", actions.move, name="move"),
    path("<int:number>/edit/", actions.edit, name="edit"),
    path("<int:number>/close/", actions.close, name="close"),
    path("<int:number>/reopen/", actions.reopen, name="reopen"),
    path("<int:number>/comment/", actions.comment, name="comment"),
    path("<int:number>/handoff/", actions.handoff, name="handoff"),
    path(
        "<int:number>/handoffs/<uuid:handoff_id>/acknowledge/",
        actions.acknowledge,
        name="handoff-acknowledge",
    ),
    path("<int:number>/observables/", actions.observables, name="observables"),
    path("<int:number>/link/", actions.link, name="link"),
    path("<int:number>/unlink/<uuid:alert_id>/", actions.unlink, name="unlink"),
]
