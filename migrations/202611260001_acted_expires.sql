-- migrate:up

-- A delivery cannot be without an end, so neither can the decision that it is made of. The check
-- holds for new rows from here on; the next migration looks at those from before.
-- squawk-ignore ban-drop-constraint
ALTER TABLE decision DROP CONSTRAINT decision_acted_check;
ALTER TABLE decision ADD CONSTRAINT decision_acted_check CHECK (
    outcome <> 'acted'
    OR (rule_id IS NOT NULL AND profile_id IS NOT NULL AND expires_at IS NOT NULL)
) NOT VALID;

-- migrate:down

-- squawk-ignore ban-drop-constraint
ALTER TABLE decision DROP CONSTRAINT decision_acted_check;
-- Going down, nobody minds the lock while all rows are looked at.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE decision ADD CONSTRAINT decision_acted_check CHECK (
    outcome <> 'acted' OR (rule_id IS NOT NULL AND profile_id IS NOT NULL)
);
