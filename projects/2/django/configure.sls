# A secret key of the site's own, when its settings read one and nobody set it.
{{ cfg.name }}-secret-key:
  mc_django.secret_key: []
