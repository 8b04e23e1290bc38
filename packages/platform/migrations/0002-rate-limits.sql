-- Counts of the limits that hold across nodes without Redis. Unlogged: a count is worth no write-ahead
-- log, and an empty table after a crash gives everybody one fresh window, nothing worse.
create unlogged table rate_limits (
  key text constraint rate_limits_pkey primary key,
  window_ends_at timestamptz not null,
  hits integer not null constraint rate_limits_hits_not_negative check (hits >= 0),
  -- Whether the latest take was counted: the upsert's only way to tell its caller.
  allowed boolean not null
)
-- Room on the page for the next version of a row, so that counting touches no index.
with (fillfactor = 50);

create index rate_limits_window_ends_at_idx on rate_limits (window_ends_at);
