//! The command line. One struct per subcommand; what they do is in `commands`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// What each kind of request really costs, across every service that it touches.
#[derive(Debug, Parser)]
#[command(name = "weighbridge", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 budget breached, \
                        4 not enough data.\nData goes to standard output, the rest to standard error."
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a small ERP with planted truths, weigh it, and check what the report says
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// One process of the demo; started by it
    #[cfg(feature = "demo")]
    #[command(hide = true, disable_help_flag = true)]
    DemoChild(DemoChildArgs),
    /// Run the collector: take in ledgers, fold and keep them, serve reports
    Collect(CollectArgs),
    /// Make a report of what was collected
    Report(ReportArgs),
    /// Predict what a change or another load would cost, by the model of the report
    Simulate(SimulateArgs),
    /// Copy everything that a collector holds, while it runs or not, into a file
    Snapshot(SnapshotArgs),
    /// Put such a copy in the place of everything that a collector holds
    Restore(RestoreArgs),
    /// Compare two reports: more calls, or dearer calls
    Diff(DiffArgs),
    /// Say what is missing for services of this environment to be weighed
    Doctor(DoctorArgs),
    /// Read the collector's configuration and say whether it is right
    CheckConfig(CollectArgs),
    /// Print the collector's configuration as it would be used, without secrets
    PrintConfig(CollectArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// `demo`.
#[cfg(feature = "demo")]
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Seconds of load
    #[arg(long, value_name = "N", default_value_t = weighbridge_demo::Options::SECONDS_DEFAULT)]
    pub(crate) seconds: u64,
    /// Seed of data and load: the same seed asks the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where data, logs and the report go
    #[arg(long, value_name = "DIR", default_value = "weighbridge-demo-out")]
    pub(crate) out: PathBuf,
    /// Which component runs in which process (TOML); the default is three services
    #[arg(long, value_name = "FILE")]
    pub(crate) placement: Option<PathBuf>,
    /// Seal predictions for other placements, run them, and compare with what the kernel measures (15 minutes)
    #[arg(long)]
    pub(crate) verify: bool,
    /// How often --verify runs each placement
    #[arg(long, value_name = "N", default_value_t = weighbridge_demo::Options::ROUNDS_DEFAULT, requires = "verify")]
    pub(crate) rounds: u32,
    /// Placements that --verify tries, separated by commas: merged, closing, one, search, sharded. Default: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "verify")]
    pub(crate) only: Vec<String>,
    /// Open the report in a browser at the end
    #[arg(long)]
    pub(crate) open: bool,
    /// Kill the collector after so many seconds of load and start it again: nothing may be lost
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub(crate) kill_collector_at: Option<u64>,
}

/// `demo-child`: the demo reads these itself.
#[cfg(feature = "demo")]
#[derive(Debug, clap::Args)]
pub(crate) struct DemoChildArgs {
    /// What the demo passes on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

/// `collect`, `check-config`, `print-config`.
#[derive(Debug, clap::Args)]
pub(crate) struct CollectArgs {
    /// Configuration file (TOML); flags go before environment, environment before file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the collector's data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen_http: Option<String>,
    /// Any setting of the configuration file by its key; print-config lists them. Can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .ok_or_else(|| "write KEY=VALUE, like limits.body=4MiB".to_owned())
}

/// Which ledger, and what part of it.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// A collector's data directory, or the URL of a running collector
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) from: String,
    /// Begin of the range: a time (RFC 3339) or an age such as 15m; whole windows. Default: the earliest
    #[arg(long, value_name = "TIME|AGE")]
    pub(crate) since: Option<String>,
    /// End of the range: a time or an age; whole windows. Default: now
    #[arg(long, value_name = "TIME|AGE")]
    pub(crate) until: Option<String>,
}

/// `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What may not be changed, limits and prices (TOML)
    #[arg(long, value_name = "FILE", conflicts_with = "redact")]
    pub(crate) constraints: Option<PathBuf>,
    /// An earlier report.json: what changed since, as more calls and dearer calls
    #[arg(long, value_name = "BASE.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// Recommendations that are not to be shown (TOML: id, reason, until)
    #[arg(long, value_name = "FILE")]
    pub(crate) ignore: Option<PathBuf>,
    /// Utilisation up to which a process is planned to be used
    #[arg(long, value_name = "SHARE", default_value = "0.7", value_parser = utilisation)]
    pub(crate) target_utilisation: f64,
    /// Price of a core for an hour
    #[arg(long, value_name = "PRICE", value_parser = price)]
    pub(crate) core_hour: Option<f64>,
    /// Price of a GiB of memory for an hour
    #[arg(long, value_name = "PRICE", value_parser = price)]
    pub(crate) gib_hour: Option<f64>,
    /// Name of the currency of the prices
    #[arg(long, value_name = "NAME", default_value = "EUR")]
    pub(crate) currency: String,
    /// Where report.html, report.json, report.md and the tables go
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Formats, separated by commas. Without --out: one format, on standard output
    #[arg(long, value_name = "FORMAT", value_enum, value_delimiter = ',')]
    pub(crate) format: Vec<Format>,
    /// Hash every name of a service, operation, peer, entity and host. Files that hold names cannot be given with it
    #[arg(long, conflicts_with_all = ["baseline", "after", "ignore", "constraints"])]
    pub(crate) redact: bool,
    /// An earlier report.json whose advice was followed: its predictions are scored by this range
    #[arg(long, value_name = "EARLIER.json")]
    pub(crate) after: Option<PathBuf>,
}

fn utilisation(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share: &f64| (0.05..=1.0).contains(share))
        .ok_or_else(|| "write a share from 0.05 to 1, like 0.7".to_owned())
}

/// `snapshot`.
#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotArgs {
    /// The URL of a running collector (token with scope admin in WEIGHBRIDGE_TOKEN), or the directory of one that
    /// does not run
    #[arg(long, value_name = "URL|DIR")]
    pub(crate) from: String,
    /// The file; it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// A file that `snapshot` made
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// The URL of a running collector (token with scope admin in WEIGHBRIDGE_TOKEN), or the directory of one that
    /// does not run
    #[arg(long, value_name = "URL|DIR")]
    pub(crate) to: String,
    /// Throw away what is there now
    #[arg(long)]
    pub(crate) replace: bool,
}

fn price(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|price: &f64| price.is_finite() && (0.0..=1e6).contains(price))
        .ok_or_else(|| "write a number from 0 to 1000000, like 0.04".to_owned())
}

/// `diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The report.json to compare with
    #[arg(value_name = "BASE.json")]
    pub(crate) base: PathBuf,
    /// The report.json to compare
    #[arg(value_name = "HEAD.json")]
    pub(crate) head: PathBuf,
    /// Exit with 3 when a kind of request became dearer by more than so many percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) fail_over: Option<f64>,
    /// Where diff.html, diff.json and diff.md go
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Without --out: the format on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = DiffFormat::Md)]
    pub(crate) format: DiffFormat,
}

fn percent(text: &str) -> Result<f64, String> {
    text.trim_end_matches('%')
        .trim()
        .parse()
        .ok()
        .filter(|percent: &f64| percent.is_finite() && *percent >= 0.0)
        .ok_or_else(|| "write a percentage, like 10".to_owned())
}

/// Formats of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// One file for a browser; no network
    Html,
    /// The comparison itself
    Json,
    /// A summary for a pull request
    Md,
}

/// `simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Changes, one after the other (TOML, tables named change); docs/decisions.md lists them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["merge", "split"])]
    pub(crate) change: Option<PathBuf>,
    /// Services to put into one process
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        conflicts_with = "split"
    )]
    pub(crate) merge: Vec<String>,
    /// Operations to put into a process of their own
    #[arg(long, value_name = "SERVICE:OP[,OP]")]
    pub(crate) split: Option<String>,
    /// Multiple of the load seen, before and after. Other than 1, processes are counted anew
    #[arg(long, value_name = "×N", default_value = "×1", value_parser = load)]
    pub(crate) load: f64,
    /// Utilisation up to which a process is planned to be used
    #[arg(long, value_name = "SHARE", default_value = "0.7", value_parser = utilisation)]
    pub(crate) target_utilisation: f64,
    /// What may not be changed, limits and prices (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) constraints: Option<PathBuf>,
    /// Where the files go
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Formats, separated by commas. Without --out: one format, on standard output
    #[arg(long, value_name = "FORMAT", value_enum, value_delimiter = ',')]
    pub(crate) format: Vec<Format>,
}

fn load(text: &str) -> Result<f64, String> {
    text.trim_start_matches(['×', 'x'])
        .parse()
        .ok()
        .filter(|load: &f64| load.is_finite() && *load > 0.0)
        .ok_or_else(|| "write a number above 0, like ×2".to_owned())
}

/// `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The collector to ask; default: WEIGHBRIDGE_ENDPOINT
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

/// `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Format {
    /// One file for a browser; no network
    Html,
    /// The document itself
    Json,
    /// Tables, one file each
    Csv,
    /// A summary to read in a terminal
    Md,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_valid() {
        super::Args::command().debug_assert();
    }
}
