// postgres.js: pipelines by itself, prepares everything, and brings its own pool.

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { SESSIONS, check, equal, fails, load, range, run } from "./tap.mjs";

const postgres = load("postgres");
const env = process.env;

// The environment says where.
const open = (options = {}) =>
  postgres({ host: env.PGHOST, port: Number(env.PGPORT), max: 1, onnotice: () => {}, ...options });

/** Calls `body` with so many connections (pools of one), and closes them. */
async function connected(body, options) {
  const all = range(body.length).map(() => open(options));
  try {
    return await body(...all);
  } finally {
    await Promise.all(all.map((sql) => sql.end({ timeout: 1 })));
  }
}

const fresh = (sql) => sql`DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, word text)`.simple();
const one = async (query) => Object.values((await query)[0])[0];
const plain = async (query) => (await query).map((row) => Object.values(row));
// The driver's arrays know more than plain ones.
const bare = (value) => (Array.isArray(value) ? Array.from(value, bare) : value);
const count = (sql) => one(sql`SELECT count(*)::int FROM t`);

check("connect", async () => {
  await connected(async (sql) => {
    equal(await one(sql`SELECT current_user::text`), env.PGUSER);
    equal(await one(sql`SHOW application_name`), "a name");
    equal(await one(sql`SHOW search_path`), "pg_catalog, public");
    equal(sql.parameters.application_name, "a name");
  }, { connection: { application_name: "a name", search_path: "pg_catalog, public" } });
  await connected((sql) => fails("28P01", sql`SELECT 1`), { password: "wrong" });
});

check("crud", () => connected(async (sql) => {
  await sql`DROP TABLE IF EXISTS t; CREATE TABLE t (id serial PRIMARY KEY, word text)`.simple();
  equal(await plain(sql`INSERT INTO t ${sql([{ word: "één" }, { word: null }])} RETURNING id, word`), [[1, "één"], [2, null]]);
  equal(await plain(sql`SELECT * FROM t WHERE id IN ${sql([1, 2])} ORDER BY id`), [[1, "één"], [2, null]]);
  equal((await sql`UPDATE t SET ${sql({ word: "two" })} WHERE id = ${2}`).count, 1);
  equal(await one(sql`SELECT ${sql("word")} FROM t WHERE id = ${2}`), "two");
  equal((await sql`DELETE FROM t WHERE id > ${0}`).count, 2);
  equal(await count(sql), 0);
}));

check("transactions", () => connected(async (sql, other) => {
  await fresh(sql);
  const answer = await sql.begin(async (sql) => {
    await sql`INSERT INTO t VALUES (1, 'kept')`;
    equal([await count(sql), await count(other)], [1, 0]);
    return "done";
  });
  equal(answer, "done");
  equal(await count(other), 1);
  const gone = new Error("gone");
  const thrown = await sql.begin(async (sql) => {
    await sql`INSERT INTO t VALUES (2, 'gone')`;
    throw gone;
  }).catch((error) => error);
  equal(thrown, gone);
  // All at once: BEGIN, three statements and COMMIT.
  equal((await sql.begin((sql) => range(3).map((id) => sql`INSERT INTO t VALUES (${id + 10})`))).length, 3);
  equal(await plain(sql`SELECT id FROM t ORDER BY id`), [[1], [10], [11], [12]]);
}));

check("savepoints", () => connected(async (sql) => {
  await fresh(sql);
  await sql.begin(async (sql) => {
    await sql`INSERT INTO t VALUES (1)`;
    await fails("23505", sql.savepoint(async (sql) => {
      await sql`INSERT INTO t VALUES (2)`;
      await sql`INSERT INTO t VALUES (${1})`;
    }));
    await sql.savepoint((sql) => sql`INSERT INTO t VALUES (3)`);
  });
  equal(await plain(sql`SELECT id FROM t ORDER BY id`), [[1], [3]]);
}));

check("isolation", () => connected(async (sql, other) => {
  await fresh(sql);
  for (const [number, level] of ["read committed", "repeatable read", "serializable"].entries()) {
    await sql.begin(`isolation level ${level}`, async (sql) => {
      equal(await one(sql`SHOW transaction_isolation`), level);
      const before = await count(sql);
      await other`INSERT INTO t VALUES (${number})`;
      equal((await count(sql)) - before, level === "read committed" ? 1 : 0);
    });
  }
  await fails("40001", sql.begin("isolation level serializable", async (sql) => {
    await count(sql);
    await other.begin("isolation level serializable", async (other) => {
      await count(other);
      await sql`INSERT INTO t VALUES (101)`;
      await other`INSERT INTO t VALUES (100)`;
    });
  }));
}));

check("read_only", () => connected(async (sql) => {
  await fresh(sql);
  await sql`INSERT INTO t VALUES (1, 'a')`;
  for (const _ of range(3)) {
    await sql.begin("read only", async (sql) => {
      equal(await one(sql`SHOW transaction_read_only`), "on");
      equal(await one(sql`SELECT word FROM t WHERE id = ${1}`), "a");
    });
  }
  await fails("25006", sql.begin("read only", (sql) => sql`INSERT INTO t VALUES (2)`));
  await connected(async (sql) => {
    equal(await count(sql), 1);
    await fails("25006", sql`INSERT INTO t VALUES (2)`);
  }, { connection: { default_transaction_read_only: true } });
  equal((await sql`DELETE FROM t`).count, 1);
}));

check("prepared", () => connected(async (sql, other) => {
  await fresh(sql);
  for (const round of range(6)) {
    for (const number of range(6)) {
      for (const side of [sql, other]) {
        const text = `SELECT ${number} + $1::int + (SELECT count(*)::int FROM t)`;
        equal(await one(side.unsafe(text, [round], { prepare: true })), number + 2 * round);
      }
    }
    await sql.begin((sql) => sql`INSERT INTO t VALUES (${round}, ${"x"})`);
  }
  await connected(async (sql) => {
    for (const round of range(6)) equal(await one(sql`SELECT ${round}::int + 1`), round + 1);
  }, { prepare: false });
}));

check("schema", () => connected(async (sql) => {
  await fresh(sql);
  await sql`INSERT INTO t VALUES (1, 'a')`;
  for (const _ of range(3)) equal(await plain(sql`SELECT * FROM t`), [[1, "a"]]);
  await sql`ALTER TABLE t ADD COLUMN more int DEFAULT 5`;
  // The driver prepares anew by itself when told that the result has changed.
  for (const _ of range(3)) equal(await plain(sql`SELECT * FROM t`), [[1, "a", 5]]);
  for (const _ of range(3)) {
    await connected(async (other) => equal(await plain(other`SELECT * FROM t`), [[1, "a", 5]]));
  }
}));

check("batch", () => connected(async (sql) => {
  await fresh(sql);
  const many = range(1000).map((id) => ({ id, word: `w${id}` }));
  equal((await sql`INSERT INTO t ${sql(many)}`).count, 1000);
  const results = await sql`DELETE FROM t WHERE id > 10; SELECT count(*)::int FROM t; SELECT 5 AS five`.simple();
  equal(results.map((rows) => [...rows].map(Object.values)), [[], [[11]], [[5]]]);
  await fails("23505", sql`INSERT INTO t VALUES (20); INSERT INTO t VALUES (1)`.simple());
  equal(await count(sql), 11);
}));

check("pipeline", () => connected(async (sql) => {
  await fresh(sql);
  // One connection, nothing is awaited in between: the driver sends ahead.
  const inserts = range(100).map((id) => sql`INSERT INTO t VALUES (${id}, ${`w${id}`})`.execute());
  const reads = range(100).map((id) => one(sql`SELECT word FROM t WHERE id = ${id}`.execute()));
  const twice = fails("23505", sql`INSERT INTO t VALUES (${1})`.execute());
  const after = count(sql);
  equal((await Promise.all(inserts)).map((result) => result.count), range(100).fill(1));
  equal(await Promise.all(reads), range(100).map((id) => `w${id}`));
  await twice;
  equal(await after, 100);
  // Reads and writes, sent ahead in turns.
  const mixed = range(100).map((id) =>
    id % 2 ? one(sql`SELECT count(*)::int FROM t`.execute()) : sql`INSERT INTO t VALUES (${1000 + id})`.execute().then((result) => result.count));
  equal(await Promise.all(mixed), range(100).map((id) => (id % 2 ? 101 + (id - 1) / 2 : 1)));
}));

check("copy", () => connected(async (sql) => {
  await fresh(sql);
  // The driver hangs by itself when it has to wait for who reads.
  const lines = range(900).map((id) => `${id}\twörd ${id}\n`);
  await pipeline(Readable.from(lines), await sql`COPY t FROM STDIN`.writable());
  equal(await count(sql), 900);
  const chunks = [];
  for await (const chunk of await sql`COPY (SELECT * FROM t ORDER BY id) TO STDOUT`.readable()) chunks.push(chunk);
  equal(Buffer.concat(chunks).toString(), lines.join(""));
  // The driver does not tell errors of later than this.
  await fails("42P01", sql`COPY missing FROM STDIN`.writable());
  equal(await count(sql), 900);
}));

check("cursor", () => connected(async (sql) => {
  await fresh(sql);
  await sql`INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g`;
  const all = range(1000).map((number) => number + 1);
  for (const _ of range(3)) {
    const seen = [];
    for await (const part of sql`SELECT id FROM t ORDER BY id`.cursor(90)) seen.push(...part.map((row) => row.id));
    equal(seen, all);
    // Left half read.
    for await (const [row] of sql`SELECT id FROM t ORDER BY id`.cursor()) if (row.id === 3) break;
    const told = [];
    await sql`SELECT id FROM t ORDER BY id`.forEach((row) => told.push(row.id));
    equal(told, all);
    equal(await count(sql), 1000);
  }
}));

check("cancel", () => connected(async (sql) => {
  await fresh(sql);
  const cancelled = async (sql) => {
    const query = sql`SELECT pg_sleep(60)`.execute();
    const { canceller } = query;
    let running = true;
    const ended = fails("57014", query).finally(() => (running = false));
    // The query may not have begun at the first.
    while (running) {
      if (query.active) canceller(query).catch(() => {});
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 100))]);
    }
    return ended;
  };
  await cancelled(sql);
  equal(await one(sql`SELECT 1`), 1);
  const thrown = await sql.begin(async (sql) => {
    await sql`INSERT INTO t VALUES (1)`;
    throw await cancelled(sql);
  }).catch((error) => error);
  equal(thrown.code, "57014");
  equal(await count(sql), 0);
}));

check("errors", async () => {
  const heard = [];
  await connected(async (sql) => {
    await fresh(sql);
    await sql`INSERT INTO t VALUES (1, 'a')`;
    const { constraint_name, table_name, detail } = await fails("23505", sql`INSERT INTO t VALUES (${1}, 'b')`);
    equal([constraint_name, table_name, detail], ["t_pkey", "t", "Key (id)=(1) already exists."]);
    equal((await fails("42601", sql`SELEC 1`)).position, "1");
    await fails("42P01", sql`SELECT * FROM missing WHERE id = ${1}`);
    for (const _ of range(3)) {
      await fails("22012", sql`SELECT 1 / ${0}::int`);
      equal(await one(sql`SELECT 6 / ${3}::int`), 2);
    }
    await sql.begin(async (sql) => {
      await fails("22012", sql`SELECT 1 / 0`);
      await fails("25P02", sql`SELECT 1`);
    }).catch(() => {});
    equal(await count(sql), 1);
    heard.length = 0;
    await sql`DO $$ BEGIN RAISE WARNING 'mind %', 1; END $$`;
    equal(heard, ["mind 1"]);
    const lost = await sql`SELECT pg_terminate_backend(pg_backend_pid())`.catch((error) => error);
    equal(lost instanceof Error, true);
  }, { onnotice: (notice) => heard.push(notice.message) });
  await connected(async (sql) => equal(await count(sql), 1));
});

check("types", () => connected(async (sql) => {
  const values = {
    int2: [-32768, 32767], int4: [-(2 ** 31), 2 ** 31 - 1], int8: ["-9223372036854775808"],
    float8: [0.1, 1e300, -Infinity], numeric: ["12345678901234567890.123456789"], bool: [true, false],
    text: ["", "'\"\\ é 日本 \u{1f409}\n", "x".repeat(1_000_000)],
    bytea: [Buffer.from(range(256)), Buffer.alloc(0)], timestamptz: [new Date(1767323045006)],
    uuid: ["12345678-1234-5678-1234-567812345678"], jsonb: [{ a: [1, null, "é"] }],
    inet: ["::1", "10.0.0.0/8"], "int4[]": [[1, 2, 3], [[1, 2], [3, 4]], []],
    "text[]": [["a,b", 'q"', "NULL"]],
  };
  for (const [name, samples] of Object.entries(values)) {
    for (const sample of [...samples, null]) {
      const got = await one(sql.unsafe(`SELECT $1::${name}`, [sample], { prepare: true }));
      equal([name, bare(got)], [name, sample]);
    }
  }
}));

check("settings", () => connected(async (sql, other) => {
  await fresh(sql);
  await sql`CREATE SCHEMA IF NOT EXISTS apart; CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id`.simple();
  await sql`SET search_path = apart, public`;
  await sql`SET TimeZone = 'Asia/Tokyo'`;
  await sql`SELECT set_config('app.tenant', ${"one"}, false)`;
  await other`SET TimeZone = 'America/New_York'`;
  const noon = (sql) => one(sql`SELECT '2026-01-01 12:00Z'::timestamptz::text`);
  for (const _ of range(5)) {
    equal([await count(sql), await count(other)], [1, 0]);
    equal([await noon(sql), await noon(other)], ["2026-01-01 21:00:00+09", "2026-01-01 07:00:00-05"]);
    equal(await one(sql`SELECT current_setting('app.tenant')`), "one");
    equal(await one(other`SELECT coalesce(current_setting('app.tenant', true), '')`), "");
  }
  equal(sql.parameters.TimeZone, "Asia/Tokyo");
  await sql.begin(async (sql) => {
    await sql`SET TimeZone = 'UTC'`;
    throw new Error("gone");
  }).catch(() => {});
  equal(await one(sql`SHOW TimeZone`), "Asia/Tokyo");
  await sql.begin(async (sql) => {
    await sql`SET LOCAL statement_timeout = '1h'`;
    await sql`SET TimeZone = 'Europe/Paris'`;
    equal(await one(sql`SHOW statement_timeout`), "1h");
  });
  equal([await one(sql`SHOW statement_timeout`), await one(sql`SHOW TimeZone`)], ["0", "Europe/Paris"]);
  await sql`SET statement_timeout = '50ms'`;
  await fails("57014", sql`SELECT pg_sleep(60)`);
  await sql`RESET ALL`;
  equal(await one(sql`SHOW statement_timeout`), "0");
  equal(await count(sql), 0);
}));

check("temporary", () => connected(async (sql, other) => {
  await sql`CREATE TEMP TABLE mine (id int)`;
  for (const number of range(5)) {
    await sql`INSERT INTO mine VALUES (${number})`;
    equal(await one(sql`SELECT count(*)::int FROM mine`), number + 1);
    await fails("42P01", other`SELECT * FROM mine`);
  }
}));

check("locks", () => connected(async (sql, other) => {
  await sql`SELECT pg_advisory_lock(42)`;
  for (const _ of range(3)) {
    equal(await one(other`SELECT pg_try_advisory_lock(${42})`), false);
    equal(await one(sql`SELECT 1`), 1);
  }
  equal(await one(sql`SELECT pg_advisory_unlock(42)`), true);
  equal(await one(other`SELECT pg_try_advisory_lock(${42})`), true);
}));

check("notify", () => connected(async (sql, other) => {
  const heard = [];
  let done;
  const both = new Promise((resolve) => (done = resolve));
  const { unlisten } = await sql.listen("news", (payload) => heard.push(payload) === 2 && done());
  await other.notify("news", "first");
  await other`SELECT pg_notify('news', ${"second"})`;
  await both;
  equal(heard, ["first", "second"]);
  await unlisten();
  equal(await one(sql`SELECT 1`), 1);
}));

check("pool", async () => {
  const sql = open({ max: 8, idle_timeout: 1 });
  await fresh(sql);
  await Promise.all(range(40).map(async (id) => {
    await sql.begin((sql) => sql`INSERT INTO t VALUES (${id}, 'kept')`);
    equal(await one(sql`SELECT word FROM t WHERE id = ${id}`), "kept");
    const reserved = await sql.reserve();
    equal((await reserved`UPDATE t SET word = 'changed' WHERE id = ${id}`).count, 1);
    equal(await one(reserved`SELECT word FROM t WHERE id = ${id}`), "changed");
    reserved.release();
  }));
  equal(await count(sql), 40);
  await sql.end();
});

check("sessions", async () => {
  await connected((sql) => fresh(sql));
  await Promise.all(range(SESSIONS).map((number) => connected(async (sql) => {
    for (const round of range(4)) {
      const key = number * 10 + round;
      await sql.begin(async (sql) => {
        equal(await one(sql`INSERT INTO t VALUES (${key}, ${`${key}`}) RETURNING id`), key);
        equal(await one(sql`SELECT word FROM t WHERE id = ${key}`), `${key}`);
      });
      equal(await one(sql`SELECT word FROM t WHERE id = ${key}`), `${key}`);
      const [low, high] = [number * 10, number * 10 + 9];
      equal(await one(sql`SELECT count(*)::int FROM t WHERE id BETWEEN ${low} AND ${high}`), round + 1);
    }
  }, { fetch_types: number % 2 === 0 })));
  await connected(async (sql) => equal(await count(sql), SESSIONS * 4));
});

await run("postgres");
