-- A decision that waits for a person (`decision` = 'pending'): what the gate alone would say, the index of its evaluation, and until when it can be approved.
ALTER TABLE promotions ADD COLUMN would VARCHAR;
ALTER TABLE promotions ADD COLUMN index_id VARCHAR;
ALTER TABLE promotions ADD COLUMN expires TIMESTAMP;
-- Who did what, when and why. Rows are added, never changed or removed. `via` is where it was done: run, command, page, server or clock.
CREATE TABLE audit (
    audit_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, who VARCHAR NOT NULL, via VARCHAR NOT NULL, action VARCHAR NOT NULL, subject VARCHAR NOT NULL,
    why VARCHAR NOT NULL, detail JSON NOT NULL
);
