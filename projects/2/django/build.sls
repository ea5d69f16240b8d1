# The virtual environment, and the static files.
{{ cfg.name }}-environment:
  mc_python.environment:
    - name: {{ cfg.project_root }}/{{ cfg.data.python.environment }}

{{ cfg.name }}-static:
  mc_django.collected:
    - require:
      - mc_python: {{ cfg.name }}-environment
