"""Entries say where their guest comes from."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("guestbook", "0001_entry"),)

    operations = (
        migrations.AddField(
            model_name="entry",
            name="place",
            field=models.CharField("where you come from", blank=True, db_default="", max_length=60),
        ),
    )
