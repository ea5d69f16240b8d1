# Packages from the lock, and the build script of package.json.
{{ cfg.name }}-packages:
  mc_nodejs.built:
    - name: {{ cfg.project_root }}/node_modules
