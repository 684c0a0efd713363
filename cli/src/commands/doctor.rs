//! `doctor`: run with a service's environment, it says what keeps that service from being weighed.

mod collector;
mod environment;
mod finding;
mod itself;

use weighbridge_collector::Access;

use crate::args::DoctorArgs;
use crate::exit::{Exit, Stop};
use crate::output;

use finding::State;

/// Looks at the environment, at this machine, and at the collector.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Stop> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = args
        .endpoint
        .clone()
        .or_else(|| env("WEIGHBRIDGE_ENDPOINT"));
    // A name that is not UTF-8 is none of ours.
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .collect();
    names.sort_unstable();
    let mut findings = environment::look(&env, names.into_iter());
    findings.extend(itself::look());
    findings.extend(collector::look(endpoint.as_deref(), &Access::from_env())?);
    output::data(&output::visible(&finding::render(&findings)))?;
    let broken = findings
        .iter()
        .filter(|finding| finding.state == State::Broken)
        .count();
    if broken == 0 {
        output::note("a service with this environment is weighed");
        return Ok(Exit::Ok);
    }
    output::note(&format!("{broken} broken; each line says what to do"));
    Ok(Exit::Failure)
}
