// node-postgres (pg), with pg-pool, pg-cursor, pg-query-stream and pg-copy-streams.

import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { SESSIONS, check, equal, fails, load, range, run } from "./tap.mjs";

const pg = load("pg");
const Cursor = load("pg-cursor");
const QueryStream = load("pg-query-stream");
const copy = load("pg-copy-streams");

/** Calls `body` with so many connections, and closes them. */
async function connected(body, options = {}) {
  const clients = range(body.length).map(() => new pg.Client(options));
  // Without a listener a lost connection would end the process.
  for (const client of clients) client.on("error", () => {});
  try {
    for (const client of clients) await client.connect();
    return await body(...clients);
  } finally {
    for (const client of clients) await client.end().catch(() => {});
  }
}

async function fresh(client, columns = "id int PRIMARY KEY, word text") {
  await client.query("DROP TABLE IF EXISTS t");
  await client.query(`CREATE TABLE t (${columns})`);
}

const rows = async (client, query, values) => (await client.query({ text: query, values, rowMode: "array" })).rows;
const one = async (client, query, values) => (await rows(client, query, values))[0][0];
const count = async (client) => Number(await one(client, "SELECT count(*) FROM t"));

async function transaction(client, body) {
  await client.query("BEGIN");
  try {
    const value = await body();
    await client.query("COMMIT");
    return value;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

check("connect", async () => {
  const options = { application_name: "a name", options: "-c search_path=pg_catalog,public", statement_timeout: 60_000 };
  await connected(async (client) => {
    equal(await one(client, "SELECT current_user::text"), process.env.PGUSER);
    equal(await one(client, "SHOW application_name"), "a name");
    equal(await one(client, "SHOW search_path"), "pg_catalog,public");
    equal(await one(client, "SHOW statement_timeout"), "1min");
  }, options);
  const wrong = new pg.Client({ password: "wrong" });
  wrong.on("error", () => {});
  await fails("28P01", wrong.connect());
});

check("crud", () => connected(async (client) => {
  await fresh(client, "id serial PRIMARY KEY, word text");
  equal(await rows(client, "INSERT INTO t (word) VALUES ($1) RETURNING id, word", ["één"]), [[1, "één"]]);
  equal(await one(client, "INSERT INTO t (word) VALUES ($1) RETURNING id", [null]), 2);
  equal((await client.query("SELECT * FROM t ORDER BY id")).rows, [{ id: 1, word: "één" }, { id: 2, word: null }]);
  equal((await client.query("UPDATE t SET word = $1 WHERE id = $2", ["two", 2])).rowCount, 1);
  equal(await one(client, "SELECT word FROM t WHERE id = $1", [2]), "two");
  equal((await client.query("DELETE FROM t WHERE id > $1", [0])).rowCount, 2);
  equal(await count(client), 0);
}));

check("transactions", () => connected(async (client, other) => {
  await fresh(client);
  await transaction(client, async () => {
    await client.query("INSERT INTO t VALUES (1, 'kept')");
    equal(await count(client), 1);
    equal(await count(other), 0);
  });
  equal(await count(other), 1);
  await client.query("BEGIN");
  await client.query("INSERT INTO t VALUES ($1, $2)", [2, "gone"]);
  equal((await client.query("ROLLBACK")).command, "ROLLBACK");
  equal(await rows(client, "SELECT * FROM t"), [[1, "kept"]]);
}));

check("savepoints", () => connected(async (client) => {
  await fresh(client);
  await transaction(client, async () => {
    await client.query("INSERT INTO t VALUES (1)");
    await client.query("SAVEPOINT here");
    await client.query("INSERT INTO t VALUES (2)");
    await fails("23505", client.query("INSERT INTO t VALUES ($1)", [1]));
    await client.query("ROLLBACK TO here");
    await client.query("INSERT INTO t VALUES (3)");
  });
  equal(await rows(client, "SELECT id FROM t ORDER BY id"), [[1], [3]]);
}));

check("isolation", () => connected(async (client, other) => {
  await fresh(client);
  for (const [number, level] of ["read committed", "repeatable read", "serializable"].entries()) {
    await client.query(`BEGIN ISOLATION LEVEL ${level}`);
    equal(await one(client, "SHOW transaction_isolation"), level);
    const before = await count(client);
    await other.query("INSERT INTO t VALUES ($1)", [number]);
    equal((await count(client)) - before, level === "read committed" ? 1 : 0);
    await client.query("COMMIT");
  }
  for (const side of [client, other]) {
    await side.query("BEGIN ISOLATION LEVEL SERIALIZABLE");
    await count(side);
  }
  await client.query("INSERT INTO t VALUES (100)");
  await other.query("INSERT INTO t VALUES (101)");
  await client.query("COMMIT");
  await fails("40001", other.query("COMMIT"));
}));

check("read_only", () => connected(async (client) => {
  await fresh(client);
  await client.query("INSERT INTO t VALUES (1, 'a')");
  await client.query("BEGIN READ ONLY");
  equal(await one(client, "SHOW transaction_read_only"), "on");
  equal(await one(client, "SELECT word FROM t WHERE id = $1", [1]), "a");
  await fails("25006", client.query("INSERT INTO t VALUES ($1)", [2]));
  await client.query("ROLLBACK");
  await client.query("SET default_transaction_read_only = on");
  await fails("25006", client.query("INSERT INTO t VALUES ($1)", [2]));
  equal(await count(client), 1);
  await client.query("SET default_transaction_read_only = off");
  equal((await client.query("DELETE FROM t")).rowCount, 1);
}));

check("prepared", () => connected(async (client, other) => {
  await fresh(client);
  for (const round of range(6)) {
    for (const number of range(6)) {
      for (const side of [client, other]) {
        const text = `SELECT ${number} + $1::int + (SELECT count(*)::int FROM t) AS sum`;
        const answer = await side.query({ name: `statement ${number}`, text, values: [round] });
        equal(answer.rows, [{ sum: number + 2 * round }]);
      }
    }
    await transaction(client, async () => {
      const insert = { name: "insert", text: "INSERT INTO t VALUES ($1, $2)", values: [round, "x"] };
      equal((await client.query(insert)).rowCount, 1);
    });
  }
  // The same name for another text is the driver's error, not ours.
  const error = await client.query({ name: "insert", text: "SELECT 1" }).catch((caught) => caught);
  equal(/must be unique/.test(error.message), true);
}));

check("schema", () => connected(async (client) => {
  await fresh(client);
  await client.query("INSERT INTO t VALUES (1, 'a')");
  const select = { name: "all", text: "SELECT * FROM t", rowMode: "array" };
  for (const _ of range(3)) equal((await client.query(select)).rows, [[1, "a"]]);
  await client.query("ALTER TABLE t ADD COLUMN more int DEFAULT 5");
  // Who prepares it now must not meet what others prepared before.
  for (const _ of range(3)) {
    await connected(async (other) => equal((await other.query(select)).rows, [[1, "a", 5]]));
  }
  equal(await rows(client, "SELECT * FROM t"), [[1, "a", 5]]);
}));

check("batch", () => connected(async (client) => {
  await fresh(client);
  // Several statements in one text.
  const results = await client.query("INSERT INTO t VALUES (1, 'a'), (2, 'b'); SELECT word FROM t ORDER BY id; SELECT 5 AS five");
  equal(results.map((result) => result.rows), [[], [{ word: "a" }, { word: "b" }], [{ five: 5 }]]);
  // They are one transaction.
  await fails("23505", client.query("INSERT INTO t VALUES (3); INSERT INTO t VALUES (1)"));
  equal(await count(client), 2);
  const [ids, words] = [range(1000).map((id) => id + 10), range(1000).map((id) => `w${id}`)];
  equal((await client.query("INSERT INTO t SELECT * FROM unnest($1::int[], $2::text[])", [ids, words])).rowCount, 1000);
  equal(await count(client), 1002);
}));

check("pipeline", async () => {
  // Queries queue up in the client; nothing is awaited in between.
  await connected(async (client) => {
    await fresh(client);
    const inserts = range(50).map((id) => client.query("INSERT INTO t VALUES ($1, $2)", [id, `w${id}`]));
    const reads = range(50).map((id) => one(client, "SELECT word FROM t WHERE id = $1", [id]));
    const twice = fails("23505", client.query("INSERT INTO t VALUES ($1)", [1]));
    const after = count(client);
    equal((await Promise.all(inserts)).length, 50);
    equal(await Promise.all(reads), range(50).map((id) => `w${id}`));
    await twice;
    equal(await after, 50);
  });
});

check("copy", () => connected(async (client) => {
  await fresh(client);
  const lines = range(5000).map((id) => `${id}\twörd ${id}\n`);
  await pipeline(Readable.from(lines), client.query(copy.from("COPY t FROM STDIN")));
  equal(await count(client), 5000);
  let out = "";
  const source = client.query(copy.to("COPY (SELECT * FROM t ORDER BY id) TO STDOUT"));
  source.setEncoding("utf8");
  for await (const chunk of source) out += chunk;
  equal(out, lines.join(""));
  await fails("22P02", pipeline(Readable.from(["no number\tx\n"]), client.query(copy.from("COPY t FROM STDIN"))));
  // Given up by the client.
  const sink = client.query(copy.from("COPY t FROM STDIN"));
  sink.on("error", () => {});
  sink.write("9999\tx\n");
  sink.destroy(new Error("given up"));
  equal(await count(client), 5000);
}));

check("cursor", () => connected(async (client) => {
  await fresh(client);
  await client.query("INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g");
  const all = range(1000).map((number) => number + 1);
  for (const _ of range(3)) {
    const cursor = client.query(new Cursor("SELECT id FROM t WHERE id > $1 ORDER BY id", [0]));
    const seen = [];
    for (let part; (part = await cursor.read(90)).length;) seen.push(...part.map((row) => row.id));
    equal(seen, all);
    await cursor.close();
    // Closed half read.
    const half = client.query(new Cursor("SELECT id FROM t ORDER BY id"));
    equal((await half.read(3)).map((row) => row.id), [1, 2, 3]);
    await half.close();
    const streamed = [];
    for await (const row of client.query(new QueryStream("SELECT id FROM t ORDER BY id", [], { batchSize: 64 }))) {
      streamed.push(row.id);
    }
    equal(streamed, all);
    equal(await count(client), 1000);
  }
}));

check("cancel", () => connected(async (client) => {
  await fresh(client);
  for (const begin of ["SELECT 1", "BEGIN; INSERT INTO t VALUES (1)"]) {
    await client.query(begin);
    let running = true;
    const sleeping = fails("57014", client.query("SELECT pg_sleep(60)")).finally(() => (running = false));
    // The query may not have begun at the first.
    while (running) {
      const other = new pg.Connection();
      other.on("error", () => {});
      other.on("connect", () => other.cancel(client.processID, client.secretKey));
      other.connect(Number(process.env.PGPORT), process.env.PGHOST);
      await once(other, "end");
      await Promise.race([sleeping, new Promise((resolve) => setTimeout(resolve, 20))]);
    }
    await sleeping;
    await client.query("ROLLBACK");
    equal(await one(client, "SELECT 1"), 1);
  }
}));

check("errors", async () => {
  await connected(async (client) => {
    await fresh(client);
    await client.query("INSERT INTO t VALUES (1, 'a')");
    const { constraint, table, detail } = await fails("23505", client.query("INSERT INTO t VALUES ($1, 'b')", [1]));
    equal([constraint, table, detail], ["t_pkey", "t", "Key (id)=(1) already exists."]);
    equal((await fails("42601", client.query("SELEC 1"))).position, "1");
    await fails("42P01", client.query("SELECT * FROM missing WHERE id = $1", [1]));
    await fails("22012", client.query({ name: "divide", text: "SELECT 1 / $1::int", values: [0] }));
    equal(await rows(client, "SELECT 6 / $1::int", [3]), [[2]]);
    await client.query("BEGIN");
    await fails("22012", client.query("SELECT 1 / 0"));
    await fails("25P02", client.query("SELECT 1"));
    equal((await client.query("COMMIT")).command, "ROLLBACK");
    equal(await count(client), 1);
    const heard = new Promise((resolve) => client.once("notice", resolve));
    await client.query("DO $$ BEGIN RAISE WARNING 'mind %', 1; END $$");
    equal((await heard).message, "mind 1");
    const lost = await client.query("SELECT pg_terminate_backend(pg_backend_pid())").catch((error) => error);
    equal(lost instanceof Error, true);
  });
  await connected(async (client) => equal(await count(client), 1));
});

check("types", () => connected(async (client) => {
  const values = {
    int2: [-32768, 32767], int4: [-(2 ** 31), 2 ** 31 - 1], int8: ["-9223372036854775808"],
    float8: [0.1, 1e300, -Infinity], numeric: ["12345678901234567890.123456789"], bool: [true, false],
    text: ["", "'\"\\ é 日本 \u{1f409}\n", "x".repeat(1_000_000)],
    bytea: [Buffer.from(range(256)), Buffer.alloc(0)], timestamptz: [new Date(1767323045006)],
    uuid: ["12345678-1234-5678-1234-567812345678"], jsonb: [{ a: [1, null, "é"] }],
    inet: ["::1", "10.0.0.0/8"], "int4[]": [[1, null, 3], [[1, 2], [3, 4]], []],
    "text[]": [["a,b", 'q"', "NULL", null]],
  };
  for (const [name, samples] of Object.entries(values)) {
    for (const sample of [...samples, null]) {
      equal([name, await one(client, `SELECT $1::${name}`, [sample])], [name, sample]);
      const named = { name: `type ${name}`, text: `SELECT $1::${name} AS value`, values: [sample] };
      equal((await client.query(named)).rows[0].value, sample);
    }
  }
}));

check("settings", () => connected(async (client, other) => {
  await fresh(client);
  await client.query("CREATE SCHEMA IF NOT EXISTS apart; CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id");
  await client.query("SET search_path = apart, public");
  await client.query("SET TimeZone = 'Asia/Tokyo'");
  await client.query("SELECT set_config('app.tenant', $1, false)", ["one"]);
  await other.query("SET TimeZone = 'America/New_York'");
  const noon = "SELECT '2026-01-01 12:00Z'::timestamptz::text";
  for (const _ of range(5)) {
    equal([await count(client), await count(other)], [1, 0]);
    equal(await one(client, noon), "2026-01-01 21:00:00+09");
    equal(await one(other, noon), "2026-01-01 07:00:00-05");
    equal(await one(client, "SELECT current_setting('app.tenant')"), "one");
    equal(await one(other, "SELECT coalesce(current_setting('app.tenant', true), '')"), "");
  }
  await client.query("BEGIN");
  await client.query("SET TimeZone = 'UTC'");
  await client.query("ROLLBACK");
  equal(await one(client, "SHOW TimeZone"), "Asia/Tokyo");
  await transaction(client, async () => {
    await client.query("SET LOCAL statement_timeout = '1h'");
    await client.query("SET TimeZone = 'Europe/Paris'");
    equal(await one(client, "SHOW statement_timeout"), "1h");
  });
  equal(await one(client, "SHOW statement_timeout"), "0");
  equal(await one(client, "SHOW TimeZone"), "Europe/Paris");
  await client.query("SET statement_timeout = '50ms'");
  await fails("57014", client.query("SELECT pg_sleep(60)"));
  await client.query("DISCARD ALL");
  equal(await one(client, "SHOW statement_timeout"), "0");
  equal(await count(client), 0);
}));

check("temporary", () => connected(async (client, other) => {
  await client.query("CREATE TEMP TABLE mine (id int)");
  for (const number of range(5)) {
    await client.query("INSERT INTO mine VALUES ($1)", [number]);
    equal(await one(client, "SELECT count(*)::int FROM mine"), number + 1);
    await fails("42P01", other.query("SELECT * FROM mine"));
  }
}));

check("locks", () => connected(async (client, other) => {
  await client.query("SELECT pg_advisory_lock(42)");
  for (const _ of range(3)) {
    equal(await one(other, "SELECT pg_try_advisory_lock($1)", [42]), false);
    equal(await one(client, "SELECT 1"), 1);
  }
  equal(await one(client, "SELECT pg_advisory_unlock(42)"), true);
  equal(await one(other, "SELECT pg_try_advisory_lock($1)", [42]), true);
}));

check("notify", () => connected(async (client, other) => {
  const heard = [];
  const both = new Promise((resolve) => client.on("notification", (note) => heard.push(note.payload) === 2 && resolve()));
  await client.query("LISTEN news");
  await other.query("NOTIFY news, 'first'");
  await other.query("SELECT pg_notify('news', $1)", ["second"]);
  await both;
  equal(heard, ["first", "second"]);
  await client.query("UNLISTEN *");
  equal(await one(client, "SELECT 1"), 1);
}));

check("pool", async () => {
  const pool = new pg.Pool({ max: 8 });
  await fresh(pool);
  await Promise.all(range(40).map(async (id) => {
    const client = await pool.connect();
    await transaction(client, () => client.query("INSERT INTO t VALUES ($1, 'kept')", [id]));
    equal(await one(client, "SELECT word FROM t WHERE id = $1", [id]), "kept");
    client.release();
    equal((await pool.query("UPDATE t SET word = 'changed' WHERE id = $1", [id])).rowCount, 1);
    equal(await one(pool, "SELECT word FROM t WHERE id = $1", [id]), "changed");
  }));
  equal(await count(pool), 40);
  await pool.end();
});

check("sessions", async () => {
  await connected((client) => fresh(client));
  await Promise.all(range(SESSIONS).map((number) => connected(async (client) => {
    const named = async (text, ...values) => (await client.query({ name: text, text, values, rowMode: "array" })).rows[0][0];
    for (const round of range(4)) {
      const key = number * 10 + round;
      await transaction(client, async () => {
        equal(await named("INSERT INTO t VALUES ($1, $2) RETURNING id", key, `${key}`), key);
        equal(await named("SELECT word FROM t WHERE id = $1", key), `${key}`);
      });
      equal(await named("SELECT word FROM t WHERE id = $1", key), `${key}`);
      const between = "SELECT count(*)::int FROM t WHERE id BETWEEN $1 AND $2";
      equal(await named(between, number * 10, number * 10 + 9), round + 1);
    }
  })));
  await connected(async (client) => equal(await count(client), SESSIONS * 4));
});


await run("pg", "pg-cursor", "pg-query-stream", "pg-copy-streams");
