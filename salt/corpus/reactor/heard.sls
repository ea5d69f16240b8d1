{# Lets the controller act on an event; it is told what happened and to whom, and asks for the rest itself. #}
corpus-heard:
  runner.mc_controller.heard:
    - args:
        - tag: {{ tag | tojson }}
        - minion: {{ data.id | default('') | string | tojson }}
