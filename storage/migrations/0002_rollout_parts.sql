-- What a rollout's score is mixed of, by name (`learned`, `module:function`), where rules take part in the reward.
ALTER TABLE rollouts ADD COLUMN parts JSON;
