-- migrate:up

CREATE TABLE message_template (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    template_id uuid NOT NULL,
    version int NOT NULL CONSTRAINT message_template_version_check CHECK (version > 0),
    name text NOT NULL,
    channel text NOT NULL,
    provider_template_id text NOT NULL DEFAULT '',
    data jsonb NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, template_id),
    CONSTRAINT message_template_name_key UNIQUE (tenant_id, name),
    CONSTRAINT message_template_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT message_template_request_check
        CHECK ((request_id IS NULL) = (request_digest IS NULL))
);

COMMENT ON TABLE message_template IS
    'A message with room for a person''s values. Written by dispatch.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON message_template
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('message_template');
GRANT SELECT, INSERT, UPDATE ON message_template TO leo_dispatch;
GRANT SELECT ON message_template TO leo_decision;
GRANT SELECT, DELETE ON message_template TO leo_eraser;

CREATE TABLE channel_account (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    account_id uuid NOT NULL,
    name text NOT NULL,
    channel text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    credential_names text[] NOT NULL DEFAULT '{}',
    -- AES-256-GCM with a data key of its own, which is wrapped by the key that key_id names.
    credentials bytea,
    data_key bytea,
    key_id text NOT NULL DEFAULT '',
    credential_version int NOT NULL DEFAULT 0,
    concurrent_send_count_max int NOT NULL CONSTRAINT channel_account_concurrent_check
        CHECK (concurrent_send_count_max BETWEEN 1 AND 1000),
    paused_reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT channel_account_name_key UNIQUE (tenant_id, name)
);

COMMENT ON TABLE channel_account IS
    'An account at a provider, with its secrets encrypted. Written by dispatch.';
COMMENT ON COLUMN channel_account.paused_reason IS
    'Empty while it sends; else why nothing is handed to the provider until a person acted.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON channel_account
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('channel_account');
GRANT SELECT, INSERT, UPDATE ON channel_account TO leo_dispatch;
GRANT SELECT (tenant_id, account_id, channel) ON channel_account TO leo_decision;
GRANT SELECT, DELETE ON channel_account TO leo_eraser;

CREATE TABLE delivery_log (
    tenant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    decision_id uuid NOT NULL,
    step int NOT NULL DEFAULT 0,
    choice int NOT NULL CONSTRAINT delivery_log_choice_check CHECK (choice >= 0),
    channel text NOT NULL,
    account_id uuid NOT NULL,
    template_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    profile_version int NOT NULL,
    purpose text NOT NULL,
    recipient_ref text NOT NULL,
    recipient_hash bytea,
    recipient_key_id text NOT NULL DEFAULT '',
    dedupe_key bytea NOT NULL
        CONSTRAINT delivery_log_dedupe_key_check CHECK (octet_length(dedupe_key) = 32),
    state text NOT NULL CONSTRAINT delivery_log_state_check CHECK (state IN (
        'pending', 'sending', 'accepted', 'retry_wait', 'failed', 'suppressed', 'expired',
        'cancelled', 'outcome_unknown', 'closed_unknown', 'dead_letter'
    )),
    reason text NOT NULL DEFAULT '',
    in_doubt boolean NOT NULL DEFAULT false,
    due_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    epoch int NOT NULL DEFAULT 0,
    attempt_count int NOT NULL DEFAULT 0,
    failure_count int NOT NULL DEFAULT 0,
    lease_until timestamptz,
    provider_message_id text NOT NULL DEFAULT '',
    resend_of uuid,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    -- Included, here and below, is what the ledger asks of every row.
    PRIMARY KEY (tenant_id, delivery_id) INCLUDE (state, attempt_count),
    CONSTRAINT delivery_log_dedupe_key UNIQUE (tenant_id, dedupe_key),
    CONSTRAINT delivery_log_sending_check CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    FOREIGN KEY (tenant_id, decision_id) REFERENCES decision (tenant_id, decision_id)
);

COMMENT ON TABLE delivery_log IS
    'One message to one person by one channel, and where it stands. Written by dispatch.';
COMMENT ON COLUMN delivery_log.recipient_ref IS
    'The address, as its kind and place within the profile version that the decision saw.';
COMMENT ON COLUMN delivery_log.recipient_hash IS
    'Keyed hash of the address that was used; recipient_key_id names the key.';
COMMENT ON COLUMN delivery_log.in_doubt IS
    'An attempt ended without an answer: no later answer to another attempt takes that away.';
COMMENT ON COLUMN delivery_log.failure_count IS
    'How often its batch failed before the intent.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON delivery_log
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CREATE INDEX delivery_log_decision_v1 ON delivery_log (tenant_id, decision_id);
CREATE INDEX delivery_log_due_v1 ON delivery_log (tenant_id, account_id, due_at)
WHERE state IN ('pending', 'retry_wait');
CREATE INDEX delivery_log_lease_v1 ON delivery_log (lease_until) WHERE state = 'sending';
CREATE INDEX delivery_log_profile_v1 ON delivery_log (tenant_id, profile_id, created_at);

CALL isolate_tenants_v1('delivery_log');
GRANT SELECT, INSERT, UPDATE ON delivery_log TO leo_dispatch;
GRANT SELECT ON delivery_log TO leo_decision;
GRANT SELECT, UPDATE (recipient_hash), DELETE ON delivery_log TO leo_eraser;
-- The workers' eyes: what is due where, and nothing else.
GRANT SELECT (tenant_id, account_id, state, due_at, lease_until) ON delivery_log TO leo_finder;
CREATE POLICY finder_looks ON delivery_log FOR SELECT TO leo_finder USING (true);

CREATE TABLE delivery_attempt (
    tenant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    attempt int NOT NULL CONSTRAINT delivery_attempt_attempt_check CHECK (attempt > 0),
    phase text NOT NULL CONSTRAINT delivery_attempt_phase_check
        CHECK (phase IN ('intent', 'result', 'late')),
    epoch int NOT NULL,
    kind text CONSTRAINT delivery_attempt_kind_check
        CHECK (kind IN ('accepted', 'rejected', 'retry_at', 'unknown')),
    provider_class text NOT NULL DEFAULT '',
    provider_code text NOT NULL DEFAULT '',
    provider_message_id text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    provider_key text NOT NULL DEFAULT '',
    request_hash bytea,
    template_version int,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    audit_entry_id uuid,
    leaf_no int,
    salt bytea,
    PRIMARY KEY (tenant_id, delivery_id, attempt, phase) INCLUDE (epoch, kind),
    CONSTRAINT delivery_attempt_kind_phase_check CHECK ((phase = 'intent') = (kind IS NULL)),
    FOREIGN KEY (tenant_id, delivery_id) REFERENCES delivery_log (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry (tenant_id, entry_id)
);

COMMENT ON TABLE delivery_attempt IS
    'Before each call to a provider the intent, after it the result. Written by dispatch.';

CALL isolate_tenants_v1('delivery_attempt');
CALL make_append_only_v1('delivery_attempt');
GRANT SELECT, INSERT ON delivery_attempt TO leo_dispatch;
GRANT SELECT ON delivery_attempt TO leo_decision;
GRANT SELECT, UPDATE (salt), DELETE ON delivery_attempt TO leo_eraser;

CREATE TABLE delivery_receipt (
    tenant_id uuid NOT NULL,
    receipt_id uuid NOT NULL,
    account_id uuid NOT NULL,
    receipt_digest bytea NOT NULL CONSTRAINT delivery_receipt_digest_check
        CHECK (octet_length(receipt_digest) = 32),
    delivery_id uuid,
    kind text NOT NULL CONSTRAINT delivery_receipt_kind_check CHECK (kind IN (
        'sent', 'delivered', 'read', 'clicked', 'bounced', 'complained', 'failed', 'other'
    )),
    provider_message_id text NOT NULL DEFAULT '',
    raw bytea,
    occurred_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, receipt_id),
    -- A provider says the same thing again until it is answered.
    CONSTRAINT delivery_receipt_digest_key UNIQUE (tenant_id, account_id, receipt_digest),
    FOREIGN KEY (tenant_id, account_id) REFERENCES channel_account (tenant_id, account_id)
);

COMMENT ON TABLE delivery_receipt IS
    'What a provider says later about a message, as it came in. Written by dispatch.';
COMMENT ON COLUMN delivery_receipt.raw IS 'NULL after the person was erased.';

CREATE INDEX delivery_receipt_delivery_v1 ON delivery_receipt (tenant_id, delivery_id);

CALL isolate_tenants_v1('delivery_receipt');
CALL make_append_only_v1('delivery_receipt');
GRANT SELECT, INSERT ON delivery_receipt TO leo_dispatch;
GRANT SELECT ON delivery_receipt TO leo_decision;
GRANT SELECT, UPDATE (raw), DELETE ON delivery_receipt TO leo_eraser;

-- A message may say what the event says.
GRANT SELECT ON marketing_event TO leo_dispatch;

-- migrate:down

REVOKE SELECT ON marketing_event FROM leo_dispatch;
DROP TABLE delivery_receipt;
DROP TABLE delivery_attempt;
DROP TABLE delivery_log;
DROP TABLE channel_account;
DROP TABLE message_template;
