-- Two answers that a person compared. choice: a | b | tie. Ratings of single answers keep their columns.
ALTER TABLE feedback ADD COLUMN session_id VARCHAR;
ALTER TABLE feedback ADD COLUMN messages JSON;
ALTER TABLE feedback ADD COLUMN answer_a VARCHAR;
ALTER TABLE feedback ADD COLUMN answer_b VARCHAR;
ALTER TABLE feedback ADD COLUMN model_a VARCHAR;
ALTER TABLE feedback ADD COLUMN model_b VARCHAR;
ALTER TABLE feedback ADD COLUMN choice VARCHAR;
