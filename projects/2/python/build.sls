# The virtual environment, from the lock or the requirements of the tree.
{{ cfg.name }}-environment:
  mc_python.environment:
    - name: {{ cfg.project_root }}/{{ cfg.data.python.environment }}
