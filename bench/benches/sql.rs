//! What reading SQL costs: a fingerprint for every statement, a parse for those that are new.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use sql::{Catalog, CatalogBuilder, Classifier, Persistence, RelationKind, Scanner};
use weir_bench::machine;
use weir_bench::texts::{AVERAGE, PRIMARY_KEY, SHORT, TABLES, UPSERT};

const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// The name of what is done for a statement that is in the cache.
const LOOK_UP: &str = "60 bytes and a look-up";

/// What an object-relational mapper writes for an order with all that belongs to it.
fn mapped() -> String {
    let columns = |table: &str, names: &[&str]| {
        let column = |name: &&str| format!("\"{table}\".\"{name}\" AS \"{table}_{name}\"");
        names.iter().map(column).collect::<Vec<_>>().join(", ")
    };
    let selected = [
        columns("orders", &["id", "customer_id", "status", "total", "placed_at", "updated_at"]),
        columns("customers", &["id", "name", "email", "created_at"]),
        columns("line_items", &["id", "order_id", "product_id", "quantity", "price"]),
        columns("addresses", &["id", "street", "city"]),
    ];
    format!(
        "SELECT {} FROM \"orders\" INNER JOIN \"customers\" ON \"customers\".\"id\" = \"orders\".\"customer_id\" \
         LEFT OUTER JOIN \"line_items\" ON \"line_items\".\"order_id\" = \"orders\".\"id\" \
         LEFT OUTER JOIN \"addresses\" ON \"addresses\".\"id\" = \"customers\".\"id\" \
         WHERE \"orders\".\"status\" IN ($1, $2, $3) AND \"customers\".\"email\" ILIKE $4 \
         ORDER BY \"orders\".\"placed_at\" DESC LIMIT $5 OFFSET $6",
        selected.join(", ")
    )
}

fn bulk_insert() -> String {
    let row = |id: usize| format!("({id}, 'customer {id}', 'customer{id}@example.org', now())");
    let rows: Vec<_> = (1000..1450).map(row).collect();
    format!("INSERT INTO customers (id, name, email, created_at) VALUES {}", rows.join(", "))
}

/// What nobody writes but an attacker; in bytes about what its name says.
fn hostile() -> Vec<(&'static str, String)> {
    const MEGABYTE: usize = 1 << 20;
    let numbers: Vec<_> =
        (100_000_u32..).take(MEGABYTE / 8).map(|number| number.to_string()).collect();
    vec![
        ("50,000 parentheses", format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))),
        ("50,000 open parentheses", format!("SELECT {}", "(".repeat(50_000))),
        ("50,000 times 1+", format!("SELECT {}1", "1+".repeat(50_000))),
        (
            "1 MB of IN list",
            format!("SELECT name FROM products WHERE id IN ({})", numbers.join(", ")),
        ),
        ("1 MB of comments", format!("SELECT 1 {}", "/* /* x */ */ -- y\n".repeat(MEGABYTE / 18))),
        ("1 MB string", format!("SELECT '{}'", "x".repeat(MEGABYTE))),
        ("1 MB of statements", "SELECT 1;".repeat(MEGABYTE / 9)),
    ]
}

fn statements() -> Vec<(&'static str, String)> {
    vec![
        ("SELECT 1", "SELECT 1".to_owned()),
        ("primary key", PRIMARY_KEY.to_owned()),
        ("60 bytes", SHORT.to_owned()),
        ("average", AVERAGE.to_owned()),
        ("mapper", mapped()),
        ("upsert", UPSERT.to_owned()),
        ("bulk insert", bulk_insert()),
    ]
}

fn catalog() -> Catalog {
    let mut builder = CatalogBuilder::new();
    for table in TABLES {
        builder.relation("public", table, RelationKind::Table, Persistence::Permanent);
    }
    builder.finish(1)
}

/// Scanning, as every statement is; one also with a look-up in a map as large as the proxy's cache. (The cache itself is
/// private to the proxy: once it can be reached, it belongs here.)
fn scan(criterion: &mut Criterion) {
    let scanner = Scanner::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
    let mut group = criterion.benchmark_group("scan");
    for (name, text) in statements().into_iter().chain(hostile()) {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            text.as_bytes(),
            |bench, text| {
                bench.iter(|| scanner.scan(black_box(text)));
            },
        );
    }
    let filled: HashMap<u128, usize> = (0..8192)
        .map(|number| (scanner.scan(format!("SELECT a{number}").as_bytes()).fingerprint.0, number))
        .chain([(scanner.scan(SHORT.as_bytes()).fingerprint.0, 0)])
        .collect();
    group.throughput(Throughput::Bytes(SHORT.len() as u64));
    group.bench_function(LOOK_UP, |bench| {
        bench
            .iter(|| filled.get(&scanner.scan(black_box(SHORT.as_bytes())).fingerprint.0).copied());
    });
    group.finish();
}

/// Classifying, as is done for what is not in the cache.
fn classify(criterion: &mut Criterion) {
    let catalog = catalog();
    let classifier = Classifier::new();
    let mut group = criterion.benchmark_group("classify");
    for (name, text) in statements().into_iter().chain(hostile()) {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &*text, |bench, text| {
            bench.iter(|| classifier.classify(black_box(text), Some(&catalog)));
        });
    }
    group.finish();
}

fn main() -> Result<(), Box<dyn Error>> {
    let criterion = Criterion::default().output_directory(&measured()).sample_size(50);
    let criterion =
        criterion.warm_up_time(HALF_A_SECOND).measurement_time(HALF_A_SECOND.saturating_mul(4));
    let mut criterion = criterion.configure_from_args();
    scan(&mut criterion);
    classify(&mut criterion);
    criterion.final_summary();
    // With a filter or another option this is not the table that is kept.
    if std::env::args().skip(1).eq(["--bench"]) { keep() } else { Ok(()) }
}

fn measured() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion")
}

/// Writes the table of all medians to bench/results.
fn keep() -> Result<(), Box<dyn Error>> {
    let facts = machine::facts();
    let mut text = String::from("# What reading SQL costs\n\n");
    for (name, value) in &facts {
        writeln!(text, "- {name}: {value}")?;
    }
    text.push_str("\n| text | bytes | scan | classify |\n|---|--:|--:|--:|\n");
    for (name, sql) in statements().into_iter().chain(hostile()) {
        let (scan, classify) = (median("scan", name)?, median("classify", name)?);
        writeln!(text, "| {name} | {} | {scan} | {classify} |", sql.len())?;
    }
    writeln!(text, "| {LOOK_UP} | {} | {} | – |", SHORT.len(), median("scan", LOOK_UP)?)?;
    text.push_str("\nMedians of `make microbench`. Scanning is done for each statement, classifying for each that is not in the cache.\n");
    std::io::stdout().write_all(text.as_bytes())?;
    let [date, commit] = ["date", "commit"].map(|wanted| {
        let found = facts.iter().find(|(name, _)| *name == wanted);
        found.map_or("unknown", |(_, value)| value.as_str())
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::write(folder.join(format!("{date}-{commit}-sql.md")), text)?;
    Ok(())
}

fn median(group: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let file = measured().join(group).join(name).join("new/estimates.json");
    let text =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let found = estimates.pointer("/median/point_estimate").and_then(serde_json::Value::as_f64);
    let nanoseconds = found.ok_or("no median")?;
    Ok(match nanoseconds {
        short if short < 1e3 => format!("{short:.0} ns"),
        short if short < 1e6 => format!("{:.1} µs", short / 1e3),
        long => format!("{:.1} ms", long / 1e6),
    })
}
