# Nothing to do in this stage.
