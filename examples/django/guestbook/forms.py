"""The page's form."""

from django import forms

from .models import Entry


class EntryForm(forms.ModelForm):
    """What a guest fills in."""

    class Meta:
        model = Entry
        fields = ("name", "place", "message")
