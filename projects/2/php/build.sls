# What composer.lock names.
{% set command = salt['mc_php.composer'](cfg) %}
{% if command %}
{{ cfg.name }}-composer:
  mc_project.command:
    - name: {{ command | json }}
    - env: {{ salt['mc_php.composer_environment'](cfg) | json }}
{% endif %}
