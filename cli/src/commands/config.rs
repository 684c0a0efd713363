//! `check-config`, `print-config`, and how flags become the collector's configuration.

use weighbridge_collector::{Config, Flags};

use crate::args::CollectArgs;
use crate::exit::{Exit, Stop};
use crate::output;

/// The collector's configuration from flags, environment and file.
pub(crate) fn load(args: &CollectArgs) -> Result<Config, Stop> {
    let mut flags = Flags {
        config: args.config.clone(),
        set: args.set.clone(),
    };
    if let Some(data) = &args.data {
        flags = flags.with("data_dir", data.to_string_lossy());
    }
    if let Some(address) = &args.listen_http {
        flags = flags.with("listen_http", address);
    }
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Config::load(&flags, &env).map_err(|error| Stop::usage(error.to_string()))
}

/// Says whether the configuration is right.
pub(crate) fn check(args: &CollectArgs) -> Result<Exit, Stop> {
    load(args)?;
    output::note("the configuration is right");
    Ok(Exit::Ok)
}

/// Prints the configuration.
pub(crate) fn print(args: &CollectArgs) -> Result<Exit, Stop> {
    // Names in it are escaped as TOML has it, so that it can be read back; this is the door that all text goes through.
    output::data(&output::visible(&load(args)?.print()))?;
    Ok(Exit::Ok)
}
