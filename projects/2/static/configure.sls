# A folder that nothing builds must be there before anything else happens.
{% if not cfg.data.static.build %}
{{ cfg.name }}-document-root:
  file.exists:
    - name: {{ cfg.project_root }}/{{ cfg.document_root }}
{% endif %}
