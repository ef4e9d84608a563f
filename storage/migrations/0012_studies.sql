-- Studies: figures of each arm, and of its difference from the first one (against); figures of an arm as a whole have no interval and 0 items.
CREATE TABLE studies (
    artifact_id VARCHAR,
    run_id VARCHAR,
    study VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    measure VARCHAR NOT NULL,
    lang VARCHAR NOT NULL,
    against VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    low DOUBLE,
    high DOUBLE,
    items BIGINT NOT NULL
);
-- Every answer of every arm, with what was measured of it by name.
CREATE TABLE study_answers (
    artifact_id VARCHAR,
    run_id VARCHAR,
    study VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    item_id VARCHAR NOT NULL,
    lang VARCHAR NOT NULL,
    prompt VARCHAR,
    reference VARCHAR,
    answer VARCHAR,
    measures JSON,
    details JSON,
    seconds DOUBLE
);
