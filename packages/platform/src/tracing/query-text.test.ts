import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createQueryDescriber } from './query-text.ts'

test('a query shows parameters and no literal', () => {
  const table = [
    ['select id from orders where id = $1', 'select id from orders where id = $1'],
    ['select\n  a,\n  b\nfrom t1 limit $12', 'select a, b from t1 limit $12'],
    [`select 'it''s s3cr3t', a`, 'select ?, a'],
    [String.raw`select E'a\'s3cr3t', a`, 'select ?, a'],
    ['select $$s3cr3t$$, $tag$s3$$cr3t$tag$, $1', 'select ?, ?, $1'],
    ['select 4915112345678, 1.5, 0xff, t1.c2', 'select ?, ?, ?, t1.c2'],
    [`select "it's", 's3cr3t' as "b"`, `select "it's", ? as "b"`],
    [`select 1 -- don't s3cr3t\n, 's3cr3t'`, 'select ? , ?'],
    [`select /* don't s3cr3t */ 's3cr3t'`, 'select ?'],
    [`select 'never closed s3cr3t`, 'select ?'],
    ['select $$never closed s3cr3t', 'select ?'],
    ['select /* never closed s3cr3t', 'select'],
    [`select '${'s3cr3t'.repeat(2000)}'`, 'select ?'],
  ] as const
  const describe = createQueryDescriber()
  for (const [text, shown] of table) {
    assert.equal(describe(text).text, shown)
    assert.equal(describe(text).text, shown, 'the second time')
  }
})

test('a query is named by what it does to which table', () => {
  const table = [
    ['select id from orders where id = $1', 'SELECT orders'],
    ['insert into public.orders (id) values ($1)', 'INSERT public.orders'],
    ['update only users set a = $1', 'UPDATE users'],
    ['delete from "users" where id = $1', 'DELETE users'],
    ['with due as (select 1 from tasks) select 1', 'WITH tasks'],
    ['select 1', 'SELECT'],
    ['', 'postgresql'],
    ['(select 1)', 'postgresql'],
  ] as const
  const describe = createQueryDescriber()
  for (const [text, summary] of table) assert.equal(describe(text).summary, summary, text)
})

test('a long run of quotes takes no long time', () => {
  const describe = createQueryDescriber()
  for (const piece of [`'`, '"', '$$', '$a$', '/*', `E'\\`, '--', '1'])
    assert.ok(describe(piece.repeat(5000)).text.length <= 5000)
})
