"""One page."""

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import path
from notes.models import Note


def index(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{Note.objects.count()} notes {static('notes/style.css')}", content_type="text/plain")


def upload(_request: HttpRequest) -> HttpResponse:
    Note.objects.create(text="one more")
    return HttpResponse(default_storage.save("up.txt", ContentFile(b"uploaded")), content_type="text/plain")


urlpatterns = [path("", index), path("upload", upload)]
