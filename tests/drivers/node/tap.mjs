// What the Node programs share: the names of the checks, and how results are told.
//
// A program registers its checks and calls `run`, which prints one line for each: `ok NAME`,
// `not ok NAME: WHY` or `skip NAME: REASON`. Names as arguments run these alone.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

// The same for all drivers; each checks or skips every one. ../README.md says what they mean.
const NAMES = `connect crud transactions savepoints isolation read_only prepared schema batch pipeline copy
  cursor cancel errors types settings temporary locks notify sessions pool`.split(/\s+/);

export const SESSIONS = 200;
const LIMIT = 60_000; // milliseconds for one check

/** Packages are installed apart from the sources: in the folder that is current. */
export const load = createRequire(`${process.cwd()}/`);

const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;

const checks = new Map();
const skipped = new Map();

export const check = (name, run) => checks.set(name, run);

/** The driver has nothing of the kind. */
export const skip = (name, reason) => skipped.set(name, reason);

/** Runs everything with these packages, tells it, and ends the process. */
export async function run(...packages) {
  console.log(`# ${packages.map((name) => `${name} ${version(name)}`).join(", ")}`);
  const only = process.argv.slice(2);
  let failed = false;
  for (const name of NAMES) {
    if (only.length && !only.includes(name)) continue;
    if (skipped.has(name)) {
      console.log(`skip ${name}: ${skipped.get(name)}`);
      continue;
    }
    const body = checks.get(name) ?? (() => Promise.reject(new Error("neither checked nor skipped")));
    const since = performance.now();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not within ${LIMIT / 1000} s`)), LIMIT);
    });
    try {
      await Promise.race([body(), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.error(error);
      console.log(`not ok ${name}: ${String(error?.message ?? error).replaceAll("\n", " ")}`);
    }
    clearTimeout(timer);
    console.error(`# ${name} took ${((performance.now() - since) / 1000).toFixed(2)} s`);
  }
  // Connections of a check that hangs are left behind.
  process.exit(failed ? 1 : 0);
}

/** Fails with both values unless they are the same. */
export function equal(got, expected) {
  if (isDeepStrictEqual(got, expected)) return;
  const error = new Error(`got ${tell(got)}, expected ${tell(expected)}`);
  Error.captureStackTrace(error, equal);
  throw error;
}

const tell = (value) =>
  JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner))?.slice(0, 500);

/** The error that `promise` must be rejected with, with this SQLSTATE. */
export async function fails(code, promise) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  if (!error) throw new Error(`should have failed with ${code}`);
  if (error.code !== code) throw new Error(`got ${error.code} ${error.message}, expected ${code}`, { cause: error });
  return error;
}

export const range = (count) => Array.from({ length: count }, (_, number) => number);
