"""The shell: the server, the start page, the opening of models, what stands around every app."""
