-- migrate:up

-- Of a tenant that came since the last look statistics say that it has nothing, and any index is then
-- as good as the right one. Without them each tenant is taken for one of two hundred, so that plans are
-- the same for all (docs/decisions/0015).
ALTER TABLE audit_entry ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE audit_seal ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE marketing_event ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE cdp_profiles ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE cdp_profile_version ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE profile_consent ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE profile_consent_version ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE segment ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE campaign ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE activation_rule ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE activation_rule_version ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE rule_set ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE decision ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE relay_watermark ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE message_template ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE channel_account ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE delivery_log ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE delivery_attempt ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE delivery_receipt ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE segment_snapshot ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE campaign_launch ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE segment_snapshot_member ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE agent_task ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE suppression ALTER COLUMN tenant_id SET STATISTICS 0;

-- migrate:down

ALTER TABLE audit_entry ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE audit_seal ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE marketing_event ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE cdp_profiles ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE cdp_profile_version ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE profile_consent ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE profile_consent_version ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE segment ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE campaign ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE activation_rule ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE activation_rule_version ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE rule_set ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE decision ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE relay_watermark ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE message_template ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE channel_account ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE delivery_log ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE delivery_attempt ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE delivery_receipt ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE segment_snapshot ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE campaign_launch ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE segment_snapshot_member ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE agent_task ALTER COLUMN tenant_id SET STATISTICS -1;
ALTER TABLE suppression ALTER COLUMN tenant_id SET STATISTICS -1;
