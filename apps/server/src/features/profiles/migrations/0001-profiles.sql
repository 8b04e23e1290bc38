create table profiles (
  user_id uuid not null,
  display_name text,
  locale text,
  time_zone text,
  updated_at timestamptz(3) not null,
  constraint profiles_pkey primary key (user_id),
  constraint profiles_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
  constraint profiles_display_name_check check (char_length(display_name) between 1 and 100)
);
