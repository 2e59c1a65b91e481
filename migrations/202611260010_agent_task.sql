-- migrate:up

-- What an agent was asked, how often it tried, what it proposes and why. A person's values are in
-- the profile's version alone: the trace has the prompt's hash.
CREATE TABLE agent_task (
    tenant_id uuid NOT NULL,
    task_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT agent_task_kind_check CHECK (kind IN ('activation', 'plan')),
    profile_id uuid,
    profile_version int,
    rule_id uuid,
    rule_version int,
    instruction text,
    state text NOT NULL CONSTRAINT agent_task_state_check CHECK (state IN (
        'pending', 'running', 'awaiting_approval', 'succeeded', 'rejected', 'failed'
    )),
    attempt_count int NOT NULL DEFAULT 0
        CONSTRAINT agent_task_attempt_count_check CHECK (attempt_count BETWEEN 0 AND 3),
    backend text NOT NULL DEFAULT '',
    model_hash bytea CONSTRAINT agent_task_model_hash_check CHECK (octet_length(model_hash) = 32),
    proposal jsonb,
    reasoning_trace jsonb,
    reasoning_summary text NOT NULL DEFAULT '',
    approval_required boolean NOT NULL,
    reviewer text NOT NULL DEFAULT '',
    reviewed_at timestamptz,
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, task_id),
    CONSTRAINT agent_task_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT agent_task_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    -- An activation is about a person, a plan about a marketer's words.
    CONSTRAINT agent_task_subject_check CHECK (
        (kind = 'activation') = (profile_id IS NOT NULL)
        AND (profile_id IS NULL) = (profile_version IS NULL)
        AND (rule_id IS NULL) = (rule_version IS NULL)
        AND (kind = 'plan') = (instruction IS NOT NULL)
    ),
    -- Nothing is proposed that nobody tried, and nothing without its reasons.
    CONSTRAINT agent_task_proposal_check CHECK (
        (proposal IS NOT NULL) = (state IN ('awaiting_approval', 'succeeded', 'rejected'))
        AND (
            proposal IS NULL
            OR (
                attempt_count > 0
                AND backend <> ''
                AND reasoning_trace IS NOT NULL
                AND reasoning_summary <> ''
            )
        )
    ),
    -- A plan never goes on by itself. A reviewer says yes or no, once, where one is asked.
    CONSTRAINT agent_task_approval_check CHECK (
        (kind <> 'plan' OR approval_required)
        AND (approval_required OR state NOT IN ('awaiting_approval', 'rejected'))
        AND (reviewed_at IS NOT NULL)
        = (approval_required AND state IN ('succeeded', 'rejected'))
        AND (reviewed_at IS NULL) = (reviewer = '')
    ),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES cdp_profiles (tenant_id, profile_id),
    FOREIGN KEY (tenant_id, rule_id, rule_version)
        REFERENCES activation_rule_version (tenant_id, rule_id, version)
);

COMMENT ON TABLE agent_task IS
    'A run of an agent, and what it proposes; no run is made yet. Written by decision.';
COMMENT ON COLUMN agent_task.kind IS
    'activation: an action for a person; plan: a marketer''s words as an action.';
COMMENT ON COLUMN agent_task.profile_version IS 'What the agent saw of the person.';
COMMENT ON COLUMN agent_task.rule_version IS 'What the rule that asks for an agent said.';
COMMENT ON COLUMN agent_task.instruction IS 'The marketer''s words.';
COMMENT ON COLUMN agent_task.state IS
    'failed: no attempt gave a proposal; rejected: a person said no.';
COMMENT ON COLUMN agent_task.attempt_count IS 'Three at most.';
COMMENT ON COLUMN agent_task.backend IS 'What ran last; empty before the first attempt.';
COMMENT ON COLUMN agent_task.model_hash IS 'SHA-256 of the weights; NULL where they are not here.';
COMMENT ON COLUMN agent_task.proposal IS
    'A call of one of the tenant''s own actions, well formed; rules may still refuse it.';
COMMENT ON COLUMN agent_task.reasoning_trace IS
    'Prompt hash, candidates with their scores, tokens and latency of each attempt.';
COMMENT ON COLUMN agent_task.reasoning_summary IS 'Why it proposes that, in words.';
COMMENT ON COLUMN agent_task.approval_required IS 'Nothing comes of it until a person said yes.';
COMMENT ON COLUMN agent_task.reviewer IS 'Who said yes or no: the subject of a token.';
COMMENT ON COLUMN agent_task.reviewed_at IS 'When; NULL before, and where nobody is asked.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON agent_task
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('agent_task');
-- What a task was asked stays as it was.
GRANT SELECT, INSERT, UPDATE (
    state, attempt_count, backend, model_hash, proposal, reasoning_trace, reasoning_summary,
    reviewer, reviewed_at
) ON agent_task TO leo_decision;
GRANT SELECT, DELETE ON agent_task TO leo_eraser;

-- What columns of the tables before mean. Those of many tables are told once, in
-- docs/reference/database.md.
COMMENT ON COLUMN tenant.time_zone IS
    'IANA name, such as Asia/Ho_Chi_Minh: quiet hours and days are told in it.';
COMMENT ON COLUMN tenant.state IS
    'active; suspended: nothing is sent; removing: its rows go; removed: they are gone.';
COMMENT ON COLUMN audit_entry.kind IS 'What was done; docs/reference/audit.md lists the kinds.';
COMMENT ON COLUMN audit_entry.actor IS 'Who did it: the subject of a token, or a process.';
COMMENT ON COLUMN audit_entry.call_id IS 'The RPC that did it; empty where none did.';
COMMENT ON COLUMN audit_entry.recorded_table IS
    'Of the rows that the tree is over; NULL where there are none.';
COMMENT ON COLUMN audit_entry.member_count IS 'How many rows the tree is over.';
COMMENT ON COLUMN audit_entry.details IS
    'What else there is to say, by kind; never a personal value.';
COMMENT ON COLUMN audit_seal.seq IS 'From 1, without a gap.';
COMMENT ON COLUMN audit_seal.prev IS 'The hash of the seal before; 32 zero bytes in the first.';
COMMENT ON COLUMN marketing_event.event_id IS
    'UUIDv8 from SHA-256 over tenant, source and source_event_id, or over the content without one.';
COMMENT ON COLUMN marketing_event.source IS 'The system that tells it.';
COMMENT ON COLUMN marketing_event.source_event_id IS
    'Its id there; NULL where the source has none.';
COMMENT ON COLUMN marketing_event.event_type IS 'Kebab-case, such as page-view.';
COMMENT ON COLUMN marketing_event.profile_ext_id IS
    'The person''s id in the source; there may be no profile of it.';
COMMENT ON COLUMN marketing_event.occurred_at IS 'When it happened, as the client says.';
COMMENT ON COLUMN marketing_event.received_at IS 'When it was stored.';
COMMENT ON COLUMN marketing_event.properties IS 'What else the client says of it.';
COMMENT ON COLUMN cdp_profiles.ext_id IS 'The person''s id in the source.';
COMMENT ON COLUMN cdp_profiles.version IS 'The latest in cdp_profile_version.';
COMMENT ON COLUMN cdp_profiles.state IS
    'merged: the source knows the person as merged_into_ext_id now.';
COMMENT ON COLUMN cdp_profiles.merged_into_ext_id IS 'Empty unless merged.';
COMMENT ON COLUMN cdp_profiles.context IS 'production, or somebody who was made up.';
COMMENT ON COLUMN cdp_profiles.emails IS
    'The first choice first: a delivery names an address by its kind and place.';
COMMENT ON COLUMN cdp_profiles.phones IS 'In E.164, the first choice first.';
COMMENT ON COLUMN cdp_profiles.push_addresses IS
    'Pairs of provider and address, the first choice first.';
COMMENT ON COLUMN cdp_profiles.labels IS 'As the source gives them.';
COMMENT ON COLUMN cdp_profiles.source_segment_ids IS
    'Segments of the source; our own are in segment.';
COMMENT ON COLUMN cdp_profiles.funnel_stage IS 'In the words of the source.';
COMMENT ON COLUMN cdp_profiles.transaction_value_vnd IS
    'What the person has bought so far, in đồng.';
COMMENT ON COLUMN cdp_profiles.lifetime_value_vnd IS
    'What the source expects of the person, in đồng.';
COMMENT ON COLUMN cdp_profiles.churn_score IS 'From 0 to 1; NULL where the source has none.';
COMMENT ON COLUMN cdp_profiles.attributes IS 'What the source says beside these columns.';
COMMENT ON COLUMN cdp_profiles.source_updated_at IS 'When the source last changed it.';
COMMENT ON COLUMN cdp_profiles.source_revision IS 'Of the document in the source.';
COMMENT ON COLUMN cdp_profiles.document_digest IS
    'SHA-256 of the document of its version: an unchanged profile makes none.';
COMMENT ON COLUMN cdp_profile_version.version IS 'Numbers what the profile was, from 1.';
COMMENT ON COLUMN cdp_profile_version.document_digest IS
    'SHA-256 of the document; it stays when the document goes.';
COMMENT ON COLUMN profile_consent.state IS 'What the person said last.';
COMMENT ON COLUMN profile_consent.version IS
    'The change in profile_consent_version that made it so.';
COMMENT ON COLUMN profile_consent.evidence IS 'How it is known, such as a form and its wording.';
COMMENT ON COLUMN profile_consent.consented_at IS 'When the person said it.';
COMMENT ON COLUMN profile_consent_version.version IS 'Numbers the changes of one consent, from 1.';
COMMENT ON COLUMN profile_consent_version.state IS 'What the person said then.';
COMMENT ON COLUMN profile_consent_version.consented_at IS 'When the person said it.';
COMMENT ON COLUMN profile_consent_version.actor IS
    'Who told: the subject of a token, or a process.';
COMMENT ON COLUMN segment.condition IS 'In CEL, over profiles: docs/reference/conditions.md.';
COMMENT ON COLUMN segment.version IS 'Numbers what the segment was, from 1.';
COMMENT ON COLUMN campaign.state IS 'Rules act while it is active.';
COMMENT ON COLUMN activation_rule.version IS 'The latest in activation_rule_version.';
COMMENT ON COLUMN activation_rule_version.version IS 'Numbers what the rule said, from 1.';
COMMENT ON COLUMN activation_rule_version.document IS
    'All that the rule says: trigger, condition, segment, channels, cooldown and the rest.';
COMMENT ON COLUMN rule_set.version IS 'A process that holds an older number reads the rules again.';
COMMENT ON COLUMN decision.trigger_kind IS 'What set it off.';
COMMENT ON COLUMN decision.trigger_id IS 'The event or the launch.';
COMMENT ON COLUMN decision.profile_version IS 'What the decision saw of the person.';
COMMENT ON COLUMN decision.ordinal IS
    'Its place among the decisions about one person and trigger; 0 is always there.';
COMMENT ON COLUMN decision.rule_set_version IS 'Of the rules that were asked.';
COMMENT ON COLUMN decision.rule_version IS 'What the rule said.';
COMMENT ON COLUMN decision.segment_version IS 'What the segment was.';
COMMENT ON COLUMN decision.outcome IS 'acted, or why not.';
COMMENT ON COLUMN decision.reason IS 'The outcome in words.';
COMMENT ON COLUMN decision.not_before IS 'Quiet hours end here; NULL outside of them.';
COMMENT ON COLUMN decision.expires_at IS 'After this a message is of no use and is not sent.';
COMMENT ON COLUMN decision.decided_at IS 'A cooldown counts from here.';
COMMENT ON COLUMN relay_watermark.hop IS
    'activate: events to decisions; dispatch: decisions to deliveries; seal: entries to seals.';
COMMENT ON COLUMN relay_watermark.position IS
    'What transactions before this one wrote is handed on.';
COMMENT ON COLUMN message_template.version IS 'Numbers what the template was, from 1.';
COMMENT ON COLUMN message_template.provider_template_id IS
    'Of the template at the provider, where the channel needs one.';
COMMENT ON COLUMN message_template.data IS 'The texts, by name.';
COMMENT ON COLUMN channel_account.settings IS 'What is not secret, by names of the channel.';
COMMENT ON COLUMN channel_account.credential_names IS 'Which secrets are set.';
COMMENT ON COLUMN channel_account.credentials IS
    'The secrets by AES-256-GCM under data_key; NULL where none are set.';
COMMENT ON COLUMN channel_account.data_key IS 'Wrapped by the key that key_id names.';
COMMENT ON COLUMN channel_account.key_id IS 'A key of LEO_DISPATCH_CREDENTIAL_KEYS.';
COMMENT ON COLUMN channel_account.credential_version IS
    'Numbers the changes of the secrets; the encryption covers it.';
COMMENT ON COLUMN channel_account.concurrent_send_count_max IS
    'How many calls to the provider may be under way at once.';
COMMENT ON COLUMN delivery_log.step IS 'Of a journey; 0 so far.';
COMMENT ON COLUMN delivery_log.choice IS 'The position in the order of fallback, from 0.';
COMMENT ON COLUMN delivery_log.profile_version IS 'What the decision saw of the person.';
COMMENT ON COLUMN delivery_log.recipient_key_id IS 'Of the key of recipient_hash.';
COMMENT ON COLUMN delivery_log.dedupe_key IS
    'SHA-256 of decision, step, choice, channel and recipient_ref: it is made once.';
COMMENT ON COLUMN delivery_log.state IS 'docs/reference/delivery.md draws the machine.';
COMMENT ON COLUMN delivery_log.reason IS 'Why it stands there.';
COMMENT ON COLUMN delivery_log.due_at IS 'It is not tried before this.';
COMMENT ON COLUMN delivery_log.expires_at IS 'It is not tried after this.';
COMMENT ON COLUMN delivery_log.epoch IS
    'The number of its last claim: whoever holds an older one writes nothing.';
COMMENT ON COLUMN delivery_log.attempt_count IS 'How many intents it has.';
COMMENT ON COLUMN delivery_log.lease_until IS 'How long the worker that is sending it may hold it.';
COMMENT ON COLUMN delivery_log.resend_of IS 'The delivery that a person let go out again.';
COMMENT ON COLUMN delivery_attempt.attempt IS 'From 1.';
COMMENT ON COLUMN delivery_attempt.phase IS
    'intent before the call, result after it, late if it came after the lease.';
COMMENT ON COLUMN delivery_attempt.epoch IS 'Of the claim that made it.';
COMMENT ON COLUMN delivery_attempt.kind IS
    'What the answer was: taken, a definite no, a definite no for now, or none.';
COMMENT ON COLUMN delivery_attempt.provider_class IS 'The answer in the words of all channels.';
COMMENT ON COLUMN delivery_attempt.provider_code IS 'The answer in the provider''s words.';
COMMENT ON COLUMN delivery_attempt.reason IS 'Why, in words.';
COMMENT ON COLUMN delivery_attempt.provider_key IS 'By which the provider knows a repeat.';
COMMENT ON COLUMN delivery_attempt.request_hash IS 'Keyed hash of what went out.';
COMMENT ON COLUMN delivery_attempt.template_version IS 'What the template was.';
COMMENT ON COLUMN delivery_receipt.receipt_digest IS
    'SHA-256 of the body and of the place in it: a repeat is known by it.';
COMMENT ON COLUMN delivery_receipt.delivery_id IS 'NULL where it belongs to none.';
COMMENT ON COLUMN delivery_receipt.kind IS 'What became of the message.';
COMMENT ON COLUMN delivery_receipt.occurred_at IS 'When, as the provider says.';
COMMENT ON COLUMN delivery_receipt.received_at IS 'When it came in.';
COMMENT ON COLUMN segment_snapshot.segment_version IS 'What the segment was.';
COMMENT ON COLUMN segment_snapshot.condition IS 'As the segment had it.';
COMMENT ON COLUMN segment_snapshot.member_count IS 'Over all chunks.';
COMMENT ON COLUMN segment_snapshot.taken_at IS 'When the members were looked for.';
COMMENT ON COLUMN segment_snapshot_member.chunk_no IS 'From 0, without a gap.';
COMMENT ON COLUMN segment_snapshot_member.member_count IS '10,000 but in the last chunk.';
COMMENT ON COLUMN segment_snapshot_member.profile_nos IS
    'Rising, within a chunk and from one to the next.';
COMMENT ON COLUMN segment_snapshot_member.profile_versions IS
    'What each of them was, in the same order.';
COMMENT ON COLUMN campaign_launch.rule_version IS 'What the rule said.';

-- migrate:down

COMMENT ON COLUMN tenant.time_zone IS NULL;
COMMENT ON COLUMN tenant.state IS NULL;
COMMENT ON COLUMN audit_entry.kind IS NULL;
COMMENT ON COLUMN audit_entry.actor IS NULL;
COMMENT ON COLUMN audit_entry.call_id IS NULL;
COMMENT ON COLUMN audit_entry.recorded_table IS NULL;
COMMENT ON COLUMN audit_entry.member_count IS NULL;
COMMENT ON COLUMN audit_entry.details IS NULL;
COMMENT ON COLUMN audit_seal.seq IS NULL;
COMMENT ON COLUMN audit_seal.prev IS NULL;
COMMENT ON COLUMN marketing_event.event_id IS NULL;
COMMENT ON COLUMN marketing_event.source IS NULL;
COMMENT ON COLUMN marketing_event.source_event_id IS NULL;
COMMENT ON COLUMN marketing_event.event_type IS NULL;
COMMENT ON COLUMN marketing_event.profile_ext_id IS NULL;
COMMENT ON COLUMN marketing_event.occurred_at IS NULL;
COMMENT ON COLUMN marketing_event.received_at IS NULL;
COMMENT ON COLUMN marketing_event.properties IS NULL;
COMMENT ON COLUMN cdp_profiles.ext_id IS NULL;
COMMENT ON COLUMN cdp_profiles.version IS NULL;
COMMENT ON COLUMN cdp_profiles.state IS NULL;
COMMENT ON COLUMN cdp_profiles.merged_into_ext_id IS NULL;
COMMENT ON COLUMN cdp_profiles.context IS NULL;
COMMENT ON COLUMN cdp_profiles.emails IS NULL;
COMMENT ON COLUMN cdp_profiles.phones IS NULL;
COMMENT ON COLUMN cdp_profiles.push_addresses IS NULL;
COMMENT ON COLUMN cdp_profiles.labels IS NULL;
COMMENT ON COLUMN cdp_profiles.source_segment_ids IS NULL;
COMMENT ON COLUMN cdp_profiles.funnel_stage IS NULL;
COMMENT ON COLUMN cdp_profiles.transaction_value_vnd IS NULL;
COMMENT ON COLUMN cdp_profiles.lifetime_value_vnd IS NULL;
COMMENT ON COLUMN cdp_profiles.churn_score IS NULL;
COMMENT ON COLUMN cdp_profiles.attributes IS NULL;
COMMENT ON COLUMN cdp_profiles.source_updated_at IS NULL;
COMMENT ON COLUMN cdp_profiles.source_revision IS NULL;
COMMENT ON COLUMN cdp_profiles.document_digest IS NULL;
COMMENT ON COLUMN cdp_profile_version.version IS NULL;
COMMENT ON COLUMN cdp_profile_version.document_digest IS NULL;
COMMENT ON COLUMN profile_consent.state IS NULL;
COMMENT ON COLUMN profile_consent.version IS NULL;
COMMENT ON COLUMN profile_consent.evidence IS NULL;
COMMENT ON COLUMN profile_consent.consented_at IS NULL;
COMMENT ON COLUMN profile_consent_version.version IS NULL;
COMMENT ON COLUMN profile_consent_version.state IS NULL;
COMMENT ON COLUMN profile_consent_version.consented_at IS NULL;
COMMENT ON COLUMN profile_consent_version.actor IS NULL;
COMMENT ON COLUMN segment.condition IS NULL;
COMMENT ON COLUMN segment.version IS NULL;
COMMENT ON COLUMN campaign.state IS NULL;
COMMENT ON COLUMN activation_rule.version IS NULL;
COMMENT ON COLUMN activation_rule_version.version IS NULL;
COMMENT ON COLUMN activation_rule_version.document IS NULL;
COMMENT ON COLUMN rule_set.version IS NULL;
COMMENT ON COLUMN decision.trigger_kind IS NULL;
COMMENT ON COLUMN decision.trigger_id IS NULL;
COMMENT ON COLUMN decision.profile_version IS NULL;
COMMENT ON COLUMN decision.ordinal IS NULL;
COMMENT ON COLUMN decision.rule_set_version IS NULL;
COMMENT ON COLUMN decision.rule_version IS NULL;
COMMENT ON COLUMN decision.segment_version IS NULL;
COMMENT ON COLUMN decision.outcome IS NULL;
COMMENT ON COLUMN decision.reason IS NULL;
COMMENT ON COLUMN decision.not_before IS NULL;
COMMENT ON COLUMN decision.expires_at IS NULL;
COMMENT ON COLUMN decision.decided_at IS NULL;
COMMENT ON COLUMN relay_watermark.hop IS NULL;
COMMENT ON COLUMN relay_watermark.position IS NULL;
COMMENT ON COLUMN message_template.version IS NULL;
COMMENT ON COLUMN message_template.provider_template_id IS NULL;
COMMENT ON COLUMN message_template.data IS NULL;
COMMENT ON COLUMN channel_account.settings IS NULL;
COMMENT ON COLUMN channel_account.credential_names IS NULL;
COMMENT ON COLUMN channel_account.credentials IS NULL;
COMMENT ON COLUMN channel_account.data_key IS NULL;
COMMENT ON COLUMN channel_account.key_id IS NULL;
COMMENT ON COLUMN channel_account.credential_version IS NULL;
COMMENT ON COLUMN channel_account.concurrent_send_count_max IS NULL;
COMMENT ON COLUMN delivery_log.step IS NULL;
COMMENT ON COLUMN delivery_log.choice IS NULL;
COMMENT ON COLUMN delivery_log.profile_version IS NULL;
COMMENT ON COLUMN delivery_log.recipient_key_id IS NULL;
COMMENT ON COLUMN delivery_log.dedupe_key IS NULL;
COMMENT ON COLUMN delivery_log.state IS NULL;
COMMENT ON COLUMN delivery_log.reason IS NULL;
COMMENT ON COLUMN delivery_log.due_at IS NULL;
COMMENT ON COLUMN delivery_log.expires_at IS NULL;
COMMENT ON COLUMN delivery_log.epoch IS NULL;
COMMENT ON COLUMN delivery_log.attempt_count IS NULL;
COMMENT ON COLUMN delivery_log.lease_until IS NULL;
COMMENT ON COLUMN delivery_log.resend_of IS NULL;
COMMENT ON COLUMN delivery_attempt.attempt IS NULL;
COMMENT ON COLUMN delivery_attempt.phase IS NULL;
COMMENT ON COLUMN delivery_attempt.epoch IS NULL;
COMMENT ON COLUMN delivery_attempt.kind IS NULL;
COMMENT ON COLUMN delivery_attempt.provider_class IS NULL;
COMMENT ON COLUMN delivery_attempt.provider_code IS NULL;
COMMENT ON COLUMN delivery_attempt.reason IS NULL;
COMMENT ON COLUMN delivery_attempt.provider_key IS NULL;
COMMENT ON COLUMN delivery_attempt.request_hash IS NULL;
COMMENT ON COLUMN delivery_attempt.template_version IS NULL;
COMMENT ON COLUMN delivery_receipt.receipt_digest IS NULL;
COMMENT ON COLUMN delivery_receipt.delivery_id IS NULL;
COMMENT ON COLUMN delivery_receipt.kind IS NULL;
COMMENT ON COLUMN delivery_receipt.occurred_at IS NULL;
COMMENT ON COLUMN delivery_receipt.received_at IS NULL;
COMMENT ON COLUMN segment_snapshot.segment_version IS NULL;
COMMENT ON COLUMN segment_snapshot.condition IS NULL;
COMMENT ON COLUMN segment_snapshot.member_count IS NULL;
COMMENT ON COLUMN segment_snapshot.taken_at IS NULL;
COMMENT ON COLUMN segment_snapshot_member.chunk_no IS NULL;
COMMENT ON COLUMN segment_snapshot_member.member_count IS NULL;
COMMENT ON COLUMN segment_snapshot_member.profile_nos IS NULL;
COMMENT ON COLUMN segment_snapshot_member.profile_versions IS NULL;
COMMENT ON COLUMN campaign_launch.rule_version IS NULL;
DROP TABLE agent_task;
