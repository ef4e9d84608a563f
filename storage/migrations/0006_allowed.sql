-- Who may see a document: groups, of which one is enough ("a & b": both are needed); an empty list is everyone. NULL where it is not in the
-- index, and of indexes made before this column was there.
ALTER TABLE documents ADD COLUMN allowed VARCHAR[];
