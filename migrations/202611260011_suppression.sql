-- migrate:up

-- What is suppressed is an address and not a person, so it holds whatever a later import says. The
-- row stays when it is lifted: a new suppression of the same address is a row of its own.
CREATE TABLE suppression (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    suppression_id uuid NOT NULL,
    channel text NOT NULL,
    recipient_key_id text NOT NULL,
    recipient_hash bytea NOT NULL
        CONSTRAINT suppression_recipient_hash_check CHECK (octet_length(recipient_hash) = 32),
    cause text NOT NULL CONSTRAINT suppression_cause_check
        CHECK (cause IN ('bounced', 'complained', 'rejected', 'requested')),
    source text NOT NULL CONSTRAINT suppression_source_check
        CHECK (source IN ('delivery', 'receipt', 'call')),
    delivery_id uuid,
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    lifted_at timestamptz,
    lift_request_id uuid,
    lift_request_digest bytea,
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, suppression_id),
    CONSTRAINT suppression_delivery_check CHECK ((source = 'call') = (delivery_id IS NULL)),
    CONSTRAINT suppression_request_check
        CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT suppression_lift_request_check CHECK (
        (lift_request_id IS NULL) = (lift_request_digest IS NULL)
        AND (lift_request_id IS NULL OR lifted_at IS NOT NULL)
    )
);

COMMENT ON TABLE suppression IS
    'An address to which nothing is sent by a channel, as a keyed hash. Written by dispatch.';
COMMENT ON COLUMN suppression.suppression_id IS 'UUIDv7, made by dispatch.';
COMMENT ON COLUMN suppression.channel IS 'By which nothing is sent to the address.';
COMMENT ON COLUMN suppression.recipient_key_id IS
    'Of the key of recipient_hash, as in delivery_log: a key of LEO_DISPATCH_CREDENTIAL_KEYS, which '
    'stays there as long as this row is in force.';
COMMENT ON COLUMN suppression.recipient_hash IS
    'Keyed hash of the address, as in delivery_log; never the address.';
COMMENT ON COLUMN suppression.cause IS
    'Why: it came back, the person complained, the provider refuses it for good, somebody asked.';
COMMENT ON COLUMN suppression.source IS
    'What told it: the answer to a delivery, a receipt, or a call of Suppress.';
COMMENT ON COLUMN suppression.delivery_id IS
    'The delivery that was answered, or that the receipt is about; NULL for a call.';
COMMENT ON COLUMN suppression.request_id IS 'The client''s name for the call of Suppress, if any.';
COMMENT ON COLUMN suppression.request_digest IS
    'Keyed, because the request holds the address: HMAC-SHA-256 over its canonical body.';
COMMENT ON COLUMN suppression.lifted_at IS 'NULL while it is in force.';
COMMENT ON COLUMN suppression.lift_request_id IS
    'The client''s name for the call of Unsuppress, if any.';
COMMENT ON COLUMN suppression.lift_request_digest IS 'As request_digest, of Unsuppress.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON suppression
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

-- One in force for each address; what the claim looks in.
CREATE UNIQUE INDEX suppression_recipient_v1
ON suppression (tenant_id, channel, recipient_key_id, recipient_hash)
WHERE lifted_at IS NULL;
CREATE INDEX suppression_request_v1 ON suppression (tenant_id, request_id)
WHERE request_id IS NOT NULL;
CREATE INDEX suppression_lift_request_v1 ON suppression (tenant_id, lift_request_id)
WHERE lift_request_id IS NOT NULL;

CALL isolate_tenants_v1('suppression');
GRANT SELECT, INSERT, UPDATE (lifted_at, lift_request_id, lift_request_digest) ON suppression
TO leo_dispatch;
GRANT SELECT, DELETE ON suppression TO leo_eraser;

-- migrate:down

DROP TABLE suppression;
