# The commands that make the pages, one after another; then their folder must be there.
{% set build = cfg.data.static.build %}
{% for command in ([build] if build is string else build) %}
{{ cfg.name }}-pages-{{ loop.index }}:
  mc_project.command:
    - name: {{ command | json }}
{% endfor %}
{% if build %}
{{ cfg.name }}-document-root:
  file.exists:
    - name: {{ cfg.project_root }}/{{ cfg.document_root }}
{% endif %}
