create table orders (
  id uuid not null,
  user_id uuid not null,
  item text not null,
  total numeric(12, 2) not null,
  created_at timestamptz(3) not null,
  constraint orders_pkey primary key (id),
  constraint orders_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
  constraint orders_item_check check (char_length(item) between 1 and 200),
  constraint orders_total_check check (total >= 0)
);

create index orders_user_id_created_at_idx on orders (user_id, created_at desc, id desc);
