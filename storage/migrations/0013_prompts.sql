-- Every version of a prompt that a study or a release used, once for each of them; the version is the hash of the content.
CREATE TABLE prompts (
    artifact_id VARCHAR,
    run_id VARCHAR,
    name VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    lang VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    content JSON NOT NULL,
    created TIMESTAMP NOT NULL
);
