# The folder that is served must be there before anything else happens.
{{ cfg.name }}-document-root:
  file.exists:
    - name: {{ cfg.project_root }}/{{ cfg.document_root }}
