"""The knowledge index: documents to chunks, dense and sparse search over them, combined by language."""
