-- What serves: a model or a server with template, settings, tools and safety classifier, whose id is the hash of all of it. `artifact_id` is its
-- model's, NULL where a server answers; `index_id` the index that it was decided on with; `promoted` when it was last made the champion.
CREATE TABLE releases (
    release_id VARCHAR PRIMARY KEY, stage VARCHAR NOT NULL, -- candidate champion archived rejected
    artifact_id VARCHAR, index_id VARCHAR, run_id VARCHAR, created TIMESTAMP, updated TIMESTAMP, promoted TIMESTAMP
);
ALTER TABLE promotions ADD COLUMN release_id VARCHAR; -- NULL of decisions from before there were releases
ALTER TABLE promotions ADD COLUMN champion_release_id VARCHAR;
-- By what an answer was made: a release, or what was served in its place, in words (then release_id is NULL).
ALTER TABLE conversations ADD COLUMN release_id VARCHAR;
ALTER TABLE conversations ADD COLUMN unreleased VARCHAR;
ALTER TABLE messages ADD COLUMN release_id VARCHAR;
ALTER TABLE messages ADD COLUMN index_id VARCHAR;
ALTER TABLE messages ADD COLUMN unreleased VARCHAR;
