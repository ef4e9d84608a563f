"""What is kept: the DuckDB catalog, content-addressed artifacts and the model registry. Knows nothing of training or chat."""

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.catalog import Catalog
from storage.checkpoints import Checkpoint
from storage.home import Home, StorageError

__all__ = ["ArtifactRef", "ArtifactStore", "Catalog", "Checkpoint", "Home", "StorageError"]
