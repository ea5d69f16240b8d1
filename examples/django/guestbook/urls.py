"""Addresses of the site."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.book, name="book"),
    path("health", views.health, name="health"),
]
