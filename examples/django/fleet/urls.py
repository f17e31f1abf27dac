"""Where the views are."""

from django.urls import path

from fleet import views

urlpatterns = [path("", views.index), path("runs/", views.start), path("runs/<uuid:task>/", views.poll, name="run")]
