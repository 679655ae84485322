//! `weir classify`: which way the statements of a file would go, before anything is deployed.
//!
//! Each is explained as `weir explain` does, by the same code, before a cluster that has a fresh replica.

mod ground;
mod input;
mod report;
mod tally;

use std::process::ExitCode;

use crate::cli::{Classify, Format, complain, say};
use ground::Ground;
use report::{About, Report};
use tally::Tally;

/// Reads the file, prints the figures.
#[must_use]
pub fn main(args: &Classify) -> ExitCode {
    match answer(args) {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems {
                complain(problem);
            }
            ExitCode::FAILURE
        }
    }
}

fn answer(args: &Classify) -> Result<String, Vec<String>> {
    let bytes = input::read(&args.file).map_err(|problem| vec![problem])?;
    let form = args.input.unwrap_or_else(|| input::detect(&bytes));
    let ground = ground(args)?;
    let mut tally = Tally { listed: args.all.then(Vec::new), ..Tally::default() };
    let file = args.file.display().to_string();
    for entry in input::entries(form, &bytes) {
        let taken = entry.and_then(|entry| tally.take(&entry, &ground));
        taken.map_err(|problem| vec![format!("{file}: {problem}")])?;
    }
    if tally.all.statements == 0 && tally.hidden.statements == 0 {
        return Err(vec![format!("{file} holds no statement; --input says what it is")]);
    }
    let pins_refused = ground.refuses_pins();
    let Ground { origin: catalog, assumed, .. } = ground;
    let report = Report::new(About { file, input: form, catalog, assumed, pins_refused }, tally);
    match args.format {
        Format::Text => Ok(report.to_string()),
        Format::Json => {
            serde_json::to_string_pretty(&report).map_err(|cause| vec![cause.to_string()])
        }
    }
}

fn ground(args: &Classify) -> Result<Ground, Vec<String>> {
    let Some((config, database)) = args.config.as_ref().zip(args.database.as_ref()) else {
        return Ok(Ground::bare());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| vec![cause.to_string()])?;
    runtime.block_on(Ground::of(config, database))
}
