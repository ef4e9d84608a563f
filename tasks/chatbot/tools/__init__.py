"""Function calling: tools are plain typed Python functions; what a model may call, with which arguments, is taken from their signatures."""
