"""The stages of the pipeline, one module each: read files, call pure functions, write files."""
