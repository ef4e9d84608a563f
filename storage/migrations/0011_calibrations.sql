-- The calibration that serves with an index; NULL where it has the bundled one. Both move together.
ALTER TABLE indexes ADD COLUMN calibration_id VARCHAR;
