# Uploads in data/media; static files and uploads served by the web front.
{{ cfg.name }}-site:
  mc_django.settled: []
