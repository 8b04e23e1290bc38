-- Stored replies of requests that carried an Idempotency-Key, kept for 24 hours.
create table idempotency_keys (
  scope text not null,
  key text not null,
  fingerprint bytea not null,
  status smallint not null,
  headers jsonb not null,
  body text not null,
  created_at timestamptz(3) not null default now(),
  constraint idempotency_keys_pkey primary key (scope, key)
);

create index idempotency_keys_created_at_idx on idempotency_keys (created_at);

create table api_keys (
  id uuid not null,
  name text not null,
  scopes text[] not null,
  hash bytea not null,
  created_at timestamptz(3) not null,
  expires_at timestamptz(3),
  last_used_at timestamptz(3),
  revoked_at timestamptz(3),
  constraint api_keys_pkey primary key (id)
);

-- A revoked key gives its name free, so that a key can be replaced under the same name.
create unique index api_keys_live_name_key on api_keys (name) where revoked_at is null;
