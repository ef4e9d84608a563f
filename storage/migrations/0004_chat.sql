-- Chats of the terminal, the page and HTTP: who may see what, how each answer ended, and every decision of the safety filters.
ALTER TABLE conversations ADD COLUMN owner VARCHAR; -- a hash of the token it was held under; '' on loopback
ALTER TABLE conversations ADD COLUMN title VARCHAR;
ALTER TABLE messages ADD COLUMN turn_id VARCHAR; -- shared by a question and its answer
ALTER TABLE messages ADD COLUMN lang VARCHAR;
ALTER TABLE messages ADD COLUMN reason VARCHAR; -- how the answer ended: stop length timeout stopped refused unanswered
ALTER TABLE messages ADD COLUMN refused VARCHAR; -- code of the safety filter that spoke
ALTER TABLE messages ADD COLUMN quoted BOOLEAN; -- the source's own sentence, not the model's words
ALTER TABLE messages ADD COLUMN sentences JSON; -- of the answer, each with the sources that support it
ALTER TABLE messages ADD COLUMN calls JSON; -- tools that were called, with arguments and what they gave
ALTER TABLE messages ADD COLUMN tokens BIGINT;
ALTER TABLE messages ADD COLUMN seconds DOUBLE;
ALTER TABLE feedback ADD COLUMN turn_id VARCHAR;
CREATE TABLE safety_decisions (
    decision_id VARCHAR NOT NULL, turn_id VARCHAR, side VARCHAR NOT NULL, code VARCHAR NOT NULL, blocked BOOLEAN NOT NULL, score DOUBLE, lang VARCHAR, ts TIMESTAMP
); -- side: input | output | document
