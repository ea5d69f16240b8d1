# Migrations, when there are any to apply. The version before still answers: a migration must leave it able to.
{% if cfg.data.django.migrate %}
{{ cfg.name }}-migrate:
  mc_django.migrated: []
{% else %}
# Nothing to do: data.django.migrate is off.
{% endif %}
