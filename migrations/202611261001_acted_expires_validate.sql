-- migrate:up

-- In a transaction of its own, so that others read and write meanwhile. It fails if a row says
-- otherwise, which no version wrote.
ALTER TABLE decision VALIDATE CONSTRAINT decision_acted_check;

-- migrate:down

-- A check cannot be made not valid again: it is replaced by itself.
-- squawk-ignore ban-drop-constraint
ALTER TABLE decision DROP CONSTRAINT decision_acted_check;
ALTER TABLE decision ADD CONSTRAINT decision_acted_check CHECK (
    outcome <> 'acted'
    OR (rule_id IS NOT NULL AND profile_id IS NOT NULL AND expires_at IS NOT NULL)
) NOT VALID;
