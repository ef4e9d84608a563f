-- The catalog's first shape. Table names are a contract; bulky data stays in Parquet inside the artifacts.
-- Times are UTC.

CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, parent_run_id VARCHAR, flow VARCHAR NOT NULL, status VARCHAR NOT NULL, -- running completed reused failed cancelled crashed
    profile VARCHAR, key VARCHAR, artifact_id VARCHAR, host VARCHAR, pid INTEGER,
    started TIMESTAMP, ended TIMESTAMP, seconds DOUBLE, error VARCHAR, settings JSON
);
CREATE TABLE artifacts (
    artifact_id VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL, stage VARCHAR NOT NULL, uri VARCHAR NOT NULL, run_id VARCHAR,
    bytes BIGINT, seconds DOUBLE, created TIMESTAMP, settings JSON, meta JSON
);
CREATE TABLE lineage (child_id VARCHAR NOT NULL, parent_id VARCHAR NOT NULL, role VARCHAR NOT NULL);

-- One row per kind, split, language and reason: reason '' counts the rows kept, any other the rows dropped for it.
CREATE TABLE datasets (
    artifact_id VARCHAR, run_id VARCHAR, kind VARCHAR NOT NULL, split VARCHAR NOT NULL, lang VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    rows BIGINT NOT NULL, uri VARCHAR
);
CREATE TABLE metrics (run_id VARCHAR NOT NULL, name VARCHAR NOT NULL, step BIGINT NOT NULL, value DOUBLE, ts TIMESTAMP NOT NULL);

CREATE TABLE models (
    model_id VARCHAR PRIMARY KEY, stage VARCHAR NOT NULL, -- candidate champion archived rejected
    artifact_id VARCHAR, base VARCHAR, precision VARCHAR, bytes BIGINT, run_id VARCHAR, created TIMESTAMP, updated TIMESTAMP
);
CREATE TABLE indexes (
    artifact_id VARCHAR, run_id VARCHAR, stage VARCHAR NOT NULL DEFAULT 'candidate', embedder VARCHAR, dimension INTEGER,
    documents BIGINT, chunks BIGINT, skipped BIGINT, hit_at_5 DOUBLE
);
CREATE TABLE documents (
    artifact_id VARCHAR, run_id VARCHAR, document_id VARCHAR NOT NULL, path VARCHAR NOT NULL, title VARCHAR, lang VARCHAR, sha256 VARCHAR,
    bytes BIGINT, chunks BIGINT, status VARCHAR NOT NULL, reason VARCHAR -- status indexed | skipped
);
CREATE TABLE chunks (
    artifact_id VARCHAR, run_id VARCHAR, chunk_id VARCHAR NOT NULL, document_id VARCHAR NOT NULL, ordinal BIGINT NOT NULL, heading VARCHAR,
    text VARCHAR NOT NULL, tokens BIGINT, lang VARCHAR
);
-- One row per model, metric and language. low and high bound the 95 % interval where one is computed.
CREATE TABLE evaluations (
    artifact_id VARCHAR, run_id VARCHAR, model VARCHAR NOT NULL, model_id VARCHAR, metric VARCHAR NOT NULL, lang VARCHAR NOT NULL,
    value DOUBLE, low DOUBLE, high DOUBLE, items BIGINT
);
CREATE TABLE evaluation_answers (
    artifact_id VARCHAR, run_id VARCHAR, model VARCHAR NOT NULL, suite VARCHAR NOT NULL, item_id VARCHAR NOT NULL, lang VARCHAR NOT NULL,
    prompt VARCHAR, reference VARCHAR, answer VARCHAR, loss DOUBLE, similarity DOUBLE, -- chrF against the reference
    characters BIGINT, tokens BIGINT, reward DOUBLE, second_reward DOUBLE,
    correct BOOLEAN, refused BOOLEAN, seconds DOUBLE, sources JSON
);
CREATE TABLE rollouts (
    artifact_id VARCHAR, run_id VARCHAR, step BIGINT NOT NULL, episode BIGINT NOT NULL, prompt VARCHAR NOT NULL, answer VARCHAR NOT NULL, lang VARCHAR,
    score DOUBLE, kl DOUBLE, reward DOUBLE, tokens BIGINT, finished BOOLEAN
);
CREATE TABLE promotions (
    promotion_id VARCHAR, run_id VARCHAR, model_id VARCHAR, champion_id VARCHAR, evaluation_id VARCHAR, decision VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    metric VARCHAR, difference DOUBLE, low DOUBLE, high DOUBLE, ts TIMESTAMP
);
CREATE TABLE conversations (conversation_id VARCHAR, model_id VARCHAR, index_id VARCHAR, started TIMESTAMP, channel VARCHAR);
CREATE TABLE messages (
    message_id VARCHAR, conversation_id VARCHAR NOT NULL, ordinal BIGINT NOT NULL, role VARCHAR NOT NULL, content VARCHAR NOT NULL, sources JSON, ts TIMESTAMP
);
CREATE TABLE feedback (feedback_id VARCHAR, message_id VARCHAR, rating INTEGER, correction VARCHAR, ts TIMESTAMP);
