create table users (
  id uuid not null,
  created_at timestamptz(3) not null,
  constraint users_pkey primary key (id)
);

-- A person may come with several tokens: (issuer, subject) is what a token proves, and the only
-- thing that ever maps to a user. An e-mail address in a token never does.
create table identities (
  issuer text not null,
  subject text not null,
  user_id uuid not null,
  created_at timestamptz(3) not null,
  constraint identities_pkey primary key (issuer, subject),
  constraint identities_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);

create index identities_user_id_idx on identities (user_id);
