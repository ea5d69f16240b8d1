# The database's folders, and what corpus adds to the buildout.
{% for folder in cfg.data.zope.kept %}
{{ cfg.name }}-kept-{{ folder }}:
  mc_project.kept_in_data:
    - name: {{ folder | json }}
{% endfor %}

{{ cfg.name }}-buildout:
  mc_zope.prepared
