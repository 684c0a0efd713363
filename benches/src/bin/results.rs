//! Brings `benches/RESULTS.md` up to date from the documents in a directory (`target/bench`).

use std::path::Path;
use std::process::ExitCode;

use weighbridge_benches::{results, say};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        say::note("usage: results DIRECTORY (target/bench)");
        return ExitCode::from(2);
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
    let written = results::read(Path::new(&dir)).and_then(|documents| {
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(&path, results::update(&text, &documents))?;
        Ok(documents.len())
    });
    match written {
        Ok(sections) => {
            say::line(&format!("{}: {sections} sections", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::note(&format!("cannot update {}: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}
