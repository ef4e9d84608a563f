-- How sure the retrieval was that its sources answer the question, 0 to 1; NULL where nothing was looked up.
ALTER TABLE messages ADD COLUMN confidence DOUBLE;
