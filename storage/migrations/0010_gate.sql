-- How much the items of a decision can tell: the smallest difference that so many show, and how many it takes to show the margin. NULL of decisions on
-- answer loss and by hand.
ALTER TABLE promotions ADD COLUMN items BIGINT;
ALTER TABLE promotions ADD COLUMN smallest DOUBLE;
ALTER TABLE promotions ADD COLUMN needed BIGINT;
