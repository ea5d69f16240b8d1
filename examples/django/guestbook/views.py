"""The book, and whether it can be read."""

import logging

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from .forms import EntryForm
from .models import Entry

SHOWN = 50

log = logging.getLogger(__name__)


@require_http_methods(["GET", "HEAD", "POST"])
def book(request: HttpRequest) -> HttpResponse:
    """Show the latest entries; a post adds one."""
    form = EntryForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("book")
    page = {"form": form, "entries": Entry.objects.all()[:SHOWN], "count": Entry.objects.count()}
    return render(request, "guestbook/book.html", page, status=422 if form.is_bound else 200)


@require_safe
def health(_request: HttpRequest) -> HttpResponse:
    """Answer ``ok`` when an entry, with all its columns, can be read."""
    try:
        Entry.objects.first()
    except DatabaseError as error:
        log.warning("the guest book cannot be read: %s", error)
        return HttpResponse("the guest book cannot be read\n", content_type="text/plain", status=503)
    return HttpResponse("ok\n", content_type="text/plain")
