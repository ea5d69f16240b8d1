"""What the book holds."""

from django.db import models


class Entry(models.Model):
    """What one guest wrote."""

    name = models.CharField("your name", max_length=60)
    # Filled in by the database: during a deployment the version before, which does not know it, still writes.
    place = models.CharField("where you come from", max_length=60, blank=True, db_default="")
    message = models.TextField("your message", max_length=1000)
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-written", "-pk")
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.name}, {self.written:%Y-%m-%d}"
