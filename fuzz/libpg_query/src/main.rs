//! Asks PostgreSQL's own parser about all that Weir calls a read.
//!
//! Usage: `weir-libpg-query SECONDS SEED [FILE…]`. Texts are made by a grammar, and from those and the files' statements by
//! changing a few tokens. Whichever of them Weir calls a read must be one to libpg_query: exits with 1 where it holds a
//! write, a lock, a target or a name that is not harmless, or another number of statements. Texts that libpg_query refuses
//! are counted: a server refuses them whole, before anything is done.

mod corpus;
mod generate;
mod mutate;
mod oracle;
mod shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use corpus::Corpus;
use fastrand::Rng;
use oracle::Verdict;
use schema::Database;
use sql::Class;

/// How many faults are shown.
const UNSOUND_TOLD: usize = 20;
/// How many texts that are no SQL are shown.
const REFUSED_TOLD: usize = 3;
const STACK: usize = 256 << 20;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(seconds), Some(seed)) = (arguments.next(), arguments.next()) else {
        return Err("usage: weir-libpg-query SECONDS SEED [FILE…]".into());
    };
    let limit = Duration::from_secs(seconds.parse()?);
    let seed: u64 = seed.parse()?;
    let files: Vec<String> = arguments.collect();
    let corpus = Corpus::read(&files)?;
    println!("{} statements from {} files, seed {seed}", corpus.texts.len(), files.len());
    let run = Run {
        database: Database::new(&corpus.named),
        corpus,
        counts: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    // libpg_query's trees are taken apart by recursion.
    let thread =
        std::thread::Builder::new().stack_size(STACK).spawn(move || run.all(limit, seed))?;
    thread.join().map_err(|_| "the run panicked; see above".into())
}

/// How a text came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Grammar,
    Mutation,
}

struct Run {
    database: Database,
    corpus: Corpus,
    counts: BTreeMap<(Origin, &'static str), u64>,
    /// Texts that were shown, by verdict.
    told: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Run {
    #[expect(clippy::disallowed_methods, reason = "it is the run's end that the clock decides")]
    fn all(mut self, limit: Duration, seed: u64) -> ExitCode {
        let begun = Instant::now();
        let mut number = 0_u64;
        while begun.elapsed() < limit {
            self.one(&mut Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            number += 1;
        }
        self.report(begun.elapsed())
    }

    fn one(&mut self, rng: &mut Rng) {
        let (origin, tokens) = self.tokens(rng);
        let sql = generate::join(rng, &tokens);
        if sql.contains('\0') {
            return;
        }
        *self.counts.entry((origin, "texts")).or_default() += 1;
        let Some(verdict) = self.verdict(&sql) else { return };
        *self.counts.entry((origin, "reads")).or_default() += 1;
        *self.counts.entry((origin, verdict.name())).or_default() += 1;
        match &verdict {
            Verdict::Agrees | Verdict::TooDeep => {}
            Verdict::Refused(_) => self.tell(&verdict, &sql, REFUSED_TOLD),
            Verdict::Unsound(_) => self.tell(&verdict, &sql, UNSOUND_TOLD),
        }
    }

    fn tokens(&self, rng: &mut Rng) -> (Origin, Vec<String>) {
        if rng.bool() {
            return (Origin::Grammar, generate::text(rng));
        }
        let (mut tokens, donor) = (self.some(rng), self.some(rng));
        mutate::mutate(rng, &mut tokens, &donor);
        (Origin::Mutation, tokens)
    }

    /// A text to change, or to take from.
    fn some(&self, rng: &mut Rng) -> Vec<String> {
        match self.corpus.texts.len() {
            0 => generate::text(rng),
            _ if rng.u32(0..3) == 0 => generate::text(rng),
            count => self.corpus.texts[rng.usize(0..count)].clone(),
        }
    }

    /// What libpg_query says of a text that Weir calls a read.
    fn verdict(&self, sql: &str) -> Option<Verdict> {
        let found = self.database.classify(sql);
        (found.class == Class::Read).then(|| oracle::judge(sql, found.statements))
    }

    /// Shows the shortest text that has this verdict, unless enough of its kind were shown.
    fn tell(&mut self, verdict: &Verdict, sql: &str, most: usize) {
        let told = self.told.get(verdict.name()).map_or(0, BTreeSet::len);
        if told >= most {
            return;
        }
        let same =
            |text: &str| self.verdict(text).is_some_and(|other| other.name() == verdict.name());
        let mut tokens = corpus::tokens(sql).unwrap_or_default();
        tokens.retain(|token| !token.starts_with("--") && !token.starts_with("/*"));
        let tokens = Some(tokens).filter(|tokens| same(&tokens.join(" ")));
        let short = tokens.map_or_else(|| sql.to_owned(), |tokens| shrink::shrink(tokens, same));
        let why = self.verdict(&short);
        if self.told.entry(verdict.name()).or_default().insert(short.clone()) {
            println!("{why:?}\n    {short:?}");
        }
    }

    fn report(&self, took: Duration) -> ExitCode {
        let sum = |kind| {
            self.counts
                .iter()
                .filter(|((_, other), _)| *other == kind)
                .map(|(_, count)| count)
                .sum::<u64>()
        };
        for ((origin, kind), count) in &self.counts {
            println!("{origin:?}: {count} {kind}");
        }
        let (texts, reads) = (sum("texts"), sum("reads"));
        println!(
            "{texts} texts, {reads} reads ({} %), {} texts per second, {} too deep, {} refused, {} unsound",
            reads * 100 / texts.max(1),
            u128::from(texts) * 1000 / took.as_millis().max(1),
            sum("too deep"),
            sum("refused"),
            sum("unsound"),
        );
        if sum("unsound") > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
