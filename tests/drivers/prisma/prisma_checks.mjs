// Prisma by its driver adapter (node-postgres below it); the query compiler is WebAssembly from npm.

import { SESSIONS, check, equal, load, range, run, skip } from "../node/tap.mjs";

const { PrismaClient } = load("./generated");
const { PrismaPg } = load("@prisma/adapter-pg");
const env = process.env;

/** A client with so many connections at most. */
function open(max = 2, more = {}) {
  const connection = { host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, password: env.PGPASSWORD, database: env.PGDATABASE };
  return new PrismaClient({ adapter: new PrismaPg({ ...connection, max, ...more }), transactionOptions: { maxWait: 15_000, timeout: 15_000 } });
}

const prisma = open();
const other = open();

async function fresh() {
  await prisma.$executeRawUnsafe("DROP TABLE IF EXISTS t, authors CASCADE");
  await prisma.$executeRawUnsafe("CREATE TABLE authors (id serial PRIMARY KEY, name text UNIQUE NOT NULL)");
  await prisma.$executeRawUnsafe("CREATE TABLE t (id int PRIMARY KEY, word text, author_id int REFERENCES authors)");
}

/** The error that `promise` must be rejected with, by Prisma's code. */
async function fails(code, promise) {
  const error = await promise.then(() => null, (caught) => caught);
  if (error?.code !== code) throw new Error(`got ${error?.code} ${error?.message}, expected ${code}`, { cause: error });
  return error;
}

/** The error of a raw query, by SQLSTATE. */
async function refused(state, promise) {
  const error = await fails("P2010", promise);
  equal(JSON.stringify(error.meta).includes(state), true);
}

const create = (client, id, word = `w${id}`) => client.word.create({ data: { id, word } });
const setting = async (client, name) => (await client.$queryRaw`SELECT current_setting(${name}) AS value`)[0].value;

check("connect", async () => {
  await prisma.$connect();
  equal(await prisma.$queryRaw`SELECT current_user::text AS who`, [{ who: env.PGUSER }]);
  const named = open(1, { application_name: "a name" });
  equal(await setting(named, "application_name"), "a name");
  await named.$disconnect();
  const wrong = open(1, { password: "wrong" });
  await refused("28P01", wrong.$queryRaw`SELECT 1`);
});

check("crud", async () => {
  await fresh();
  await prisma.author.create({ data: { name: "één", words: { create: range(5).map((id) => ({ id, word: `w${id}` })) } } });
  equal(await prisma.author.findMany({ include: { _count: { select: { words: true } } } }), [{ id: 1, name: "één", _count: { words: 5 } }]);
  equal((await prisma.word.update({ where: { id: 1 }, data: { word: null } })).word, null);
  equal(await prisma.word.findMany({ where: { author: { name: "één" }, word: { not: null } }, orderBy: { id: "desc" }, take: 2, select: { id: true } }), [{ id: 4 }, { id: 3 }]);
  equal((await prisma.word.upsert({ where: { id: 9 }, create: { id: 9 }, update: {} })).id, 9);
  equal((await prisma.word.upsert({ where: { id: 9 }, create: { id: 9 }, update: { word: "again" } })).word, "again");
  equal(await prisma.word.groupBy({ by: ["authorId"], _count: true, orderBy: { authorId: "asc" } }), [{ authorId: 1, _count: 5 }, { authorId: null, _count: 1 }]);
  equal((await prisma.word.deleteMany({})).count, 6);
  equal(await prisma.word.count(), 0);
});

check("transactions", async () => {
  await fresh();
  await prisma.$transaction(async (tx) => {
    await create(tx, 1);
    equal([await tx.word.count(), await other.word.count()], [1, 0]);
  });
  equal(await other.word.count(), 1);
  const gone = new Error("gone");
  const thrown = await prisma.$transaction(async (tx) => {
    await create(tx, 2);
    throw gone;
  }).catch((error) => error);
  equal(thrown, gone);
  equal(await prisma.word.findMany({ select: { id: true } }), [{ id: 1 }]);
});

skip("savepoints", "tried in `errors`: Prisma nests nothing by itself");

check("isolation", async () => {
  await fresh();
  for (const [id, isolationLevel] of ["ReadCommitted", "RepeatableRead", "Serializable"].entries()) {
    await prisma.$transaction(async (tx) => {
      equal((await setting(tx, "transaction_isolation")).replaceAll(" ", ""), isolationLevel.toLowerCase());
      const before = await tx.word.count();
      await create(other, id);
      equal((await tx.word.count()) - before, isolationLevel === "ReadCommitted" ? 1 : 0);
    }, { isolationLevel });
  }
  await fails("P2034", prisma.$transaction(async (tx) => {
    await tx.word.count();
    await other.$transaction(async (tx) => {
      await tx.word.count();
      await create(tx, 100);
    }, { isolationLevel: "Serializable" });
    await create(tx, 101);
  }, { isolationLevel: "Serializable" }));
});

check("read_only", async () => {
  await fresh();
  await create(prisma, 1);
  const reader = open(1, { options: "-c default_transaction_read_only=on" });
  equal(await reader.word.count(), 1);
  const error = await create(reader, 2).then(() => null, (caught) => caught);
  equal(/read-only transaction/.test(error?.message), true);
  await reader.$disconnect();
});

check("prepared", async () => {
  await fresh();
  const clients = [open(), other];
  for (const round of range(6)) {
    for (const client of clients) {
      for (const number of range(4)) {
        const rows = await client.$queryRawUnsafe(`SELECT ${number} + $1::int + (SELECT count(*)::int FROM t) AS sum`, round);
        equal(rows, [{ sum: number + 2 * round }]);
      }
    }
    await prisma.$transaction([create(prisma, round)]);
  }
  await clients[0].$disconnect();
});

check("schema", async () => {
  await fresh();
  await create(prisma, 1, "a");
  for (const _ of range(3)) equal(await prisma.$queryRaw`SELECT * FROM t`, [{ id: 1, word: "a", author_id: null }]);
  await prisma.$executeRaw`ALTER TABLE t ADD COLUMN more int DEFAULT 5`;
  for (const _ of range(3)) {
    for (const client of [prisma, other]) {
      equal(await client.$queryRaw`SELECT * FROM t`, [{ id: 1, word: "a", author_id: null, more: 5 }]);
    }
  }
});

check("batch", async () => {
  await fresh();
  equal((await prisma.word.createMany({ data: range(2000).map((id) => ({ id, word: `w${id}` })) })).count, 2000);
  equal((await prisma.word.createManyAndReturn({ data: [{ id: 3000 }, { id: 3001 }] })).length, 2);
  equal((await prisma.word.createMany({ data: [{ id: 1 }, { id: 4000 }], skipDuplicates: true })).count, 1);
  const [changed, total] = await prisma.$transaction([
    prisma.word.updateMany({ where: { id: { in: [1, 2] } }, data: { word: "changed" } }),
    prisma.word.count(),
  ]);
  equal([changed.count, total], [2, 2003]);
  await fails("P2002", prisma.$transaction([create(prisma, 5000), create(prisma, 1)]));
  equal(await prisma.word.count(), 2003);
});

skip("pipeline", "Prisma has none");
skip("copy", "Prisma has none");

check("cursor", async () => {
  await fresh();
  await prisma.word.createMany({ data: range(250).map((id) => ({ id })) });
  const seen = [];
  for (let last; ;) {
    const page = await prisma.word.findMany({ take: 90, orderBy: { id: "asc" }, ...(last && { cursor: last, skip: 1 }) });
    if (!page.length) break;
    seen.push(...page.map((row) => row.id));
    last = { id: seen.at(-1) };
  }
  equal(seen, range(250));
});

skip("cancel", "Prisma has none");

check("errors", async () => {
  await fresh();
  await create(prisma, 1);
  await fails("P2002", create(prisma, 1));
  await fails("P2003", prisma.word.create({ data: { id: 2, authorId: 77 } }));
  await fails("P2025", prisma.word.update({ where: { id: 77 }, data: { word: "x" } }));
  await refused("42601", prisma.$queryRawUnsafe("SELEC 1"));
  await refused("22012", prisma.$queryRaw`SELECT 1 / ${0}::int`);
  await prisma.$transaction(async (tx) => {
    await tx.$executeRawUnsafe("SAVEPOINT here");
    await fails("P2002", create(tx, 1));
    await refused("25P02", tx.$queryRaw`SELECT 1`);
    await tx.$executeRawUnsafe("ROLLBACK TO here");
    await create(tx, 3);
  });
  equal(await prisma.word.count(), 2);
  const lost = await prisma.$queryRaw`SELECT pg_terminate_backend(pg_backend_pid())`.catch((error) => error);
  equal(lost instanceof Error, true);
  equal(await prisma.word.count(), 2);
});

check("types", async () => {
  await prisma.$executeRawUnsafe("DROP TABLE IF EXISTS kinds");
  await prisma.$executeRawUnsafe(`CREATE TABLE kinds (id int PRIMARY KEY, big int8, number numeric(40, 9), "real" float8, yes bool,
    text text, bytes bytea, at timestamptz(6), uuid uuid, json jsonb, list text[])`);
  const row = {
    id: 1, big: -(2n ** 63n), number: "12345678901234567890.123456789", real: 1e300, yes: true, text: "'\"\\ é 日本 \u{1f409}\n",
    bytes: Uint8Array.from(range(256)), at: new Date(1767323045006), uuid: "12345678-1234-5678-1234-567812345678",
    json: { a: [1, null, "é"] }, list: ["a,b", 'q"', "NULL"],
  };
  await prisma.kinds.create({ data: row });
  const got = await prisma.kinds.findUniqueOrThrow({ where: { id: 1 } });
  equal({ ...got, number: got.number.toFixed(9), bytes: [...got.bytes] }, { ...row, bytes: [...row.bytes] });
  const { list, ...empty } = await prisma.kinds.create({ data: { id: 2 } });
  equal([list, new Set(Object.values(empty))], [[], new Set([2, null])]);
});

check("settings", async () => {
  await fresh();
  const tenants = range(3).map((number) => open(1, { options: `-c search_path=tenant_${number}` }));
  for (const [number, tenant] of tenants.entries()) {
    await prisma.$executeRawUnsafe(`CREATE SCHEMA IF NOT EXISTS tenant_${number}`);
    await prisma.$executeRawUnsafe(`CREATE TABLE IF NOT EXISTS tenant_${number}.mine AS SELECT ${number} AS id`);
    equal(await tenant.$queryRaw`SELECT id FROM mine`, [{ id: number }]);
  }
  for (const _ of range(5)) {
    for (const [number, tenant] of tenants.entries()) equal(await tenant.$queryRaw`SELECT id FROM mine`, [{ id: number }]);
    await prisma.$transaction(async (tx) => {
      // As row level security is used with Prisma.
      await tx.$executeRaw`SELECT set_config('app.tenant', 'one', true)`;
      equal(await setting(tx, "app.tenant"), "one");
    });
    equal(await prisma.$queryRaw`SELECT coalesce(current_setting('app.tenant', true), '') AS tenant`, [{ tenant: "" }]);
  }
  for (const tenant of tenants) await tenant.$disconnect();
});

skip("temporary", "Prisma's connections are not its user's to keep");

check("locks", async () => {
  await prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(42)`;
    equal(await other.$queryRaw`SELECT pg_try_advisory_xact_lock(42) AS got`, [{ got: false }]);
  });
  equal(await other.$queryRaw`SELECT pg_try_advisory_xact_lock(42) AS got`, [{ got: true }]);
});

skip("notify", "Prisma has none");

check("sessions", async () => {
  await fresh();
  const clients = range(10).map(() => open(SESSIONS / 10));
  await Promise.all(range(SESSIONS).map(async (number) => {
    const client = clients[number % 10];
    for (const round of range(2)) {
      const id = number * 10 + round;
      await client.$transaction(async (tx) => {
        await create(tx, id);
        equal((await tx.word.findUnique({ where: { id } })).word, `w${id}`);
      });
      equal((await client.word.findUnique({ where: { id } })).word, `w${id}`);
      equal(await client.word.count({ where: { id: { gte: number * 10, lt: number * 10 + 10 } } }), round + 1);
    }
  }));
  equal(await prisma.word.count(), SESSIONS * 2);
  await Promise.all(clients.map((client) => client.$disconnect()));
});

check("pool", async () => {
  await fresh();
  const pool = open(8);
  await Promise.all(range(40).map(async (id) => {
    await pool.$transaction((tx) => create(tx, id));
    equal((await pool.word.update({ where: { id }, data: { word: "changed" } })).word, "changed");
    equal((await pool.word.findUnique({ where: { id } })).word, "changed");
  }));
  equal(await pool.word.count(), 40);
  await pool.$disconnect();
});

await run("prisma", "@prisma/adapter-pg");
