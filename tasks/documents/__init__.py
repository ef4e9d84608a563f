"""Files to text: a reader for each format, the process that they run in, and labels that say who may see what."""
