"""The pages: rendered here, readable without JavaScript, fed by the same functions that the API answers with."""
