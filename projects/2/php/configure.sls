# What the application requires, the folders that it writes, and its web process.
{% do cfg.update(salt['mc_php.prepared'](cfg)) %}
{% set php = cfg.data.php %}

{{ cfg.name }}-php:
  mc_php.ready

{% for folder in php.kept %}
{{ cfg.name }}-kept-{{ folder }}:
  mc_project.kept_in_data:
    - name: {{ folder | json }}
    - but: [{% for inner in php.of_release if inner.startswith(folder ~ '/') %}{{ inner[(folder | length) + 1:] | json }}, {% endfor %}]
{% endfor %}

{{ cfg.name }}-web-process:
  mc_php.web_process
