-- migrate:up

CREATE TABLE campaign (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    campaign_id uuid NOT NULL,
    name text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    state text NOT NULL CONSTRAINT campaign_state_check
        CHECK (state IN ('draft', 'active', 'paused', 'ended')),
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, campaign_id),
    CONSTRAINT campaign_name_key UNIQUE (tenant_id, name),
    CONSTRAINT campaign_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT campaign_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL))
);

COMMENT ON TABLE campaign IS 'Rules that act, pause and end together. Written by decision.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON campaign
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('campaign');
GRANT SELECT, INSERT, UPDATE ON campaign TO leo_decision;
GRANT SELECT, DELETE ON campaign TO leo_eraser;

CREATE TABLE activation_rule (
    tenant_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    name text NOT NULL,
    version int NOT NULL CONSTRAINT activation_rule_version_check CHECK (version > 0),
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, rule_id),
    CONSTRAINT activation_rule_name_key UNIQUE (tenant_id, campaign_id, name),
    CONSTRAINT activation_rule_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT activation_rule_request_check
        CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign (tenant_id, campaign_id)
);

COMMENT ON TABLE activation_rule IS
    'When to act and how; what the rule says stands in its version. Written by decision.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON activation_rule
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('activation_rule');
GRANT SELECT, INSERT, UPDATE ON activation_rule TO leo_decision;
GRANT SELECT, DELETE ON activation_rule TO leo_eraser;

CREATE TABLE activation_rule_version (
    tenant_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    version int NOT NULL CONSTRAINT activation_rule_version_version_check CHECK (version > 0),
    document jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, rule_id, version),
    FOREIGN KEY (tenant_id, rule_id) REFERENCES activation_rule (tenant_id, rule_id)
);

COMMENT ON TABLE activation_rule_version IS
    'What a rule said: decisions name the version that they asked. Written by decision.';

CALL isolate_tenants_v1('activation_rule_version');
CALL make_append_only_v1('activation_rule_version');
GRANT SELECT, INSERT ON activation_rule_version TO leo_decision;
GRANT SELECT, DELETE ON activation_rule_version TO leo_eraser;

-- One row a tenant: what decides changes as a whole, and a process knows by one number whether what
-- it holds in memory is still true.
CREATE TABLE rule_set (
    tenant_id uuid PRIMARY KEY REFERENCES tenant (tenant_id),
    version bigint NOT NULL CONSTRAINT rule_set_version_check CHECK (version > 0),
    updated_at timestamptz NOT NULL DEFAULT leo_now()
);

COMMENT ON TABLE rule_set IS
    'Counts the changes of a tenant''s campaigns and rules. Written by decision.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON rule_set
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('rule_set');
GRANT SELECT, INSERT, UPDATE ON rule_set TO leo_decision;
GRANT SELECT, DELETE ON rule_set TO leo_eraser;

CREATE TABLE decision (
    tenant_id uuid NOT NULL,
    decision_id uuid NOT NULL,
    trigger_kind text NOT NULL CONSTRAINT decision_trigger_kind_check
        CHECK (trigger_kind IN ('event', 'launch', 'direct')),
    trigger_id uuid NOT NULL,
    profile_id uuid,
    profile_version int,
    ordinal int NOT NULL CONSTRAINT decision_ordinal_check CHECK (ordinal >= 0),
    rule_set_version bigint NOT NULL,
    campaign_id uuid,
    rule_id uuid,
    rule_version int,
    segment_id uuid,
    segment_version int,
    outcome text NOT NULL CONSTRAINT decision_outcome_check CHECK (outcome IN (
        'acted', 'no_rule', 'no_profile', 'not_in_segment', 'cooldown', 'no_consent', 'hold_out',
        'no_address', 'expired', 'error'
    )),
    reason text NOT NULL,
    not_before timestamptz,
    expires_at timestamptz,
    cooldown interval,
    choices jsonb NOT NULL DEFAULT '[]',
    inputs jsonb,
    decided_at timestamptz NOT NULL DEFAULT leo_now(),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    audit_entry_id uuid NOT NULL,
    leaf_no int NOT NULL CONSTRAINT decision_leaf_no_check CHECK (leaf_no >= 0),
    salt bytea,
    -- The ledger compares a million of these in a second: what it asks stands in the index.
    PRIMARY KEY (tenant_id, decision_id) INCLUDE (outcome),
    -- Whoever comes second with an event finds ordinal 0 taken and returns what is stored.
    CONSTRAINT decision_trigger_key
        UNIQUE NULLS NOT DISTINCT (tenant_id, trigger_kind, trigger_id, profile_id, ordinal),
    CONSTRAINT decision_acted_check CHECK (
        outcome <> 'acted' OR (rule_id IS NOT NULL AND profile_id IS NOT NULL)
    ),
    FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry (tenant_id, entry_id)
);

COMMENT ON TABLE decision IS
    'What was decided about an event, also not to act, and why. Written by decision.';
COMMENT ON COLUMN decision.choices IS
    'Of an acting decision, the ways that are possible, in order: choice, channel, template_id, '
    'account_id, recipient_ref (address kind and place within the profile version).';
COMMENT ON COLUMN decision.inputs IS
    'Every value that the decision depended on; NULL after the person was erased.';
COMMENT ON COLUMN decision.cooldown IS 'As the rule had it, so that it can be checked afterwards.';

-- An event is decided once, also if its profile came into being between two who decide it.
CREATE UNIQUE INDEX decision_event_v1 ON decision (tenant_id, trigger_id)
WHERE trigger_kind = 'event' AND ordinal = 0;
CREATE INDEX decision_cooldown_v1 ON decision (tenant_id, rule_id, profile_id, decided_at)
INCLUDE (cooldown) WHERE outcome = 'acted';
-- A person's journey starts at their decisions.
CREATE INDEX decision_profile_v1 ON decision (tenant_id, profile_id, decided_at)
WHERE profile_id IS NOT NULL;
CREATE INDEX decision_relay_v1 ON decision (tenant_id, transaction_id) WHERE outcome = 'acted';

CALL isolate_tenants_v1('decision');
CALL make_append_only_v1('decision');
GRANT SELECT, INSERT ON decision TO leo_decision;
GRANT SELECT ON decision TO leo_ingest, leo_dispatch;
GRANT SELECT, UPDATE (inputs, salt), DELETE ON decision TO leo_eraser;

-- What a sweeper looks for is missing behind this line; in front of it, transactions may be running.
CREATE TABLE relay_watermark (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    hop text NOT NULL CONSTRAINT relay_watermark_hop_check CHECK (hop IN ('activate', 'dispatch')),
    position xid8 NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, hop)
);

COMMENT ON TABLE relay_watermark IS
    'Up to which transaction everything was handed on. Written by ingest and decision, each for the '
    'hop that starts there.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON relay_watermark
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('relay_watermark');
GRANT SELECT, INSERT, UPDATE ON relay_watermark TO leo_ingest, leo_decision;
GRANT SELECT, DELETE ON relay_watermark TO leo_eraser;

-- Found by transaction, in front of the watermark. An index of a partitioned table cannot be made or
-- dropped concurrently.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX marketing_event_relay_v1 ON marketing_event (tenant_id, transaction_id);

-- The sweepers' eyes: which tenants have rows in front of their watermarks, and nothing else.
GRANT SELECT (tenant_id) ON tenant TO leo_finder;
GRANT SELECT (tenant_id, hop, position) ON relay_watermark TO leo_finder;
GRANT SELECT (tenant_id, transaction_id) ON marketing_event TO leo_finder;
GRANT SELECT (tenant_id, transaction_id, outcome) ON decision TO leo_finder;
CREATE POLICY finder_looks ON tenant FOR SELECT TO leo_finder USING (true);
CREATE POLICY finder_looks ON relay_watermark FOR SELECT TO leo_finder USING (true);
CREATE POLICY finder_looks ON marketing_event FOR SELECT TO leo_finder USING (true);
CREATE POLICY finder_looks ON decision FOR SELECT TO leo_finder USING (true);

-- migrate:down

DROP POLICY finder_looks ON marketing_event;
DROP POLICY finder_looks ON tenant;
REVOKE SELECT (tenant_id, transaction_id) ON marketing_event FROM leo_finder;
REVOKE SELECT (tenant_id) ON tenant FROM leo_finder;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX marketing_event_relay_v1;
DROP TABLE relay_watermark;
DROP TABLE decision;
DROP TABLE rule_set;
DROP TABLE activation_rule_version;
DROP TABLE activation_rule;
DROP TABLE campaign;
