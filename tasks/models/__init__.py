"""Model references, one loader, adapters, and the split of a model into a trunk and a top."""
