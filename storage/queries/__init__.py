"""What is asked of the catalog: a module for each subject, whose functions answer with dataclasses. No SQL stands outside of storage."""
