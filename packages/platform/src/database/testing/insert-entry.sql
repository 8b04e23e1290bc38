insert into entries (name) values ('file');
