-- How an answer ended (`reason`: answered unsure unanswered refused) and why writing stopped are two things.
ALTER TABLE messages ADD COLUMN finish VARCHAR; -- stop length timeout stopped refused (a server's own content filter)
UPDATE messages SET finish = CASE WHEN reason IN ('refused', 'unanswered') THEN 'stop' ELSE reason END,
                    reason = CASE WHEN reason IN ('refused', 'unanswered') THEN reason ELSE 'answered' END
WHERE reason IS NOT NULL;
