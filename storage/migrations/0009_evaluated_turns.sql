-- The chatbot's answers in an evaluation, beside those of its models alone: how each turn ended, what it was worth, and its events.
ALTER TABLE evaluation_answers ADD COLUMN document VARCHAR; -- one name for all that answer the same, by which items are resampled together
ALTER TABLE evaluation_answers ADD COLUMN outcome VARCHAR; -- answered unsure unanswered refused
ALTER TABLE evaluation_answers ADD COLUMN finish VARCHAR; -- why writing stopped
ALTER TABLE evaluation_answers ADD COLUMN wrong BOOLEAN; -- NULL, as `correct`, where nothing says what a right answer contains
ALTER TABLE evaluation_answers ADD COLUMN unsure BOOLEAN;
ALTER TABLE evaluation_answers ADD COLUMN accepted BOOLEAN; -- whether what is shown contains what a right answer contains
ALTER TABLE evaluation_answers ADD COLUMN turned_away BOOLEAN; -- whether no sources are shown
ALTER TABLE evaluation_answers ADD COLUMN right_source BOOLEAN;
ALTER TABLE evaluation_answers ADD COLUMN supported BIGINT; -- of the answer's sentences
ALTER TABLE evaluation_answers ADD COLUMN sentences BIGINT;
ALTER TABLE evaluation_answers ADD COLUMN called JSON; -- names of the tools
ALTER TABLE evaluation_answers ADD COLUMN right_tool BOOLEAN;
ALTER TABLE evaluation_answers ADD COLUMN confidence DOUBLE;
ALTER TABLE evaluation_answers ADD COLUMN first_word DOUBLE; -- seconds; like `seconds` only of those that were asked one by one
ALTER TABLE evaluation_answers ADD COLUMN events JSON; -- of the turn, and the turns before it
